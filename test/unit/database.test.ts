import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CollectiveError } from "../../protocol/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import { type CollectiveDatabase, type DatabaseOptions, type Migration, openDatabase } from "../../src/db/database.ts";
import { groupsUntilRecovered, groupWritesMax, queuedWritesMax } from "../../src/db/group-commit.ts";
import { rowMigrations, testApplicationId } from "./database-schema.ts";

interface Folder extends Disposable {
  readonly path: string;
  open(options?: Partial<DatabaseOptions>): CollectiveDatabase;
}

function folder(): Folder {
  const dir = mkdtempSync(join(tmpdir(), "database-"));
  const path = join(dir, "test.db");
  return {
    path,
    open: (options = {}) => openDatabase({ path, applicationId: testApplicationId, migrations: rowMigrations, log: silentLog, ...options }),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Like `kill -9`: what the files say while the process that writes them is still there. */
function copyWhileOpen(from: Folder, to: Folder): void {
  for (const suffix of ["", "-wal"]) copyFileSync(from.path + suffix, to.path + suffix);
}

function thrown(fn: () => unknown): CollectiveError {
  try {
    fn();
  } catch (error) {
    if (error instanceof Error && error.name === "CollectiveError") return error as CollectiveError;
    throw error;
  }
  throw new Error("it should have thrown and did not");
}

function insert(database: CollectiveDatabase, number: number, text = "x"): () => void {
  return () => void database.sqlite.query("INSERT INTO row (number, text) VALUES (?, ?)").run(number, text);
}

function numbers(database: CollectiveDatabase): number[] {
  return database.sqlite
    .query<{ number: number }, []>("SELECT number FROM row ORDER BY number")
    .all()
    .map(({ number }) => number);
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("writes", () => {
  test("answer with the value, in order, and see what earlier ones did", async () => {
    using dir = folder();
    const database = dir.open();
    const count = () => numbers(database).length;
    const writes = Array.from({ length: groupWritesMax * 2 + 5 }, (_, i) =>
      (i % 2 === 0 ? database.write : database.writeRelaxed)(() => {
        insert(database, i)();
        return count();
      }),
    );
    expect(await Promise.all(writes)).toEqual(writes.map((_, i) => i + 1));
    await database.close();
  });

  test("one that throws undoes itself alone and gets its own error", async () => {
    using dir = folder();
    const database = dir.open();
    const results = await Promise.allSettled([
      database.write(insert(database, 1)),
      database.write(() => {
        insert(database, 2)();
        throw new Error("changed my mind");
      }),
      database.write(insert(database, 1)),
      database.write(async () => insert(database, 3)()),
      database.write(insert(database, 4)),
    ]);
    expect(results.map((result) => (result.status === "fulfilled" ? "ok" : result.reason.code))).toEqual([
      "ok",
      "internal",
      "already_exists",
      "internal",
      "ok",
    ]);
    expect(numbers(database)).toEqual([1, 4]);
    await database.close();
  });

  test("durable ones wait for one sync that they share, relaxed ones do not, and the event loop runs on", async () => {
    using dir = folder();
    const disk = gate();
    let syncs = 0;
    const database = dir.open({
      syncFile: () => {
        syncs++;
        return disk.opened;
      },
    });
    const answered: string[] = [];
    const durable = [1, 2, 3].map((i) => database.write(insert(database, i)).then(() => answered.push("durable")));
    await database.writeRelaxed(insert(database, 4)).then(() => answered.push("relaxed"));
    for (let i = 0; i < 10; i++) await turn();
    expect(answered).toEqual(["relaxed"]);
    expect(numbers(database)).toEqual([1, 2, 3, 4]);
    const late = [5, 6, 7].map((i) => database.write(insert(database, i)));
    disk.open();
    await Promise.all([...durable, ...late]);
    expect(syncs).toBe(2);
    await database.close();
  });

  test("after a failed sync nothing is acknowledged any more", async () => {
    using dir = folder();
    let broken = false;
    const database = dir.open({
      syncFile: async () => (broken ? Promise.reject(Object.assign(new Error("EIO: i/o error"), { code: "EIO" })) : undefined),
    });
    await database.write(insert(database, 1));
    broken = true;
    const [failed] = await Promise.allSettled([database.write(insert(database, 2))]);
    expect(failed).toMatchObject({ status: "rejected", reason: { code: "internal" } });
    broken = false;
    for (const write of [database.write, database.writeRelaxed]) {
      await expect(write(insert(database, 3))).rejects.toMatchObject({ code: "internal" });
    }
    await database.close();
  });

  test("a full disk fails the write with no_space and is told once, and later ones work", async () => {
    using dir = folder();
    const told: string[] = [];
    const tell = (event: string) => void (event.startsWith("disk") && told.push(event));
    const database = dir.open({ log: { ...silentLog, warn: tell, info: tell } });
    await database.write(insert(database, 1));
    const pages = database.sqlite.query<{ page_count: number }, []>("PRAGMA page_count").get()?.page_count ?? 0;
    database.sqlite.run(`PRAGMA max_page_count = ${pages + 2}`);
    for (let i = 0; i < 3; i++) {
      await expect(database.write(insert(database, 2, "x".repeat(1_000_000)))).rejects.toMatchObject({ code: "no_space" });
      await database.write(() => undefined);
    }
    expect(numbers(database)).toEqual([1]);
    await database.write(insert(database, 3));
    expect(numbers(database)).toEqual([1, 3]);
    expect(told).toEqual(["disk is full, writes are refused"]);
    for (let i = 0; i < groupsUntilRecovered; i++) await database.write(() => undefined);
    expect(told).toEqual(["disk is full, writes are refused", "disk has room again"]);
    await database.close();
  });

  test("the queue has an end", async () => {
    using dir = folder();
    const disk = gate();
    const database = dir.open({ syncFile: () => disk.opened });
    const first = database.write(insert(database, -1));
    await turn();
    await turn();
    const queued = Array.from({ length: queuedWritesMax }, () => database.write(() => 0));
    await expect(database.write(() => 0)).rejects.toMatchObject({ code: "rate_limited" });
    disk.open();
    await Promise.all([first, ...queued]);
    await database.close();
  });

  test("close waits for what is queued, twice is fine, and later writes are refused", async () => {
    using dir = folder();
    const database = dir.open();
    const writes = Array.from({ length: 300 }, (_, i) => database.write(insert(database, i)));
    await Promise.all([database.close(), database.close()]);
    await Promise.all(writes);
    await expect(database.write(() => 0)).rejects.toMatchObject({ code: "unavailable" });
    expect(existsSync(`${dir.path}-wal`)).toBe(false);
    const again = dir.open();
    expect(numbers(again)).toHaveLength(300);
    await again.close();
  });

  test("the WAL is copied into the database and used again while writes go on", async () => {
    using dir = folder();
    using copy = folder();
    const database = dir.open();
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 64 }, (_, i) => database.write(insert(database, round * 64 + i, "x".repeat(8_000)))));
    }
    expect(statSync(`${dir.path}-wal`).size).toBeLessThan(10_000_000);
    expect(statSync(dir.path).size).toBeGreaterThan(10_000_000);
    copyWhileOpen(dir, copy);
    await database.close();
    const recovered = copy.open();
    expect(numbers(recovered)).toHaveLength(30 * 64);
    expect(recovered.sqlite.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    await recovered.close();
  });

  test("a database in memory does the same", async () => {
    const database = openDatabase({ path: ":memory:", applicationId: testApplicationId, migrations: rowMigrations, log: silentLog });
    await Promise.all([database.write(insert(database, 1)), database.writeRelaxed(insert(database, 2))]);
    expect(numbers(database)).toEqual([1, 2]);
    await database.close();
  });
});

