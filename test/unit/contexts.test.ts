import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { CollectiveError, type ErrorCode } from "../../protocol/errors.ts";
import { parseGlobalName } from "../../protocol/ids.ts";
import { chooseContext } from "../../src/cli/contexts.ts";
import { type Context, openContexts } from "../../src/client/context-file.ts";
import type { Clock } from "../../src/core/clock.ts";
import { createSeededRandom } from "../../src/core/random.ts";

let root = "";
let homes = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "collective-contexts-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

function newHome(): string {
  homes += 1;
  return join(root, `home-${homes}`);
}

const alice: Context = {
  member: parseGlobalName("alice@home.collective.local"),
  coordinator: "localhost:8001",
  created: "2030-01-02T03:04:05.000Z",
};
const bob: Context = {
  ...alice,
  member: parseGlobalName("bob@garage.collective.local"),
  identity: parseGlobalName("dora@garage.collective.local"),
};

async function failure(run: () => Promise<unknown>): Promise<CollectiveError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof CollectiveError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("contexts", () => {
  test("are listed by name, the first becomes current, and the file is private", async () => {
    const home = newHome();
    const contexts = openContexts(home);
    expect([await contexts.list(), await contexts.current()]).toEqual([[], undefined]);
    await contexts.put("home", alice);
    await contexts.put("attic", bob);
    expect((await contexts.list()).map((context) => [context.name, context.isCurrent])).toEqual([
      ["attic", false],
      ["home", true],
    ]);
    expect(await contexts.get("attic")).toEqual({ ...bob, name: "attic", isCurrent: false });
    expect((await stat(contexts.file)).mode & 0o777).toBe(0o600);
    expect((await stat(home)).mode & 0o777).toBe(0o700);
    expect(await readdir(home)).toEqual(["config.json"]);
    expect(JSON.parse(await readFile(contexts.file, "utf8"))).toEqual({
      version: 1,
      current: "home",
      contexts: { home: alice, attic: bob },
    });
  });

  test("another one becomes current, also for those who opened the file before", async () => {
    const home = newHome();
    const [one, two] = [openContexts(home), openContexts(home)];
    await one.put("home", alice);
    await two.put("attic", bob);
    await two.use("attic");
    expect((await one.current())?.name).toBe("attic");
    await one.put("attic", alice);
    expect((await two.get("attic")).member).toBe(alice.member);
  });

  test("removing one takes its credentials, and no others", async () => {
    const contexts = openContexts(newHome());
    for (const name of ["home", "attic"]) {
      await contexts.put(name, alice);
      await mkdir(contexts.credentials(name).folder, { recursive: true });
      await writeFile(contexts.credentials(name).keyFile, "secret");
    }
    await contexts.remove("home");
    expect([await contexts.current(), (await contexts.list()).map((context) => context.name)]).toEqual([undefined, ["attic"]]);
    expect(await Bun.file(contexts.credentials("home").keyFile).exists()).toBe(false);
    expect(await Bun.file(contexts.credentials("attic").keyFile).exists()).toBe(true);
  });

  test("an unknown one is not found, and the hint names the known", async () => {
    const contexts = openContexts(newHome());
    expect((await failure(() => contexts.get("home"))).hint).toContain("collective init");
    await contexts.put("home", alice);
    await contexts.put("constructor", bob);
    for (const run of [() => contexts.get("hmoe"), () => contexts.use("hmoe"), () => contexts.remove("hmoe")]) {
      const error = await failure(run);
      expect([error.code, error.message, error.hint]).toEqual([
        "not_found",
        'no context is named "hmoe", did you mean home?',
        "known contexts: constructor, home",
      ]);
    }
    expect((await failure(() => contexts.get("toString"))).code).toBe("not_found");
    expect((await contexts.list()).length).toBe(2);
  });

  test.each(["", ".", "..", "../x", "a/b", "-a", "a\n", "__proto__", "x".repeat(129)])(
    "%j is no name, for it would be a folder",
    async (name) => {
      const home = newHome();
      const contexts = openContexts(home);
      expect((await failure(() => contexts.put(name, alice))).code).toBe("invalid_argument");
      expect(() => contexts.credentials(name)).toThrow(CollectiveError);
      expect(await Bun.file(contexts.file).exists()).toBe(false);
    },
  );

  test("two names that differ in case only would share credentials on some machines", async () => {
    const contexts = openContexts(newHome());
    await contexts.put("Home", alice);
    await contexts.put("Home", bob);
    expect((await failure(() => contexts.put("home", alice))).code).toBe("already_exists");
  });

  test("what cannot be a context is refused before anything is written", async () => {
    const contexts = openContexts(newHome());
    expect((await failure(() => contexts.put("home", { ...alice, coordinator: "nowhere" }))).code).toBe("invalid_argument");
    expect((await failure(() => contexts.put("home", { ...alice, created: "yesterday" }))).code).toBe("invalid_argument");
    expect(await contexts.list()).toEqual([]);
  });
});

