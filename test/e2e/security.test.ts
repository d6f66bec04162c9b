/**
 * Who may speak to whom, with real processes and certificates of every wrong kind: on the control
 * path, on the data path, and as servers towards clients.
 */
import { describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeMessage } from "../../protocol/codec.ts";
import { authorizationOf } from "../../protocol/data.ts";
import type { ErrorCode } from "../../protocol/errors.ts";
import { type ChunkId, dnsNameOf, type GlobalName, type Identity, parseGlobalName, parseSite } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import type { Ticket } from "../../protocol/ticket.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { loadAuthorityDir } from "../../src/pki/authority-folder.ts";
import { saveTrustedAuthority } from "../../src/pki/credentials.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, type Signer, signReceipt, signTicket } from "../../src/pki/ticket.ts";
import { expectFailure, statusOf, succeed, until } from "../support/e2e-commands.ts";
import { bytesOf, chunkPath, sha256 } from "../support/e2e-files.ts";
import {
  askControl,
  type Door,
  handshake,
  identityIn,
  knock,
  leafInTheNameOf,
  plainTalk,
  pretend,
  type TlsIdentity,
} from "../support/e2e-rogue.ts";
import { authorityOf, garage, home, hourMs, identityOf, leafOf, rogueAuthority } from "../support/pki.ts";
import { type Collective, startCollective } from "../support/process.ts";

const longAgo = { nowMs: Date.now() - 48 * hourMs, validityMs: hourMs };
const alice = identityOf("user", `alice@${home}`);
const bob = identityOf("user", `bob@${garage}`);
const dora = identityOf("user", `dora@${home}`);
const coordinator: Identity = { kind: "coordinator", name: parseGlobalName(`alice@${home}`) };
const node01 = identityOf("node", `node-01@${home}`);

interface Surroundings {
  readonly collective: Collective;
  readonly authority: Authority;
  /** Of another member, whom this one trusts for its own site. */
  readonly garageAuthority: Authority;
  readonly control: Door;
  readonly data: Door;
  readonly administrator: TlsIdentity;
}

