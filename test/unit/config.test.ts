import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { collectiveHome, loadServeConfig, type ServeConfig, type ServeSources, serveFlags } from "../../src/core/config.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { environmentNameOf } from "../../src/core/serve-flags.ts";

const environment = { COLLECTIVE_HOME: "/home/a/.collective" };

function load(sources: Partial<ServeSources>): ServeConfig {
  return loadServeConfig({ flags: {}, ...sources, environment: { ...environment, ...sources.environment } });
}

function fileOf(value: unknown): { path: string; text: string } {
  return { path: "alice.json", text: typeof value === "string" ? value : JSON.stringify(value) };
}

function failure(sources: Partial<ServeSources>): { message: string; mistakes: string[] } {
  try {
    load(sources);
  } catch (error) {
    if (!(error instanceof CollectiveError)) throw error;
    expect(error.code).toBe("configuration");
    expect(error.message).not.toMatch(/[\n\r]/);
    const mistakes = error.details.mistakes;
    return { message: error.message, mistakes: Array.isArray(mistakes) ? mistakes.map(String) : [] };
  }
  throw new Error("nothing was wrong");
}

const coordinatorFile = {
  mode: "coordinator",
  member_id: "alice@home.collective.local",
  coordinator: {
    address: ":8001",
    bootstrap_address: ":9001",
    data_dir: "./data/alice",
    bootstrap_peers: [{ member_id: "bob@garage.collective.local", address: "localhost:8002" }],
    federation_root: "./root/alice.pem",
    gossip_profile: "wan",
  },
};
const nodeFile = {
  mode: "node",
  member_id: "alice@home.collective.local",
  node: {
    node_id: "node-01",
    address: ":7001",
    coordinator_address: "localhost:8001",
    storage_capacity: "500GB",
    data_dir: "./data/alice-node-01",
  },
};

describe("defaults", () => {
  test("a coordinator needs its member and nothing else", () => {
    expect(load({ role: "coordinator", flags: { member: "alice" } }) as unknown).toEqual({
      role: "coordinator",
      member: "alice@alice.collective.local",
      logLevel: "info",
      logFormat: "text",
      metricsAddress: { host: "127.0.0.1", port: 9090 },
      isMetricsAddressDefault: true,
      autoTls: true,
      certDir: undefined,
      coordinator: {
        address: { host: "0.0.0.0", port: 8001 },
        bootstrapAddress: { host: "0.0.0.0", port: 9001 },
        advertise: undefined,
        dataDir: "/home/a/.collective/data/alice",
        certValidityMs: 86_400_000,
        bootstrapPeers: [],
        gossipProfile: "lan",
        trust: "introduced",
        giveToGet: 1,
        context: true,
      },
      node: undefined,
    });
  });

  test("a node needs its member and its name", () => {
    const config = load({ role: "node", flags: { member: "alice", "node-id": "attic" } });
    expect(config.coordinator).toBeUndefined();
    expect(config.node as unknown).toEqual({
      nodeId: "attic",
      address: { host: "0.0.0.0", port: 7001 },
      advertise: undefined,
      coordinatorAddress: undefined,
      capacityBytes: undefined,
      dataDir: "/home/a/.collective/data/alice-attic",
      join: undefined,
      enrolFrom: undefined,
    });
  });

  test("all is both, under one data directory when one is named", () => {
    const plain = load({ role: "all", flags: { member: "alice" } });
    expect([plain.coordinator?.dataDir, plain.node?.dataDir, String(plain.node?.nodeId)]).toEqual([
      "/home/a/.collective/data/alice",
      "/home/a/.collective/data/alice-node-01",
      "node-01",
    ]);
    for (const named of [
      load({ role: "all", flags: { member: "alice", "data-dir": "/d" } }),
      load({ role: "all", configFile: fileOf({ member_id: "alice", data_dir: "/d" }) }),
    ]) {
      expect([named.coordinator?.dataDir, named.node?.dataDir]).toEqual(["/d/coordinator", "/d/node"]);
    }
    const sections = load({ role: "all", configFile: fileOf({ member_id: "alice", data_dir: "/d", node: { data_dir: "/disk2" } }) });
    expect([sections.coordinator?.dataDir, sections.node?.dataDir]).toEqual(["/d/coordinator", "/disk2"]);
  });

  test("the home directory", () => {
    expect(collectiveHome({ COLLECTIVE_HOME: "/x" })).toBe("/x");
    expect(collectiveHome({ HOME: "/home/b", COLLECTIVE_HOME: "" })).toBe("/home/b/.collective");
  });
});