describe("a file that cannot be used", () => {
  const file = (change: object) => JSON.stringify({ version: 1, current: null, contexts: {}, ...change });
  test.each<[string, string, string]>([
    ["no JSON", '{\n"version": 1,\n', "not valid JSON, the mistake is in line 2"],
    ["an empty file", "", "not valid JSON, the mistake is in line 1"],
    ["an unknown key", file({ curent: "a" }), "curent: unknown key, did you mean current?"],
    ["a newer version", file({ version: 2 }), "version: not a version that this executable understands; a newer one wrote the file"],
    [
      "a context without coordinator",
      file({ contexts: { home: { member: "alice", created: alice.created } } }),
      "contexts.home.coordinator: missing",
    ],
    ["a wrong member", file({ contexts: { home: { ...alice, member: "A" } } }), 'contexts.home.member: "A" cannot be a name'],
    [
      "an unknown key inside",
      file({ contexts: { home: { ...alice, memebr: "x" } } }),
      "contexts.home.memebr: unknown key, did you mean member?",
    ],
    ["a name that is a path", file({ contexts: { "../x": alice } }), 'contexts."../x": cannot be the name of a context'],
    ["a current one that is none", file({ current: "home" }), "current: names no context of the file"],
  ])("%s names file and key, and is left as it is", async (_, text, why) => {
    const home = newHome();
    const contexts = openContexts(home);
    await mkdir(home);
    await writeFile(contexts.file, text);
    for (const run of [() => contexts.list(), () => contexts.put("a", alice), () => contexts.remove("a")]) {
      const error = await failure(run);
      expect([error.code, error.message]).toEqual(["configuration", `${contexts.file}: ${why}`]);
    }
    expect(await readFile(contexts.file, "utf8")).toBe(text);
    expect(await readdir(home)).toEqual(["config.json"]);
  });

  test("a folder in its place, and a home that is a file", async () => {
    const home = newHome();
    await mkdir(join(home, "config.json"), { recursive: true });
    expect((await failure(() => openContexts(home).list())).code).toBe("configuration");
    const inFile = join(home, "plain");
    await writeFile(inFile, "");
    const error = await failure(() => openContexts(join(inFile, "sub")).put("a", alice));
    expect([error.code, error.message.includes("config.json cannot be changed")]).toEqual(["not_a_directory" satisfies ErrorCode, true]);
  });
});

describe("several writers", () => {
  test("in several processes lose nothing", async () => {
    const home = newHome();
    const [processes, each] = [3, 12];
    const program = join(root, "writer.ts");
    const module = join(import.meta.dir, "../../src/client/context-file.ts");
    await writeFile(
      program,
      `import { openContexts } from ${JSON.stringify(module)};
       const contexts = openContexts(process.argv[2]);
       for (let i = 0; i < ${each}; i++) await contexts.put(process.argv[3] + "-" + i, ${JSON.stringify(alice)});`,
    );
    const children = Array.from({ length: processes }, (_, index) =>
      Bun.spawn([process.execPath, program, home, `p${index}`], { stdout: "inherit", stderr: "inherit" }),
    );
    expect(await Promise.all(children.map((child) => child.exited))).toEqual(Array(processes).fill(0));
    expect((await openContexts(home).list()).length).toBe(processes * each);
    expect(await readdir(home)).toEqual(["config.json"]);
  });

  test("in one process lose nothing", async () => {
    const home = newHome();
    await Promise.all(Array.from({ length: 20 }, (_, index) => openContexts(home).put(`c${index}`, alice)));
    expect((await openContexts(home).list()).length).toBe(20);
  });

  /** Time passes by waiting only. */
  function createWaitingClock(): Clock & { nowMs: number } {
    const clock = {
      nowMs: 0,
      monotonicMs: () => clock.nowMs,
      wallMs: () => 0,
      sleep: async (ms: number) => {
        clock.nowMs += ms;
        await Promise.resolve();
      },
      every: () => ({ [Symbol.dispose]: () => {} }),
    };
    return clock;
  }

  async function withLeftLock(holder: string, guard?: string) {
    const home = newHome();
    await mkdir(home);
    await writeFile(join(home, "config.json.lock"), holder);
    if (guard !== undefined) await writeFile(join(home, "config.json.lock.stale"), guard);
    const clock = createWaitingClock();
    return { home, clock, contexts: openContexts(home, { clock, random: createSeededRandom(1) }) };
  }

  test("the lock of a process that died is taken over soon, of an unknown one later", async () => {
    const child = Bun.spawn(["true"]);
    await child.exited;
    const dead = await withLeftLock(`${child.pid} ${hostname()} aa\n`);
    await dead.contexts.put("home", alice);
    expect(dead.clock.nowMs).toBeLessThan(1_000);
    for (const holder of ["1 another-machine bb\n", ""]) {
      const unknown = await withLeftLock(holder);
      await unknown.contexts.put("home", alice);
      expect(unknown.clock.nowMs).toBeGreaterThan(9_000);
      expect(await readdir(unknown.home)).toEqual(["config.json"]);
    }
  });

  test("a crash while taking over does not block for ever", async () => {
    const left = await withLeftLock("1 another-machine bb\n", "1 another-machine bb\n");
    await left.contexts.put("home", alice);
    expect(await readdir(left.home)).toEqual(["config.json"]);
  });

  test("a lock that keeps changing hands ends in a clear error", async () => {
    const busy = await withLeftLock("1 another-machine 0\n");
    let turn = 0;
    const sleep = busy.clock.sleep;
    busy.clock.sleep = async (ms) => {
      turn += 1;
      await writeFile(join(busy.home, "config.json.lock"), `1 another-machine ${turn}\n`);
      await sleep(ms * 20);
    };
    const error = await failure(() => busy.contexts.put("home", alice));
    expect([error.code, error.hint]).toEqual(["unavailable", "remove that file if no other collective is running"]);
  });

  test.skipIf(process.getuid?.() === 0)("a home that may not be written is a permission", async () => {
    const home = newHome();
    await mkdir(home, { mode: 0o500 });
    expect((await failure(() => openContexts(home).put("a", alice))).code).toBe("permission_denied");
    await chmod(home, 0o700);
  });
});

