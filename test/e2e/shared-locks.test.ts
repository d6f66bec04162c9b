/** Locks on a file of the collective exclude other mounts of it: `flock`, the byte ranges that SQLite takes, and across a restart of the coordinator. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../support/e2e-commands.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective, program } from "../support/mounted-collective.ts";
import { type Collective, startCollective } from "../support/process.ts";
import { sys } from "../support/syscalls.ts";

const impossible = mountingImpossible();
if (impossible !== undefined) console.log(`mount: skipped, ${impossible}`);

const [LOCK_EX, LOCK_UN] = [2, 8];

describe.skipIf(impossible !== undefined)("locks on two mounts of one collective", () => {
  let collective: Collective;
  let mounts: [MountedCollective, MountedCollective];
  let here: string;
  let there: string;
  beforeAll(async () => {
    collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/shared"]);
    mounts = [await mountCollective(collective, "mnt-one"), await mountCollective(collective, "mnt-two")];
    [here, there] = [join(mounts[0].path, "shared"), join(mounts[1].path, "shared")];
  }, 60_000);
  afterAll(async () => {
    for (const mounted of mounts) await mounted[Symbol.asyncDispose]();
    await collective[Symbol.asyncDispose]();
  });

  const tryToLock = async (path: string): Promise<boolean> =>
    (await Bun.spawn(["flock", "--nonblock", path, "true"], { stderr: "ignore" }).exited) === 0;

  test("a lock that was taken when the file was open here alone excludes whoever comes then, until it is given back", async () => {
    writeFileSync(join(here, "locked"), "");
    const file = openSync(join(here, "locked"), "r+");
    try {
      sys.flock(file, LOCK_EX);
      expect(await tryToLock(join(there, "locked"))).toBe(false);
      expect(await tryToLock(join(here, "locked"))).toBe(false);
      const waiting = Bun.spawn(["flock", join(there, "locked"), "echo", "mine"], { stdout: "pipe" });
      expect(await tryToLock(join(there, "locked"))).toBe(false);
      sys.flock(file, LOCK_UN);
      expect(await waiting.stdout.text()).toBe("mine\n");
      sys.flock(file, LOCK_EX);
      expect(await tryToLock(join(there, "locked"))).toBe(false);
    } finally {
      closeSync(file);
    }
    expect(await tryToLock(join(there, "locked"))).toBe(true);
    expect(await tryToLock(join(here, "locked"))).toBe(true);
  }, 30_000);

  test("a lock outlives a restart of the coordinator", async () => {
    writeFileSync(join(here, "kept"), "");
    const [file, other] = [openSync(join(here, "kept"), "r+"), openSync(join(there, "kept"), "r+")];
    try {
      sys.flock(file, LOCK_EX);
      await collective.restart("coordinator");
      expect(await tryToLock(join(there, "kept"))).toBe(false);
      sys.flock(file, LOCK_UN);
      expect(await tryToLock(join(there, "kept"))).toBe(true);
    } finally {
      closeSync(file);
      closeSync(other);
    }
  }, 60_000);

  test("the lock of a mount that is gone is gone with it", async () => {
    writeFileSync(join(here, "left"), "");
    const third = await mountCollective(collective, "mnt-three");
    const held = openSync(join(there, "left"), "r+");
    const file = openSync(join(third.path, "shared/left"), "r+");
    sys.flock(file, LOCK_EX);
    expect(await tryToLock(join(there, "left"))).toBe(false);
    // Still open, so nothing but the end of the mount gives it back.
    await third[Symbol.asyncDispose]();
    expect(await tryToLock(join(there, "left"))).toBe(true);
    closeSync(held);
    closeSync(file);
  }, 60_000);

  test("two connections to one SQLite database see each other's commits, and wait for each other", () => {
    const one = new Database(join(here, "one.db"), { create: true });
    one.run("CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT)");
    const other = new Database(join(there, "one.db"));
    try {
      for (let round = 0; round < 5; round++) {
        for (const [writer, reader, who] of [
          [one, other, "one"],
          [other, one, "other"],
        ] as const) {
          writer.run("BEGIN IMMEDIATE");
          writer.run("INSERT INTO t (who) VALUES (?)", [who]);
          expect(() => reader.run("BEGIN IMMEDIATE")).toThrow("database is locked");
          writer.run("COMMIT");
          expect(reader.query("SELECT count(*) AS n FROM t WHERE who = ?").get(who)).toEqual({ n: round + 1 });
        }
      }
    } finally {
      one.close();
      other.close();
    }
  }, 30_000);

  test("two programs that write to one SQLite database at once leave it whole, with all that both wrote", async () => {
    const rows = 60;
    const script = (who: string): string => Array.from({ length: rows }, (_, row) => `INSERT INTO t VALUES ('${who}', ${row});`).join("\n");
    await program(["sqlite3", "two.db", "CREATE TABLE t (who TEXT, row INTEGER)"], here);
    const write = (folder: string, who: string): Promise<string> =>
      program(["sqlite3", "-bail", "-cmd", ".timeout 30000", "two.db", script(who)], folder);
    await Promise.all([write(here, "here"), write(there, "there")]);
    for (const folder of [here, there]) {
      expect(
        await program(["sqlite3", "two.db", "PRAGMA integrity_check; SELECT count(*), count(DISTINCT who || row) FROM t"], folder),
      ).toBe(`ok\n${2 * rows}|${2 * rows}\n`);
    }
  }, 120_000);
});