describe("files of the contract", () => {
  test("coordinator", () => {
    const config = load({ configFile: fileOf(coordinatorFile) });
    expect(config.role).toBe("coordinator");
    expect(config.coordinator).toMatchObject({ dataDir: "./data/alice", federationRoot: "./root/alice.pem", gossipProfile: "wan" });
    const flags = { "federation-root": "/other.pem", "gossip-profile": "lan" };
    expect(load({ flags, configFile: fileOf(coordinatorFile) }).coordinator).toMatchObject({
      federationRoot: "/other.pem",
      gossipProfile: "lan",
    });
    expect(config.coordinator?.bootstrapPeers as unknown).toEqual([
      { member: "bob@garage.collective.local", address: { host: "localhost", port: 8002 } },
    ]);
  });

  test("node", () => {
    const config = load({ configFile: fileOf(nodeFile) });
    expect(config.node as unknown).toMatchObject({
      nodeId: "node-01",
      coordinatorAddress: "localhost:8001",
      capacityBytes: 500e9,
      dataDir: "./data/alice-node-01",
    });
  });

  test("plain bytes may be a number, a byte order mark is no mistake, and :8001 of a coordinator is this machine", () => {
    const node = { ...nodeFile.node, storage_capacity: 1234, coordinator_address: ":8001" };
    const config = load({ configFile: fileOf(`\ufeff${JSON.stringify({ ...nodeFile, node })}`) });
    expect([config.node?.capacityBytes, config.node?.coordinatorAddress]).toEqual([1234, "127.0.0.1:8001"]);
  });
});