test("whatever was acknowledged survives kill -9, in one life after the other", async () => {
  using dir = folder();
  const acknowledged: number[] = [];
  for (let life = 0; life < 4; life++) {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "database-writer.ts"), dir.path, String(life * 1_000_000)], {
      stdout: "pipe",
      stderr: "inherit",
    });
    let output = "";
    for await (const part of child.stdout) {
      output += new TextDecoder().decode(part);
      if (output.length > 2_000 + life * 3_000) child.kill("SIGKILL");
    }
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    acknowledged.push(...output.slice(0, output.lastIndexOf("\n")).split("\n").map(Number));
    const database = dir.open();
    const survived = new Set(numbers(database));
    expect(acknowledged.filter((number) => !survived.has(number))).toEqual([]);
    expect(database.sqlite.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    await database.close();
  }
  expect(acknowledged.length).toBeGreaterThan(1_000);
});

describe("owner", () => {
  test("a second opening is refused while the first lasts, in this process and in another", async () => {
    using dir = folder();
    const database = dir.open();
    expect(thrown(() => dir.open())).toMatchObject({ code: "conflict", message: `${dir.path} is in use by another process` });
    const child = Bun.spawnSync([process.execPath, join(import.meta.dir, "database-writer.ts"), dir.path]);
    expect(child.stderr.toString()).toContain("is in use by another process");
    await database.write(insert(database, 1));
    await database.close();
    await dir.open().close();
  });

  test("a missing folder says so", () => {
    using dir = folder();
    expect(thrown(() => dir.open({ path: join(dir.path, "missing", "x.db") })).code).toBe("configuration");
  });
});