describe("the context of a command", () => {
  const prepared = async () => {
    const contexts = openContexts(newHome());
    await contexts.put("home", alice);
    await contexts.put("attic", { ...bob, coordinator: "garage:8002" });
    return contexts;
  };

  test("flag, then environment, then the current one", async () => {
    const contexts = await prepared();
    const chosen = async (flags: object, environment: Record<string, string> = {}) => {
      const context = await chooseContext({ flags, environment, contexts });
      return [context.name, `${context.coordinator.host}:${context.coordinator.port}`];
    };
    expect(await chosen({})).toEqual(["home", "localhost:8001"]);
    expect(await chosen({}, { COLLECTIVE_CONTEXT: "attic" })).toEqual(["attic", "garage:8002"]);
    expect(await chosen({ context: "home" }, { COLLECTIVE_CONTEXT: "attic" })).toEqual(["home", "localhost:8001"]);
    expect(await chosen({ coordinator: "nas" })).toEqual(["home", "nas:8001"]);
    expect(await chosen({}, { COLLECTIVE_COORDINATOR_ADDRESS: ":18001" })).toEqual(["home", "127.0.0.1:18001"]);
    expect(await chosen({ context: "attic" }, { COLLECTIVE_COORDINATOR_ADDRESS: ":18001" })).toEqual(["attic", "garage:8002"]);
  });

  test("credentials are those of the context, or all three by hand", async () => {
    const contexts = await prepared();
    expect((await chooseContext({ flags: { context: "attic" }, environment: {}, contexts })).credentials).toEqual(
      contexts.credentials("attic"),
    );
    const byHand = { ca: "ca", cert: "cert", key: "key" };
    const expected = { authorityFile: "ca", certificateFile: "cert", keyFile: "key" };
    expect((await chooseContext({ flags: { context: "attic", ...byHand }, environment: {}, contexts })).credentials).toEqual(expected);
    const alone = await chooseContext({ flags: { coordinator: "nas:1", ...byHand }, environment: {}, contexts: openContexts(newHome()) });
    expect(alone).toEqual({
      name: undefined,
      member: undefined,
      identity: undefined,
      coordinator: { host: "nas", port: 1 },
      credentials: expected,
    });
    expect((await failure(() => chooseContext({ flags: { ca: "ca", key: "key" }, environment: {}, contexts }))).code).toBe(
      "invalid_argument",
    );
  });

  test("none says what to do", async () => {
    const empty = openContexts(newHome());
    expect(await failure(() => chooseContext({ flags: {}, environment: {}, contexts: empty }))).toMatchObject({
      code: "configuration",
      message: "there is no context yet",
    });
    const contexts = await prepared();
    await contexts.remove("home");
    const error = await failure(() => chooseContext({ flags: {}, environment: {}, contexts }));
    expect([error.code, error.hint]).toEqual(["configuration", "choose one with collective config use-context: attic"]);
    expect((await failure(() => chooseContext({ flags: { context: "nope" }, environment: {}, contexts }))).code).toBe("not_found");
  });
});
