/** The real mount: ordinary programs on it, several mounts at once, and what is left when something dies. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expectFailure, succeed, until } from "../support/e2e-commands.ts";
import { bytesOf } from "../support/e2e-files.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective, mountsAt, program } from "../support/mounted-collective.ts";
import { type Collective, startCollective } from "../support/process.ts";
import { sys } from "../support/syscalls.ts";

const impossible = mountingImpossible();
if (impossible !== undefined) console.log(`mount: skipped, ${impossible}`);

function errnoOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

describe.skipIf(impossible !== undefined)("a mounted collective", () => {
  let collective: Collective;
  let mounted: MountedCollective;
  let store: string;
  beforeAll(async () => {
    collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/documents"]);
    mounted = await mountCollective(collective, "mnt");
    store = join(mounted.path, "documents");
  }, 60_000);
  afterAll(async () => {
    await mounted[Symbol.asyncDispose]();
    await collective[Symbol.asyncDispose]();
  });

  test("takes a tree from ordinary programs, and other faces see the same", async () => {
    const source = join(collective.home.path, "source");
    mkdirSync(join(source, "deep/er"), { recursive: true });
    for (const [index, bytes] of [0, 1, 5_000, 70_000, 1_100_000, 9_000_000].entries())
      writeFileSync(join(source, index % 2 === 0 ? "deep" : "deep/er", `file ${index} ä`), bytesOf(`${index}`, bytes));
    await program(["ln", "-s", "deep/er", join(source, "link")], "/");
    await program(["cp", "-r", "--preserve=mode,timestamps", source, "tree"], store);
    await program(["diff", "-r", "--no-dereference", source, "tree"], store);
    await program(["mv", "tree", "moved"], store);
    await succeed(collective, ["get", "-r", "/documents/moved", join(collective.home.path, "got")]);
    await program(["diff", "-r", "--no-dereference", source, join(collective.home.path, "got")], "/");
    await program(["rm", "-r", "moved"], store);
    expect(readdirSync(store)).toEqual([]);
  }, 60_000);

  test.skipIf(Bun.which("rsync") === null)(
    "keeps all that rsync carries over, and gives it back",
    async () => {
      const source = join(collective.home.path, "kept");
      mkdirSync(join(source, "sub"), { recursive: true });
      writeFileSync(join(source, "file"), "content");
      const made = [
        "ln file sub/second",
        "ln -s file link",
        "mkfifo -m 640 pipe",
        "mknod -m 600 device c 1 3",
        "chown -h 1234:2345 link sub pipe device",
        "chmod 2770 sub",
        "touch -d '2001-02-03 04:05:06.123456789' file",
        "touch -d '1969-12-31 23:59:58.5' sub",
      ];
      await program(["sh", "-ec", made.join("\n")], source);
      sys.setxattr(join(source, "file"), "user.colour", Buffer.from([0, 1, 255]));
      const rsync = ["rsync", "-aHX", "--checksum", "--itemize-changes"];
      await program([...rsync, `${source}/`, "kept"], store);
      expect(await program([...rsync, `${source}/`, "kept"], store)).toBe("");
      const back = join(collective.home.path, "back");
      await program([...rsync, "kept/", back], store);
      expect(await program([...rsync, `${source}/`, back], store)).toBe("");
      expect(statSync(join(store, "kept/file"))).toMatchObject({ nlink: 2, ino: statSync(join(store, "kept/sub/second")).ino });
      await program(["rm", "-r", "kept"], store);
    },
    60_000,
  );

  test("holds a git repository", async () => {
    const origin = join(collective.home.path, "origin");
    mkdirSync(origin);
    for (let index = 0; index < 20; index++) writeFileSync(join(origin, `file-${index}`), bytesOf(`git ${index}`, 3_000 * index));
    const git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "safe.directory=*"];
    for (const command of [
      ["init", "-q"],
      ["add", "."],
      ["commit", "-qm", "one"],
    ])
      await program([...git, ...command], origin);
    await program([...git, "clone", "-q", `file://${origin}`, "clone"], store);
    const clone = join(store, "clone");
    await program([...git, "fsck", "--strict"], clone);
    writeFileSync(join(clone, "file-3"), "changed");
    await program([...git, "commit", "-qam", "two"], clone);
    await program([...git, "gc", "-q"], clone);
    expect(await program([...git, "status", "--porcelain"], clone)).toBe("");
    expect((await program([...git, "log", "--oneline"], clone)).trim().split("\n")).toHaveLength(2);
  }, 60_000);

  test("shows another mount's files after their close, and its changes of names within a second", async () => {
    await using second = await mountCollective(collective, "mnt-second");
    const there = join(second.path, "documents");
    for (const text of ["one", "longer than one", "x"]) {
      writeFileSync(join(store, "shared"), text);
      expect(readFileSync(join(there, "shared"), "utf8")).toBe(text);
      writeFileSync(join(there, "shared"), `${text} back`);
      expect(readFileSync(join(store, "shared"), "utf8")).toBe(`${text} back`);
    }
    rmSync(join(there, "shared"));
    const startedMs = performance.now();
    await until(
      () => readdirSync(store).includes("shared") || errnoOf(() => statSync(join(store, "shared"))) !== "ENOENT",
      (isThere) => !isThere,
    );
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  }, 60_000);

  test("stays usable for whoever works inside a directory that others look at", async () => {
    const script =
      "mkdir inside && cd inside && for n in 1 2 3; do echo $n > $n && ls -l .. > /dev/null && ls -l ../.. > /dev/null && cat *; done";
    expect(await program(["sh", "-euc", script], store)).toBe("1\n1\n2\n1\n2\n3\n");
  });

  test("keeps a removed file for whoever has it open", async () => {
    writeFileSync(join(store, "open"), "still there");
    const file = openSync(join(store, "open"), "r+");
    rmSync(join(store, "open"));
    const into = Buffer.alloc(11);
    readSync(file, into, 0, 11, 0);
    expect(into.toString()).toBe("still there");
    writeSync(file, "S", 0);
    readSync(file, into, 0, 11, 0);
    expect(into.toString()).toBe("Still there");
    closeSync(file);
    expect(readdirSync(store)).not.toContain("open");
  });

  test("loses nothing that was synced when its process is killed, and is mounted again over the dead one", async () => {
    const doomed = await mountCollective(collective, "mnt-doomed");
    const path = join(doomed.path, "documents/synced");
    const content = bytesOf("synced", 3_000_000);
    const file = openSync(path, "w");
    writeSync(file, content);
    fsyncSync(file);
    // The kernel believes its attributes, and says them although nobody serves it any more.
    statSync(doomed.path);
    await doomed.process.kill();
    expect(errnoOf(() => readdirSync(doomed.path))).toBe("ENOTCONN");
    closeSync(file);
    await using again = await mountCollective(collective, "mnt-doomed");
    expect(Buffer.compare(readFileSync(join(again.path, "documents/synced")), content)).toBe(0);
    expect(mountsAt(again.path)).toBe(1);
  }, 60_000);

  test("answers with an error while the coordinator is gone, and goes on when it is back, with the files that stayed open", async () => {
    await using impatient = await mountCollective(collective, "mnt-impatient", ["--time-limit", "5s"]);
    const folder = join(impatient.path, "documents");
    writeFileSync(join(folder, "before"), "before");
    for (const name of ["not-listed-before", "elsewhere"]) mkdirSync(join(folder, name));
    // A line from here each time it is to go on.
    const steps = 'exec 3<>"$1" && printf first >&3 && read _ && printf ", second" >&3 && echo written && read _ && sync "$1"; exec 3>&-';
    const holder = Bun.spawn(["sh", "-c", steps, "sh", join(folder, "open-all-along")], { stdio: ["pipe", "pipe", "inherit"] });
    await until(
      () => readdirSync(folder).includes("open-all-along"),
      (isThere) => isThere,
    );
    await collective.coordinator.process.kill();
    holder.stdin.write("go on\n");
    const startedMs = performance.now();
    // The kernel has changes of one directory wait for each other.
    const calls = [
      ["stat", join(folder, "not-asked-before")],
      ["ls", join(folder, "not-listed-before")],
      ["flock", join(folder, "before"), "true"],
      ["mkdir", join(folder, "elsewhere/new")],
    ];
    const refused = expect.stringMatching(/Input\/output error|timed out/);
    for (const told of await Promise.all(calls.map((command) => program(command, "/").catch(String)))) expect(told).toEqual(refused);
    expect(performance.now() - startedMs).toBeLessThan(9_000);
    await collective.restart("coordinator");
    holder.stdin.write("go on\n");
    await holder.stdin.end();
    expect(await holder.exited).toBe(0);
    expect((await succeed(collective, ["read", "/documents/open-all-along"])).stdout).toBe("first, second");
    expect(readFileSync(join(folder, "before"), "utf8")).toBe("before");
  }, 60_000);

  test("can be ended while the coordinator is gone, and says what it could not store", async () => {
    await using doomed = await mountCollective(collective, "mnt-ended", ["--time-limit", "5s"]);
    const file = openSync(join(doomed.path, "documents/unsaved"), "w");
    writeSync(file, "only here");
    await collective.coordinator.process.kill();
    doomed.process.stop().catch(() => undefined);
    await until(
      () => mountsAt(doomed.path),
      (count) => count === 0,
    );
    const startedMs = performance.now();
    await doomed.process.exited;
    // What is still open is cut off after 5 s, and storing it is given up after as many.
    expect(performance.now() - startedMs).toBeLessThan(13_000);
    expect(doomed.process.stderr()).toMatch(/written and not stored, it is lost.*unsaved/);
    closeSync(file);
    await collective.restart("coordinator");
  }, 60_000);

  test("refuses what --read-only refuses, and what it does not know", async () => {
    await using readOnly = await mountCollective(collective, "mnt-read-only", ["--read-only", "--remote", "/documents"]);
    writeFileSync(join(store, "given"), "given");
    expect(readFileSync(join(readOnly.path, "given"), "utf8")).toBe("given");
    expect(errnoOf(() => writeFileSync(join(readOnly.path, "given"), "taken"))).toBe("EROFS");
    expect(errnoOf(() => rmSync(join(readOnly.path, "given")))).toBe("EROFS");
    expect(errnoOf(() => writeFileSync(join(mounted.path, "file-in-the-root"), ""))).toBe("EPERM");
    expect(errnoOf(() => linkSync(join(readOnly.path, "given"), join(readOnly.path, "hard")))).toBe("EROFS");
  });

  test("stays in the background until it is unmounted, and says what cannot be mounted", async () => {
    const path = join(collective.home.path, "mnt-background");
    expectFailure(await collective.run(["mount", path]), { code: "not_found", says: /mnt-background/ });
    mkdirSync(path);
    expectFailure(await collective.run(["mount", path, "--remote", "/nothing"]), { code: "not_found", says: /nothing/ });
    expectFailure(await collective.run(["umount", path]), { code: "not_found", says: /mnt-background/ });
    await succeed(collective, ["mount", path]);
    expect(readdirSync(path)).toEqual(["documents"]);
    const file = openSync(join(path, "documents/busy"), "w");
    expectFailure(await collective.run(["umount", path]), { code: "conflict", says: /mnt-background/ });
    closeSync(file);
    await succeed(collective, ["umount", path]);
    expect(readdirSync(path)).toEqual([]);
    const { stdout } = Bun.spawnSync([
      "cat",
      join(collective.env.COLLECTIVE_HOME ?? "", "mounts", `${path.slice(1).replaceAll("/", "-")}.log`),
    ]);
    expect(stdout.toString()).not.toContain("lost");
  }, 60_000);
});