async function surround(collective: Collective): Promise<Surroundings> {
  const [node] = collective.nodes;
  if (!node) throw new Error("no node");
  const authority = await loadAuthorityDir(join(collective.coordinator.dataDirectory, "authority"));
  const garageAuthority = await authorityOf(garage);
  const administrator = identityIn(join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice"));
  const { certificatePem: authorityPem } = authority;
  const control: Door = { address: collective.coordinator.address, serverName: dnsNameOf(coordinator), authorityPem };
  const data: Door = { address: node.address, serverName: dnsNameOf(node01), authorityPem };
  for (const { dataDirectory } of [collective.coordinator, node])
    await saveTrustedAuthority(join(dataDirectory, "credentials"), garageAuthority.certificatePem);
  const guest = await leafOf(garageAuthority, bob);
  // Both take up the new authority while they serve.
  await until(
    () => askControl(control, guest, listRoot),
    (answer) => answer.startsWith("200 "),
  );
  await until(
    () => knock(data, { client: guest, method: "GET", path: "/v1/chunks/00" }),
    (answer) => !answer.startsWith("refused"),
  );
  return { collective, authority, garageAuthority, control, data, administrator };
}

const listRoot = { path: "/v1/fs/list", input: { inode: 1, limit: 10 } };

/** By what is wrong with it. */
async function badClients({ authority, garageAuthority }: Surroundings): Promise<Record<string, TlsIdentity | undefined>> {
  const impostorAuthority = await authorityOf(home);
  const leaf = await leafOf(authority, dora);
  return {
    "no certificate": undefined,
    "an authority of the same name that is not ours": await leafOf(impostorAuthority, alice),
    "an authority nobody trusts": await leafOf(
      await authorityOf("attic.collective.local"),
      identityOf("user", "zoe@attic.collective.local"),
    ),
    expired: await leafOf(authority, alice, longAgo),
    "not valid yet": await leafInTheNameOf(authority, alice, { notBeforeMs: Date.now() + hourMs, notAfterMs: Date.now() + 2 * hourMs }),
    "our name from another trusted authority": await leafInTheNameOf(garageAuthority, alice),
    "another's name from our authority": await leafInTheNameOf(authority, bob),
    "signed by a leaf": await leafInTheNameOf(leaf, alice),
    "an authority's own": authority,
    "no identity in it": await leafInTheNameOf(authority, alice, { names: [{ type: "dns", value: dnsNameOf(alice) }] }),
  };
}

describe("as a client", () => {
  test("to the coordinator: who is not who he says is refused with the reason, before anything is read", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const around = await surround(collective);
    const { control, administrator } = around;
    expect(await askControl(control, administrator, listRoot)).toStartWith("200 ");
    const reasons: Record<string, RegExp> = {
      "no certificate": /^not_authenticated: no client certificate/,
      "an authority of the same name that is not ours": /^not_authenticated: .*not signed by the certificate authority of home/,
      "an authority nobody trusts": /^not_authenticated: .*no certificate authority of attic/,
      expired: /^not_authenticated: .*expired on/,
      "not valid yet": /^not_authenticated: .*not valid before/,
      "our name from another trusted authority":
        /^not_authenticated: .*signed by the certificate authority of garage\.collective\.local, which does not speak for home/,
      "another's name from our authority":
        /^not_authenticated: .*does not speak for garage|^not_authenticated: .*not signed by the certificate authority of garage/,
      "signed by a leaf": /^not_authenticated: /,
      "an authority's own": /^refused: |^not_authenticated: .*certificate authority's/,
      "no identity in it": /^not_authenticated: .*names no member/,
    };
    for (const [what, client] of Object.entries(await badClients(around))) {
      const answer = await askControl(control, client, {
        path: "/v1/fs/mkdir",
        input: { directories: [{ parent: 1, name: "stolen", mode: 0o755 }], existing: "fail" },
      });
      expect(answer, what).toMatch(reasons[what] ?? /^$/);
    }
    expect((await succeed(collective, ["ls", "/"])).stdout).toBe("");
  });

  test("to the coordinator: who is somebody else may only do what he may", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { control, authority, garageAuthority } = await surround(collective);
    const clients = {
      guest: await leafOf(garageAuthority, bob),
      node: await leafOf(authority, node01),
      coordinator: await leafOf(authority, coordinator),
      person: await leafOf(authority, dora),
    };
    expect(await askControl(control, clients.guest, { path: "/v1/status", input: {} })).toMatch(/^permission_denied: .*bob@garage/);
    // Everybody who is somebody sees the root, and there what was granted: nothing.
    expect(await askControl(control, clients.guest, listRoot)).toStartWith("200 ");
    expect(await askControl(control, clients.node, listRoot)).toMatch(/^permission_denied: .*node/);
    expect(await askControl(control, clients.coordinator, listRoot)).toMatch(/^permission_denied: .*coordinator/);
    expect(await askControl(control, clients.person, listRoot)).toStartWith("200 ");

    const heartbeat = {
      path: "/v1/nodes/heartbeat",
      input: { address: "127.0.0.1:1", capacityBytes: 1, usedBytes: 0, freeBytes: 1, chunkCount: 0, version: "1" },
    };
    for (const client of [
      clients.guest,
      clients.person,
      clients.coordinator,
      await leafOf(garageAuthority, identityOf("node", `node-01@${garage}`)),
    ]) {
      expect(await askControl(control, client, heartbeat)).toMatch(/^permission_denied: /);
    }
    const certificate = { path: "/v1/auth/issue", input: { csrPem: "x", kind: "user", name: "alice", validityMs: hourMs } };
    for (const client of [clients.guest, clients.person, clients.node]) {
      expect(await askControl(control, client, certificate)).toMatch(/^permission_denied: /);
    }
  });

  test("the executable with a wrong or expired certificate: one line, exit 4, and nothing is changed", async () => {
    await using collective = await startCollective({ nodes: 1 });
    await using stranger = await startCollective({ nodes: 0 });
    const { authority } = await surround(collective);
    const folder = join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice");
    const good = identityIn(folder);
    const use = ({ certificatePem, privateKeyPem }: TlsIdentity): void => {
      writeFileSync(join(folder, "cert.pem"), certificatePem);
      writeFileSync(join(folder, "key.pem"), privateKeyPem);
    };
    // One that expired yesterday would renew itself.
    use(await leafOf(authority, alice, { nowMs: Date.now() - 100 * 24 * hourMs, validityMs: hourMs }));
    expectFailure(await collective.run(["mkdir", "/stolen"]), {
      code: "not_authenticated",
      says: /the certificate of alice@home\.collective\.local expired on \d{4}-/,
    });
    use(await leafOf(authority, { kind: "node", name: node01.name }));
    expectFailure(await collective.run(["mkdir", "/stolen"]), { code: "permission_denied", says: /node/ });
    // Another collective of the very same name: its authority is not ours, so neither side believes the other.
    cpSync(join(stranger.env.COLLECTIVE_HOME ?? "", "certificates", "alice"), folder, { recursive: true });
    expectFailure(await collective.run(["mkdir", "/stolen"]), {
      code: "not_authenticated",
      says: /is not who it should be: its certificate was not issued by the trusted authority/,
    });
    use(good);
    const mixed = await collective.run(["mkdir", "/stolen"]);
    expectFailure(mixed, { code: "configuration", says: /certificates\/alice/ });
    writeFileSync(join(folder, "ca.pem"), authority.certificatePem);
    expect((await succeed(collective, ["ls", "/"])).stdout).toBe("");
  });
});