describe("precedence", () => {
  test("flag, then environment, then file, then default, for every setting", () => {
    const file = fileOf({ ...nodeFile, log_level: "warn", node: { ...nodeFile.node, address: ":1", storage_capacity: "1GB" } });
    const env = {
      COLLECTIVE_LOG_LEVEL: "error",
      COLLECTIVE_ADDRESS: ":2",
      COLLECTIVE_STORAGE_CAPACITY: "2GB",
      COLLECTIVE_LOG_FORMAT: "json",
    };
    const flags = { "log-level": "debug", capacity: "3GB" };
    const seen = (config: ServeConfig) => [config.logLevel, config.logFormat, config.node?.address.port, config.node?.capacityBytes];
    expect(seen(load({ configFile: file }))).toEqual(["warn", "text", 1, 1e9]);
    expect(seen(load({ configFile: file, environment: env }))).toEqual(["error", "json", 2, 2e9]);
    expect(seen(load({ configFile: file, environment: env, flags }))).toEqual(["debug", "json", 2, 3e9]);
  });

  test("the role too", () => {
    expect(load({ configFile: fileOf({ ...nodeFile, mode: "all" }), environment: { COLLECTIVE_ROLE: "node" } }).role).toBe("node");
    expect(load({ configFile: fileOf(nodeFile), environment: { COLLECTIVE_ROLE: "node" }, role: "coordinator" }).role).toBe("coordinator");
  });

  test("a flag in front of a wrong environment variable puts it right", () => {
    expect(
      load({ role: "coordinator", flags: { member: "alice", "log-level": "info" }, environment: { COLLECTIVE_LOG_LEVEL: "loud" } })
        .logLevel,
    ).toBe("info");
  });

  test("names of the environment that the contract lists", () => {
    const config = load({
      role: "coordinator",
      environment: {
        COLLECTIVE_MEMBER_ID: "alice",
        COLLECTIVE_COORDINATOR_ADDRESS: ":18001",
        COLLECTIVE_BOOTSTRAP_ADDRESS: ":19001",
        COLLECTIVE_METRICS_ADDRESS: "off",
        COLLECTIVE_LOG_LEVEL: "debug",
        COLLECTIVE_DATA_DIR: "/d",
        COLLECTIVE_CERT_DIR: "/c",
        COLLECTIVE_AUTO_TLS: "false",
      },
    });
    expect([config.coordinator?.address.port, config.coordinator?.bootstrapAddress.port, config.metricsAddress, config.autoTls]).toEqual([
      18001,
      19001,
      undefined,
      false,
    ]);
    expect([config.logLevel, config.coordinator?.dataDir, config.certDir]).toEqual(["debug", "/d", "/c"]);
    const node = load({
      role: "node",
      environment: {
        COLLECTIVE_MEMBER_ID: "alice",
        COLLECTIVE_COORDINATOR_ADDRESS: "nas:8001",
        COLLECTIVE_NODE_ID: "attic",
        COLLECTIVE_STORAGE_CAPACITY: "1TiB",
      },
    }).node;
    expect(node as unknown).toMatchObject({
      nodeId: "attic",
      coordinatorAddress: "nas:8001",
      capacityBytes: 2 ** 40,
      address: { port: 7001 },
    });
  });

  test("an empty environment variable is as good as none", () => {
    expect(load({ role: "coordinator", flags: { member: "alice" }, environment: { COLLECTIVE_LOG_LEVEL: "" } }).logLevel).toBe("info");
  });

  test("switches", () => {
    const member = { member: "alice" };
    const context = (flags: ServeSources["flags"], env = {}) =>
      load({ role: "coordinator", flags: { ...member, ...flags }, environment: env }).coordinator?.context;
    const off: readonly ServeSources["flags"][] = [{ "no-context": true }, { context: false }];
    for (const flags of off) expect(context(flags)).toBe(false);
    expect([context({}), context({ context: true }), context({}, { COLLECTIVE_NO_CONTEXT: "1" })]).toEqual([true, true, false]);
    expect(
      load({ role: "coordinator", flags: { ...member, "auto-tls": false, "cert-dir": "/c" }, environment: { COLLECTIVE_AUTO_TLS: "true" } })
        .autoTls,
    ).toBe(false);
  });
});