describe("a file that is not fit", () => {
  /** Opening fails with `code`, and every file is as it was. */
  function refused(dir: Folder, code: string, options: Partial<DatabaseOptions> = {}): string {
    const files = () =>
      readdirSync(join(dir.path, ".."))
        .filter((name) => !name.includes(".lock"))
        .map((name) => [name, Bun.hash(readFileSync(join(dir.path, "..", name)))]);
    const before = files();
    const error = thrown(() => dir.open(options));
    expect(error.code as string).toBe(code);
    expect(error.message).toContain(dir.path);
    expect(error.message).not.toContain("\n");
    expect(error.hint).toBeDefined();
    expect(files()).toEqual(before);
    return error.message;
  }

  async function filled(dir: Folder): Promise<void> {
    const database = dir.open();
    await Promise.all(Array.from({ length: 100 }, (_, i) => database.write(insert(database, i, "x".repeat(1_000)))));
    await database.close();
  }

  for (const [name, keptBytes] of [
    ["empty", () => 0],
    ["cut in the header", () => 50],
    ["cut after the first page", () => 4096],
    ["cut in the middle", (bytes: number) => Math.floor(bytes / 2)],
    ["short of one byte", (bytes: number) => bytes - 1],
  ] as const) {
    test(`${name}: corrupt, and left as it is`, async () => {
      using dir = folder();
      await filled(dir);
      truncateSync(dir.path, keptBytes(statSync(dir.path).size));
      expect(refused(dir, "corrupt")).toContain("is damaged");
    });
  }

  test("cut short after a crash: corrupt, and the WAL is left as it is", async () => {
    using dir = folder();
    using copy = folder();
    await filled(dir);
    const database = dir.open();
    await database.write(insert(database, 1_000));
    copyWhileOpen(dir, copy);
    await database.close();
    truncateSync(copy.path, 8192);
    expect(refused(copy, "corrupt")).toContain("cut short");
  });

  test("shorter than its header says because a checkpoint was interrupted: opened, nothing lost", async () => {
    using dir = folder();
    using copy = folder();
    const database = dir.open();
    const before = statSync(dir.path).size;
    await Promise.all(Array.from({ length: 100 }, (_, i) => database.write(insert(database, i, "x".repeat(1_000)))));
    database.sqlite.run("PRAGMA wal_checkpoint(PASSIVE)");
    copyWhileOpen(dir, copy);
    await database.close();
    truncateSync(copy.path, before);
    const recovered = copy.open();
    expect(numbers(recovered)).toHaveLength(100);
    await recovered.close();
  });

  test("gone while its WAL is there: corrupt", async () => {
    using dir = folder();
    using copy = folder();
    const database = dir.open();
    await database.write(insert(database, 1));
    copyWhileOpen(dir, copy);
    await database.close();
    rmSync(copy.path);
    expect(refused(copy, "corrupt")).toContain("missing");
  });

  test("overwritten inside: corrupt", async () => {
    using dir = folder();
    await filled(dir);
    const bytes = readFileSync(dir.path);
    bytes.fill(0xa5, 8192, 8192 + 4096);
    writeFileSync(dir.path, bytes);
    refused(dir, "corrupt");
  });

  test("no database at all: corrupt", () => {
    using dir = folder();
    writeFileSync(dir.path, "all my passwords\n".repeat(100));
    expect(refused(dir, "corrupt")).toContain("not a SQLite database");
  });

  test("another program's: refused", () => {
    using dir = folder();
    using foreign = new Database(dir.path);
    foreign.run("CREATE TABLE theirs (x)");
    foreign.close();
    expect(refused(dir, "configuration")).toContain("another program");
  });

  test("written by a newer version: refused", async () => {
    using dir = folder();
    await dir.open({ migrations: steps }).close();
    expect(refused(dir, "configuration")).toContain("newer version");
  });
});