describe("as a server", () => {
  test("in place of the coordinator: no call leaves the client, and it says why", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const authority = await loadAuthorityDir(join(collective.coordinator.dataDirectory, "authority"));
    const garageAuthority = await authorityOf(garage);
    await saveTrustedAuthority(join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice"), garageAuthority.certificatePem);
    await collective.coordinator.process.kill();
    const port = Number(collective.coordinator.address.split(":")[1]);
    const foreign = /is not who it should be: its certificate was not issued by the trusted authority/;
    const servers: readonly (readonly [what: string, leaf: TlsIdentity | undefined, code: ErrorCode, says: RegExp])[] = [
      ["an authority of the same name", await leafOf(await authorityOf(home), coordinator), "not_authenticated", foreign],
      ["our name from another trusted authority", await leafInTheNameOf(garageAuthority, coordinator), "not_authenticated", foreign],
      ["another member's", await leafOf(garageAuthority, identityOf("coordinator", `bob@${garage}`)), "not_authenticated", foreign],
      ["expired", await leafOf(authority, coordinator, longAgo), "not_authenticated", /its certificate has expired/],
      ["a node's", await leafOf(authority, node01), "not_authenticated", /the certificate of another name/],
      ["a person's", await leafOf(authority, alice), "not_authenticated", /not made for a server/],
      [
        "a person's with our DNS name",
        await leafInTheNameOf(authority, coordinator, { purposes: ["client"] }),
        "not_authenticated",
        /not made for a server/,
      ],
      ["plain HTTP", undefined, "unavailable", /the connection to coordinator\.home\.collective\.local at .* was lost/],
    ];
    for (const [what, leaf, code, says] of servers) {
      await using server = pretend(leaf, { port });
      expectFailure(await collective.run(["mkdir", "/secret"]), { code, says });
      // It is asked for the time, in case it is the clock that is wrong, and shown nothing else.
      expect(server.heard, what).toEqual(what === "expired" ? ["HEAD / "] : []);
    }
  });

  test("in place of a node: it sees neither a ticket nor a chunk", async () => {
    await using collective = await startCollective({ nodes: 2 });
    const authority = await loadAuthorityDir(join(collective.coordinator.dataDirectory, "authority"));
    const content = bytesOf("content", 9 * 1024 * 1024);
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });
    const [node] = collective.nodes;
    if (!node) throw new Error("no node");
    const servers: readonly TlsIdentity[] = [
      await leafOf(await authorityOf(home), node01),
      await leafInTheNameOf(await authorityOf(garage), node01),
      await leafOf(authority, identityOf("node", `node-02@${home}`)),
      await leafOf(authority, node01, longAgo),
    ];
    for (const [index, leaf] of servers.entries()) {
      // Its silence must not be noticed yet, or it is not even asked.
      await (await collective.restart("node-01")).process.kill();
      await using server = pretend(leaf, { port: Number(node.address.split(":")[1]) });
      const { stdoutBytes } = await succeed(collective, ["read", "/s/file"]);
      expect(sha256(stdoutBytes)).toBe(sha256(content));
      // Unlike a reader, who goes to nodes that are alive first, this asks every node that should hold a copy.
      const { stderr } = await collective.run(["verify", "/s/file"]);
      expect(stderr).toContain("node-01@home.collective.local");
      await succeed(collective, ["write", `/s/new-${index}`], { stdin: new Blob([bytesOf(`new ${index}`, 9 * 1024 * 1024)]) });
      expect(server.heard).toEqual([]);
    }
  });
});

