/** The demo, as a newcomer runs it: what it claims is true, and nothing of it stays behind, however it ends. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectFailure, until } from "../support/e2e-commands.ts";
import { describeTree, makeTree } from "../support/e2e-files.ts";
import { type Environment, executable, type Handle, run, start, type TemporaryHome, temporaryHome } from "../support/process.ts";

const timeoutMs = 120_000;

interface Place extends AsyncDisposable {
  readonly env: Environment;
  /** Where the demo makes its temporary folder. */
  readonly temporary: string;
  readonly tree: string;
  readonly home: TemporaryHome;
}

async function makePlace(): Promise<Place> {
  const home = await temporaryHome();
  const temporary = join(home.path, "temporary");
  const tree = join(home.path, "tree");
  for (const path of [temporary, tree]) mkdirSync(path);
  return { home, temporary, tree, env: { ...home.env, TMPDIR: temporary }, [Symbol.asyncDispose]: home[Symbol.asyncDispose] };
}

function pidsIn(output: string): number[] {
  return [...output.matchAll(/ pid (\d+)$/gm)].map(([, pid]) => Number(pid));
}

/** A process that ended but that nobody has waited for yet does not run any more. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, "utf8"));
}

function expectNothingLeft({ temporary, home }: Place, pids: readonly number[]): void {
  expect(pids.filter(isRunning)).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
  // Nor did it touch what the person has of their own.
  expect(existsSync(join(home.path, "home", ".collective"))).toBe(false);
}

describe("demo", () => {
  test(
    "three members share as granted, one fetches back what another stored while a node is dead, and a named folder stays to prove it",
    async () => {
      await using place = await makePlace();
      makeTree(place.tree);
      const folder = join(place.home.path, "folder");
      const { exitCode, stdout, stderr } = await run(["demo", "--nodes", "3", "--tree", place.tree, "--dir", folder], {
        env: { ...place.env, COLLECTIVE_ROLE: "node", COLLECTIVE_CONTEXT: "of somebody else" },
        timeoutMs,
      });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });

      const pids = pidsIn(stdout);
      expect(pids).toHaveLength(12);
      expect(stdout).toMatch(/^ {2}3 members see each other alive after .*, 2 of them introduced to each other by alice$/m);
      const pairs = [...stdout.matchAll(/^ {2}(\w+) +(\w+) +5\.0 MiB, SHA-256 equal +refused: permission_denied +refused: not_found$/gm)];
      expect(pairs.map(([, owner, reader]) => `${owner} ${reader}`)).toEqual([
        ...["alice bob", "alice carol", "bob alice", "bob carol", "carol alice", "carol bob"],
      ]);
      expect(stdout).toContain("Fetching everything back as bob@garage.collective.local, whom alice@home.collective.local granted that");
      const [, victim, victimPid] = /^ {2}kill (node-\d+) \(pid (\d+)\) after [\d.]+ MiB$/m.exec(stdout) ?? [];
      expect(pids).toContain(Number(victimPid));
      expect(stdout).toContain("Every byte came back, though one of 3 nodes is dead.");
      expect(stdout).toMatch(/^ {2}get .* no read failed$/m);
      expect(stdout).toMatch(/, 0 different in /);
      // The output of status, in which the coordinator has missed it, and no member.
      expect(stdout).toMatch(new RegExp(`^${victim}\\s+(suspect|dead)`, "m"));
      for (const peer of ["bob@garage", "carol@office"]) expect(stdout).toMatch(new RegExp(`^${peer}\\.collective\\.local +alive`, "m"));

      expect(describeTree(join(folder, "fetched", "tree"))).toEqual(describeTree(place.tree));
      expect(readFileSync(join(folder, "fetched/random.bin")).equals(readFileSync(join(folder, "made/random.bin")))).toBe(true);
      expectNothingLeft(place, pids);
    },
    timeoutMs,
  );

  test(
    "without anything to store it makes files of its own, and removes all there was",
    async () => {
      await using place = await makePlace();
      const { exitCode, stdout, stderr } = await run(["demo", "--members", "1", "--nodes", "1"], {
        env: place.env,
        cwd: place.tree,
        timeoutMs,
      });
      expect(exitCode).toBe(0);
      expect(stderr).toMatch(/^not storing the current directory, .* has no files$/m);
      expect(stdout).toMatch(/^ {2}1,001 files equal \(.*\), 25 symbolic links equal, 0 different/m);
      expect(stdout).not.toContain("kill node");
      expect(stdout).not.toContain("federation");
      expectNothingLeft(place, pidsIn(stdout));
    },
    timeoutMs,
  );

  for (const { signal, moment } of [
    { signal: "SIGTERM", moment: /^Storing/ },
    { signal: "SIGHUP", moment: /^Fetching/ },
    { signal: "SIGINT", moment: /^Comparing/ },
  ] as const) {
    test(`${signal} in the middle ends it with one line and leaves nothing`, async () => {
      await using place = await makePlace();
      const demo = start(["demo", "--nodes", "1"], { env: place.env, cwd: place.tree });
      await demo.waitForLine(moment);
      process.kill(demo.pid, signal);
      // Under npm a Ctrl-C comes twice, from the terminal and from npm; that is still one.
      process.kill(demo.pid, signal);
      expect(await demo.exited).toBe(1);
      expect(demo.stderr().split("\n").at(-2)).toBe("collective: demo: stopped before it was done (cancelled)");
      expectNothingLeft(place, pidsIn(demo.stdout()));
    });
  }

  test("when it is killed itself, its processes end too", async () => {
    await using place = await makePlace();
    await using demo: Handle = start(["demo", "--members", "2", "--nodes", "1"], { env: place.env, cwd: place.tree });
    await demo.waitForLine(/^Storing/);
    const pids = pidsIn(demo.stdout());
    expect(pids.filter(isRunning)).toHaveLength(4);
    await demo.kill();
    await until(
      () => pids.filter(isRunning),
      (left) => left.length === 0,
    );
  });

  test("on a terminal it stays up and can be used until Ctrl-C", async () => {
    await using place = await makePlace();
    makeTree(place.tree);
    const pieces: Buffer[] = [];
    const output = (): string => Buffer.concat(pieces).toString().replaceAll("\r\n", "\n");
    const demo = Bun.spawn([executable(), "demo", "--members", "2", "--nodes", "2"], {
      cwd: place.tree,
      env: { PATH: process.env.PATH ?? "", LANG: "C.UTF-8", NO_COLOR: "1", ...place.env },
      // Given so, it is the terminal that controls the process; a Terminal made before would not be.
      terminal: { cols: 100, rows: 40, data: (_, data) => void pieces.push(Buffer.from(data)) },
    });
    try {
      await until(output, (text) => text.includes("Ctrl-C stops all processes and removes"), { timeoutMs });
      const [, home = ""] = /export COLLECTIVE_HOME=(\S+)/.exec(output()) ?? [];
      const used = await run(["read", "/demo/tree/line\nbreak"], { env: { ...place.env, COLLECTIVE_HOME: home } });
      expect(used.stdout).toBe("a name of two lines");
      const asBob = ["--context", "bob", "read", "/@alice@home.collective.local/demo/tree/line\nbreak"];
      expect((await run(asBob, { env: { ...place.env, COLLECTIVE_HOME: home } })).stdout).toBe("a name of two lines");
      demo.terminal?.write("\x03");
      expect(await demo.exited).toBe(0);
      expectNothingLeft(place, pidsIn(output()));
    } finally {
      demo.kill("SIGKILL");
      demo.terminal?.close();
    }
  });

  test("wrong usage is one line, and nothing is started or made", async () => {
    await using place = await makePlace();
    writeFileSync(join(place.tree, "file"), "content");
    const { env, tree } = place;
    const attempt = (...args: string[]) => run(["demo", ...args], { env, cwd: place.home.path });
    expectFailure(await attempt("--members", "9"), { code: "invalid_argument", says: /--members is a number from 1 to 8, not "9"/ });
    expectFailure(await attempt("--nodes", "0"), { code: "invalid_argument", says: /--nodes is a number from 1 to 16, not "0"/ });
    expectFailure(await attempt("--nodes", "three"), { code: "invalid_argument", says: /"three"/ });
    expectFailure(await attempt("--tree", join(tree, "missing")), { code: "not_found", says: /missing/ });
    expectFailure(await attempt("--tree", join(tree, "file")), { code: "not_a_directory", says: /file is not a directory/ });
    expectFailure(await attempt("--tree", tree, "--dir", join(tree, "a/b")), { code: "invalid_argument", says: /lies in .*tree/ });
    expectFailure(await attempt("--tree", tree, "--dir", tree), { code: "invalid_argument", says: /lies in .*tree/ });
    expectFailure(await attempt("--dir", place.home.path), { code: "not_empty", says: /is not empty/ });
    expect(readdirSync(tree)).toEqual(["file"]);
    expectNothingLeft(place, []);
  });
});