const steps: readonly Migration[] = [
  ...rowMigrations,
  {
    name: "0002-tags",
    sql: "CREATE TABLE tag (row INTEGER NOT NULL REFERENCES row (number), name TEXT NOT NULL) STRICT; INSERT INTO tag SELECT number, 'old' FROM row;",
  },
  {
    name: "0003-rebuilt",
    sql: `CREATE TABLE row_new (number INTEGER PRIMARY KEY, text TEXT NOT NULL, at_ms INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO row_new (number, text) SELECT number, text FROM row;
DROP TABLE row;
ALTER TABLE row_new RENAME TO row;`,
  },
];

describe("migrations", () => {
  const schemaOf = (database: CollectiveDatabase) =>
    database.sqlite.query("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").all();

  test("step by step gives what a fresh one has, keeps the rows, and puts a copy aside", async () => {
    using fresh = folder();
    using stepwise = folder();
    const expected = fresh.open({ migrations: steps });
    for (let count = 1; count <= steps.length; count++) {
      const database = stepwise.open({ migrations: steps.slice(0, count) });
      if (count === 1) await database.write(insert(database, 7));
      if (count === steps.length) {
        expect(schemaOf(database)).toEqual(schemaOf(expected));
        expect(numbers(database)).toEqual([7]);
        expect(database.sqlite.query("SELECT * FROM tag").all()).toEqual([{ row: 7, name: "old" }]);
        expect(database.sqlite.query("PRAGMA foreign_keys").get()).toEqual({ foreign_keys: 1 });
      }
      await database.close();
    }
    await expected.close();
    const before = stepwise.open({ path: `${stepwise.path}.before-1` });
    expect(numbers(before)).toEqual([7]);
    await before.close();
    expect(existsSync(`${stepwise.path}.before-2`)).toBe(true);
    expect(existsSync(`${fresh.path}.before-0`)).toBe(false);
  });

  test("the copy holds what a crash left in the WAL", async () => {
    using dir = folder();
    using copy = folder();
    const database = dir.open();
    await database.write(insert(database, 1));
    copyWhileOpen(dir, copy);
    await database.close();
    await copy.open({ migrations: steps }).close();
    const before = copy.open({ path: `${copy.path}.before-1` });
    expect(numbers(before)).toEqual([1]);
    await before.close();
  });

  for (const [name, sql] of [
    ["does not run", "CREATE TABLE half (x); NONSENSE"],
    ["breaks a reference", "CREATE TABLE half (x REFERENCES row (number)); INSERT INTO half VALUES (42)"],
  ] as const) {
    test(`a step that ${name} changes nothing`, async () => {
      using dir = folder();
      const database = dir.open();
      await database.write(insert(database, 1));
      await database.close();
      expect(thrown(() => dir.open({ migrations: [...rowMigrations, { name: "0002-bad", sql }] })).code).toBe("internal");
      const again = dir.open();
      expect(numbers(again)).toEqual([1]);
      expect(schemaOf(again)).toHaveLength(1);
      await again.close();
    });
  }

  test("a fresh database that could not be completed is not there", async () => {
    using dir = folder();
    thrown(() => dir.open({ migrations: [{ name: "0001-bad", sql: "NONSENSE" }] }));
    expect(existsSync(dir.path)).toBe(false);
    await dir.open().close();
    expect(statSync(dir.path).mode & 0o777).toBe(0o600);
  });
});

test("a checkpoint on demand gives the space of a shrunken database back", async () => {
  using dir = folder();
  const database = dir.open({ incrementalVacuum: true });
  await database.write(insert(database, 1, "x".repeat(3_000_000)));
  await database.checkpoint();
  expect(statSync(dir.path).size).toBeGreaterThan(3_000_000);
  await database.write(() => database.sqlite.run("DELETE FROM row"));
  await database.write(() => database.sqlite.query("PRAGMA incremental_vacuum").all());
  await database.checkpoint();
  expect(statSync(dir.path).size).toBeLessThan(100_000);
  await database.close();
});