describe("mistakes", () => {
  test("one is told in one line with the file, the key and what was meant", () => {
    const { adress, ...rest } = { ...coordinatorFile.coordinator, adress: ":1" };
    expect(failure({ configFile: fileOf({ ...coordinatorFile, coordinator: { ...rest, adress } }) }).message).toBe(
      "alice.json: coordinator.adress: unknown key, did you mean address?",
    );
  });

  test("all of a file at once", () => {
    const found = failure({
      configFile: fileOf({
        mode: "coordinatr",
        bootstrap_address: ":9001",
        log_level: "verbose",
        auto_tls: "yes",
        coordinator: {
          address: 8001,
          cert_validity: "2s",
          data_dir: null,
          bootstrap_peers: [{ member_id: "bob" }, { member_id: "UPPER", address: "x y" }],
        },
        node: { storage_capacity: "lots", node_id: "user" },
      }),
    });
    expect(found.message).toStartWith("12 mistakes in alice.json: ");
    expect(found.message).toEndWith("; and 4 more");
    expect(found.mistakes.sort()).toEqual(
      [
        'alice.json: mode: must be coordinator or node or all, not "coordinatr"',
        "alice.json: bootstrap_address: unknown key here, did you mean coordinator.bootstrap_address?",
        'alice.json: log_level: "verbose" is not one of error, warn, info, debug',
        "alice.json: auto_tls: must be true or false, not a text",
        "alice.json: coordinator.address: must be a text, not a number",
        'alice.json: coordinator.cert_validity: "2s" is not between 30s and 397d',
        "alice.json: coordinator.data_dir: must be a text, not null",
        "alice.json: coordinator.bootstrap_peers[0].address: missing",
        'alice.json: coordinator.bootstrap_peers[1].member_id: "UPPER" cannot be a name',
        'alice.json: coordinator.bootstrap_peers[1].address: "x y" is not an address',
        'alice.json: node.storage_capacity: "lots" is not a size',
        'alice.json: node.node_id: "user" cannot be a name',
      ].sort(),
    );
  });

  test("of file, environment and flags together", () => {
    const found = failure({
      configFile: fileOf({ ...nodeFile, nod: {} }),
      environment: { COLLECTIVE_LOG_LEVEL: "inof" },
      flags: { address: "nowhere:99999", capacity: true, "cert-validity": "1h" },
    });
    expect(found.mistakes.sort()).toEqual([
      '--address: "nowhere:99999" has a port above 65535',
      "--capacity: needs a value",
      "--cert-validity: not a flag of the role node, only of coordinator and all",
      'COLLECTIVE_LOG_LEVEL: "inof" is not one of error, warn, info, debug, did you mean info?',
      "alice.json: nod: unknown key, did you mean node?",
    ]);
    expect(found.message).toStartWith("5 mistakes in the configuration: alice.json: nod: unknown key");
  });

  test("what is missing is named with every way to give it, once, and not when it is there but wrong", () => {
    expect(failure({ role: "coordinator" }).mistakes).toEqual([
      "member_id: missing, set --member, COLLECTIVE_MEMBER_ID or member_id in a configuration file",
    ]);
    // Its member is what its invite says.
    expect(failure({ role: "node" }).mistakes).toEqual([
      "node.node_id: missing, set --node-id, COLLECTIVE_NODE_ID or node.node_id in a configuration file",
    ]);
    expect(failure({ role: "node", flags: { member: "A" }, configFile: fileOf({ node: { node_id: "A" } }) }).mistakes).toEqual([
      'alice.json: node.node_id: "A" cannot be a name',
      '--member: "A" cannot be a name',
    ]);
    expect(failure({}).message).toBe("role: missing, set --role to coordinator, node or all");
    expect(failure({ role: "nod" }).message).toBe('--role: "nod" is not one of coordinator, node, all, did you mean node?');
  });

  test("text that is no JSON is named with the line", () => {
    const lines = (text: string) => failure({ configFile: fileOf(text) }).message;
    expect(lines('{\n  "mode": "node",\n  "member_id": "alice",\n}')).toBe("alice.json: not valid JSON, the mistake is in line 4");
    expect(lines('{\n  "mode": "node"\n  "member_id": "alice"\n}')).toEndWith("line 3");
    expect(lines('{\n  // the mode\n  "mode": "node"\n}')).toEndWith("line 2");
    expect(lines('{\n  "mode": "no\n')).toEndWith("line 2");
    expect(lines('{\n  "mode": "node"\n\n\n')).toEndWith("line 2");
    expect(lines("")).toEndWith("line 1");
    expect(lines("[]")).toBe("alice.json: must be an object, not a list");
  });

  test("two listeners on one port", () => {
    expect(failure({ role: "all", flags: { member: "alice", address: ":7001", "metrics-address": "127.0.0.1:9001" } }).mistakes).toEqual([
      "node.address: port 7001 is taken by coordinator.address already",
      "metrics_address: port 9001 is taken by coordinator.bootstrap_address already",
    ]);
    const free = load({
      role: "all",
      flags: { member: "alice", address: ":0", "bootstrap-address": ":0", "node-address": ":0", "metrics-address": "127.0.0.1:0" },
    });
    expect([free.coordinator?.address.port, free.node?.address.port]).toEqual([0, 0]);
    load({ role: "all", flags: { member: "alice", address: "127.0.0.1:5", "node-address": "127.0.0.2:5" } });
  });

  test.each<[string, Partial<ServeSources>, string]>([
    ["advertising nowhere", { role: "coordinator", flags: { member: "alice", advertise: ":8001" } }, "--advertise: "],
    ["no capacity", { role: "node", flags: { member: "alice", "node-id": "n", capacity: "0" } }, "--capacity: "],
    [
      "a code and a directory",
      { role: "node", flags: { member: "alice", "node-id": "n", join: "secret-code", "enrol-from": "/d" } },
      "--join: ",
    ],
    ["certificates from nowhere", { role: "coordinator", flags: { member: "alice", "auto-tls": false } }, "cert_dir: missing"],
    [
      "a peer twice",
      {
        configFile: fileOf({
          ...coordinatorFile,
          coordinator: { bootstrap_peers: [0, 1].map((i) => ({ member_id: "bob", address: `a:${i + 1}` })) },
        }),
      },
      "alice.json: coordinator.bootstrap_peers[1].member_id: ",
    ],
    ["validity above 397 days", { role: "coordinator", flags: { member: "alice", "cert-validity": "398d" } }, "--cert-validity: "],
  ])("%s", (_, sources, start) => {
    const found = failure(sources);
    expect(found.mistakes).toHaveLength(1);
    expect(found.message).toStartWith(start);
    expect(found.message).not.toContain("secret-code");
  });
});