describe("tickets at a node", () => {
  interface Counter {
    readonly around: Surroundings;
    readonly signer: Signer;
    readonly stored: ChunkId;
    readonly storedPath: string;
    ask(
      ticket: Uint8Array,
      request: { readonly method: string; readonly path: string; readonly body?: Uint8Array<ArrayBuffer> },
    ): Promise<string>;
  }

  async function open(collective: Collective): Promise<Counter> {
    const around = await surround(collective);
    const { data, administrator } = around;
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/large"], { stdin: new Blob([bytesOf("large", 9_000_000)]) });
    const [chunk] = (await statusOf(collective, "/s/large")).chunks;
    const stored = (chunk?.id ?? "") as ChunkId;
    return {
      around,
      signer: createSigner(identityIn(join(collective.coordinator.dataDirectory, "credentials")).privateKeyPem),
      stored,
      storedPath: chunkPath(collective.nodes[0]?.dataDirectory ?? "", stored),
      ask: (ticket, request) => knock(data, { client: administrator, headers: { authorization: authorizationOf(ticket) }, ...request }),
    };
  }

  function ticketFor(chunks: readonly ChunkId[], change: Partial<Ticket> = {}): Ticket {
    const nowMs = Date.now();
    return {
      version: 1,
      id: crypto.getRandomValues(new Uint8Array(16)),
      issuer: home,
      audience: node01.name,
      holder: alice.name,
      operation: "get",
      chunks,
      bytesMax: 8_000_000,
      notBeforeMs: nowMs,
      expiresMs: nowMs + 60_000,
      ...change,
    };
  }

  test("a certificate of no trusted authority gets nothing from a node, not even with a ticket that is good", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { signer, stored, ask, around } = await open(collective);
    const get = { method: "GET", path: `/v1/chunks/${stored}` };
    const ticket = signTicket(signer, ticketFor([stored]));
    expect(await ask(ticket, get)).toStartWith("200 ");
    const headers = { authorization: authorizationOf(ticket) };
    // Whose name it is does not matter here: our own authority vouches for it, and the ticket says what it may do.
    const { "no identity in it": _, ...clients } = await badClients(around);
    for (const [what, client] of Object.entries(clients))
      expect(await knock(around.data, { ...get, client, headers }), what).toStartWith("refused: ");

    const client = around.administrator;
    expect(await knock(around.data, { ...get, client })).toBe("not_authenticated: the request carries no ticket");
    expect(await knock(around.data, { ...get, client, headers: { authorization: "Bearer x" } })).toBe(
      "not_authenticated: the request carries no ticket",
    );
  });

  test("that are forged, of another time, place, purpose or chunk, open nothing", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { signer, stored, storedPath, ask } = await open(collective);
    const before = sha256(readFileSync(storedPath));
    const get = { method: "GET", path: `/v1/chunks/${stored}` };
    const good = signTicket(signer, ticketFor([stored]));
    expect(await ask(good, get)).toStartWith("200 ");

    const other = sha256(Buffer.from("another chunk")) as ChunkId;
    const skewed = clockSkewMsMax + 60_000;
    const past = { notBeforeMs: Date.now() - 2 * skewed, expiresMs: Date.now() - skewed };
    const flipped = (at: number): Uint8Array => good.map((byte, index) => (index === at ? byte ^ 1 : byte));
    const tickets: readonly (readonly [what: string, ticket: Uint8Array, refusal: RegExp])[] = [
      [
        "signed by somebody else",
        signTicket(createSigner(generateKeyPair().privateKeyPem), ticketFor([stored])),
        /^not_authenticated: .*signature/,
      ],
      [
        "signed by the node's own person",
        signTicket(
          createSigner(identityIn(join(collective.env.COLLECTIVE_HOME ?? "", "certificates/alice")).privateKeyPem),
          ticketFor([stored]),
        ),
        /^not_authenticated: /,
      ],
      [
        "of an unknown site",
        signTicket(signer, ticketFor([stored], { issuer: parseSite("attic.collective.local") })),
        /^not_authenticated: .*attic/,
      ],
      [
        "of a trusted site that is not this one",
        signTicket(signer, ticketFor([stored], { issuer: garage })),
        /^not_authenticated: .*garage/,
      ],
      ["with a changed signature", flipped(10), /^not_authenticated: /],
      ["with a changed body", flipped(good.length - 20), /^not_authenticated: /],
      ["cut short", good.subarray(0, good.length - 1), /^not_authenticated: /],
      ["empty", new Uint8Array(0), /^not_authenticated: /],
      ["expired", signTicket(signer, ticketFor([stored], past)), /^permission_denied: .*expired/],
      [
        "not valid yet",
        signTicket(signer, ticketFor([stored], { notBeforeMs: Date.now() + skewed, expiresMs: Date.now() + 2 * skewed })),
        /^permission_denied: /,
      ],
      [
        "for another node",
        signTicket(signer, ticketFor([stored], { audience: `node-02@${home}` as GlobalName })),
        /^permission_denied: .*node-02/,
      ],
      ["for another chunk", signTicket(signer, ticketFor([other])), /^permission_denied: /],
      ["for another purpose", signTicket(signer, ticketFor([stored], { operation: "put" })), /^permission_denied: /],
      [
        "that is a receipt",
        signReceipt(signer, { version: 1, node: node01.name, chunks: [stored], storedAtMs: Date.now() }),
        /^not_authenticated: /,
      ],
    ];
    for (const [what, ticket, refusal] of tickets) expect(await ask(ticket, get), what).toMatch(refusal);

    const body = encodeMessage({ ids: [new Uint8Array(Buffer.from(stored, "hex"))] });
    for (const [path, operation] of [
      ["/v1/batch/delete", "get"],
      ["/v1/batch/verify", "get"],
      ["/v1/batch/fetch", "put"],
      ["/v1/batch/delete", "put"],
    ] as const) {
      expect(await ask(signTicket(signer, ticketFor([stored], { operation })), { method: "POST", path, body }), path).toMatch(
        /^permission_denied: /,
      );
    }
    expect(sha256(readFileSync(storedPath))).toBe(before);
    expect((await succeed(collective, ["read", "/s/large"])).stdoutBytes.length).toBe(9_000_000);
  });

  test("end with their time, also one that was used before", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { signer, stored, ask } = await open(collective);
    const ticket = signTicket(
      signer,
      ticketFor([stored], { notBeforeMs: Date.now() - clockSkewMsMax, expiresMs: Date.now() - clockSkewMsMax + 1_500 }),
    );
    const get = { method: "GET", path: `/v1/chunks/${stored}` };
    expect(await ask(ticket, get)).toStartWith("200 ");
    expect(
      await until(
        () => ask(ticket, get),
        (answer) => !answer.startsWith("200 "),
        { timeoutMs: 5_000 },
      ),
    ).toMatch(/^permission_denied: .*expired/);
  });

  test("to store allow those bytes and no others", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { signer, ask } = await open(collective);
    const [node] = collective.nodes;
    const bytes = new Uint8Array(bytesOf("a chunk", 500_000));
    const id = sha256(bytes) as ChunkId;
    const put = (change: Partial<Ticket>, body: Uint8Array<ArrayBuffer>) =>
      ask(signTicket(signer, ticketFor([id], { operation: "put", ...change })), { method: "PUT", path: `/v1/chunks/${id}`, body });
    expect(
      await put(
        {},
        bytes.map((byte, at) => (at === 77 ? byte ^ 1 : byte)),
      ),
    ).toMatch(/^corrupt: /);
    expect(await put({}, bytes.subarray(0, 400_000))).toMatch(/^corrupt: /);
    expect(await put({ bytesMax: 499_999 }, bytes)).toMatch(/^too_large: /);
    expect(await put({}, new Uint8Array(0))).toMatch(/^invalid_argument: /);
    const stored = chunkPath(node?.dataDirectory ?? "", id);
    expect(await Bun.file(stored).exists()).toBe(false);
    expect(await put({}, bytes)).toStartWith("200 ");
    expect(sha256(readFileSync(stored))).toBe(id);
  });
});