describe("the table of flags", () => {
  test("every flag has its environment name, and the loader understands every flag that a role has", () => {
    const plain = { DIR: "/d", CODE: "code", NAME: "alice", "HOST:PORT": "nas:5555" };
    const byHint = new Map(Object.entries({ ...plain, LEVEL: "info", FORMAT: "json", DURATION: "1h", SIZE: "1GB" }));
    for (const flag of serveFlags) {
      expect(flag.environment).toContain(environmentNameOf(flag.name));
      for (const role of flag.roles) {
        const base = { member: "alice", ...(role === "node" ? { "node-id": "n1" } : {}) };
        load({ role, flags: { ...base, [flag.name]: flag.valueHint === undefined ? true : byHint.get(flag.valueHint) } });
        if (flag.valueHint === undefined) continue;
        // A wrong value is noticed, so the setting is really read.
        const environmentName = environmentNameOf(flag.name);
        const fromEnvironment = { role, flags: { ...base, [flag.name]: undefined }, environment: { [environmentName]: "\0" } };
        expect(failure({ role, flags: { ...base, [flag.name]: "" } }).message).toContain(`--${flag.name}`);
        expect(failure(fromEnvironment).message).toContain(environmentName);
      }
    }
  });
});

test("a file that was damaged gives a typed error or a configuration, never anything else", () => {
  const random = createSeededRandom(5);
  const sources = [JSON.stringify(coordinatorFile), JSON.stringify(nodeFile)];
  const alphabet = '{}[]",:\\0123456789eE.-abtfn \n\u0000é';
  const rounds = Number(process.env.MUTATIONS ?? 3000);
  for (let i = 0; i < rounds; i++) {
    const text = [...(sources[i % 2] ?? "")];
    for (let edits = 1 + random.int(4); edits > 0; edits--) {
      const at = random.int(text.length);
      text.splice(at, random.int(3), ...Array.from({ length: random.int(3) }, () => alphabet[random.int(alphabet.length)] ?? ""));
    }
    try {
      load({ role: "all", configFile: { path: "f.json", text: text.join("") } });
    } catch (error) {
      expect(error).toBeInstanceOf(CollectiveError);
    }
  }
  for (const text of [
    "[".repeat(200_000),
    `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    '{"__proto__":{"member_id":"alice"}}',
    '{"constructor":1,"toString":2}',
    "9".repeat(2 ** 20 + 1),
  ]) {
    expect(failure({ role: "coordinator", configFile: { path: "f.json", text } }).message.length).toBeLessThan(2000);
  }
});