describe("at both ports", () => {
  test("plain HTTP, noise, silence, old TLS and no certificate get nothing and disturb nobody", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { control, data, administrator } = await surround(collective);
    await succeed(collective, ["mkdir", "/s"]);
    for (const door of [control, data]) {
      const silent = Array.from({ length: 50 }, () => plainTalk(door.address, ""));
      const noise = ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytesOf("noise", 5_000).toString("latin1")];
      for (const heard of await Promise.all(noise.map((bytes) => plainTalk(door.address, bytes))))
        expect(heard).not.toMatch(/HTTP\/[0-9.]+ 2/);
      expect(await handshake(door, administrator, "TLSv1.2")).toBe("refused");
      expect(await handshake(door, administrator, "TLSv1.3")).toBe("TLSv1.3");
      expect(await knock(door, { path: "/v1/fs/list", body: new Uint8Array(3) })).toMatch(/^refused: |^not_authenticated: /);
      await succeed(collective, ["write", "/s/file"], { stdin: "content" });
      await Promise.all(silent);
    }
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
    for (const { process } of [collective.coordinator, ...collective.nodes]) expect(process.stderr()).not.toMatch(/ error /);
  });

  test("keys are readable by their owner alone", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const folders = [collective.coordinator.dataDirectory, collective.nodes[0]?.dataDirectory ?? "", collective.env.COLLECTIVE_HOME ?? ""];
    const { stdout } = Bun.spawnSync(["find", ...folders, "-name", "*.key", "-o", "-name", "key*.pem"]);
    const keys = stdout.toString().trim().split("\n");
    expect(keys.length).toBeGreaterThanOrEqual(4);
    for (const key of keys) expect(Bun.spawnSync(["find", key, "-perm", "/077"]).stdout.toString()).toBe("");
  });
});

// The extension that binds an authority to its site is what keeps an impostor out of a trust bundle.
test("an authority that is bound to no site, or to ours, is never taken into the bundle", async () => {
  await using collective = await startCollective({ nodes: 0 });
  const folder = join(collective.coordinator.dataDirectory, "credentials");
  mkdirSync(join(folder, "trust"), { recursive: true });
  for (const authority of [await rogueAuthority({ constraints: "none" }), await authorityOf(home)]) {
    await expect(saveTrustedAuthority(folder, authority.certificatePem)).rejects.toThrow();
  }
});
