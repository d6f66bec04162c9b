/**
 * How fast a node's storage takes and gives chunks, beside what the disk and plain SQLite do alone.
 *
 *   bun test/bench/chunk-store.ts [folder] [--json]
 *
 * The folder should be on the disk that is meant; it is cleaned up. The longest pause of the event
 * loop is measured along with each figure, because a server that pauses answers nobody.
 */
import { Database } from "bun:sqlite";
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChunkId } from "../../protocol/ids.ts";
import { gibibyte, kibibyte, mebibyte } from "../../protocol/limits.ts";
import { chunkIdOf, nextTurn } from "../../src/chunk/checks.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { silentLog } from "../../src/core/log.ts";
import { openDatabase } from "../../src/db/database.ts";
import { openDiskStore } from "../support/disk-store.ts";

interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: "MB/s" | "per s" | "ms";
  readonly pauseMsMax?: number;
}

interface Run {
  readonly count: number;
  readonly seconds: number;
  readonly pauseMsMax: number;
}

/** Runs `fn` for every i below `count`, `concurrency` at a time. */
async function measure(count: number, concurrency: number, fn: (i: number) => Promise<unknown>): Promise<Run> {
  let pauseMsMax = 0;
  const start = performance.now();
  let last = start;
  const ticker = setInterval(() => {
    const now = performance.now();
    pauseMsMax = Math.max(pauseMsMax, now - last - 1);
    last = now;
  }, 1);
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < count) {
        await fn(next++);
        await nextTurn();
      }
    }),
  );
  const end = performance.now();
  clearInterval(ticker);
  return { count, seconds: (end - start) / 1000, pauseMsMax: Math.max(pauseMsMax, end - last - 1) };
}

const perSecond = (what: string, run: Run): Figure => ({ what, value: run.count / run.seconds, unit: "per s", pauseMsMax: run.pauseMsMax });
const rate = (what: string, run: Run, bytes: number): Figure => ({
  what,
  value: (run.count * bytes) / 1e6 / run.seconds,
  unit: "MB/s",
  pauseMsMax: run.pauseMsMax,
});

function diskAlone(dir: string): Figure {
  const block = new Uint8Array(4 * mebibyte);
  const blocks = 64;
  const start = performance.now();
  const fd = openSync(join(dir, "plain"), "w");
  for (let i = 0; i < blocks; i++) writeSync(fd, block);
  fdatasyncSync(fd);
  closeSync(fd);
  return {
    what: "disk alone, 256 MiB then one fdatasync",
    value: (blocks * block.length) / 1e3 / (performance.now() - start),
    unit: "MB/s",
  };
}

const migrations = [{ name: "0001", sql: "CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT" }];
const insertSql = "INSERT INTO entry (text) VALUES (?)";
const text = "x".repeat(100);

async function groupCommit(dir: string, writers: number, count: number): Promise<Figure> {
  const database = openDatabase({ path: join(dir, `group-${writers}.db`), applicationId: 1, migrations, log: silentLog });
  const insert = database.sqlite.query(insertSql);
  const run = await measure(count, writers, () => database.write(() => insert.run(text)));
  await database.close();
  return perSecond(`durable writes, ${writers} at once`, run);
}

async function plainFull(dir: string, count: number): Promise<Figure> {
  using sqlite = new Database(join(dir, "plain.db"));
  sqlite.run("PRAGMA journal_mode = WAL");
  sqlite.run("PRAGMA synchronous = FULL");
  sqlite.run(migrations[0]?.sql ?? "");
  const insert = sqlite.query(insertSql);
  const run = await measure(count, 1, async () => insert.run(text));
  return perSecond("plain SQLite, synchronous=FULL, one row a transaction", run);
}

async function chunks(dir: string): Promise<Figure[]> {
  const store = await openDiskStore(join(dir, "store"), { capacityBytes: 64 * gibibyte });
  const figures: Figure[] = [];
  for (const [name, bytes, count, concurrency] of [
    ["4 KiB", 4 * kibibyte, 10_000, 64],
    ["64 KiB", 64 * kibibyte, 2_000, 16],
    ["1 MiB", mebibyte, 400, 4],
    ["4 MiB", 4 * mebibyte, 150, 1],
    ["4 MiB", 4 * mebibyte, 150, 4],
  ] as const) {
    figures.push(...(await chunksOf(store, { name: `${name}, ${concurrency} at once`, bytes, count, concurrency })));
  }
  await store.close();
  return figures;
}

async function chunksOf(store: ChunkStore, job: { name: string; bytes: number; count: number; concurrency: number }): Promise<Figure[]> {
  // Each slot has a buffer of its own that it changes a little for every chunk, as a pool does.
  const seed = crypto.getRandomValues(new Uint8Array(16));
  const free = Array.from({ length: job.concurrency }, () => new Uint8Array(job.bytes).fill(job.concurrency));
  const make = async (buffer: Uint8Array, i: number) => {
    buffer.set(seed);
    new DataView(buffer.buffer).setUint32(16, i);
    return chunkIdOf(buffer);
  };
  const ids: ChunkId[] = [];
  const buffer = new Uint8Array(job.bytes).fill(job.concurrency);
  for (let i = 0; i < job.count; i++) ids.push(await make(buffer, i));
  const idAt = (i: number) => {
    const id = ids[i];
    if (!id) throw new Error("out of range");
    return id;
  };
  const put = await measure(job.count, job.concurrency, async (i) => {
    const mine = free.pop() ?? new Uint8Array(job.bytes);
    mine.set(seed);
    new DataView(mine.buffer).setUint32(16, i);
    await store.put(idAt(i), mine, { verified: true });
    free.push(mine);
  });
  const get = await measure(job.count, job.concurrency, (i) => store.get(idAt(i), { verify: false }));
  const checked = await measure(job.count, job.concurrency, (i) => store.get(idAt(i)));
  await store.delete(ids);
  if (job.bytes < 16 * kibibyte) return [perSecond(`put ${job.name}`, put), perSecond(`get ${job.name}`, get)];
  return [
    rate(`put ${job.name}`, put, job.bytes),
    rate(`get ${job.name}`, get, job.bytes),
    rate(`get and verify ${job.name}`, checked, job.bytes),
  ];
}

const args = process.argv.slice(2);
const dir = await mkdtemp(join(args.find((arg) => !arg.startsWith("--")) ?? tmpdir(), "bench-chunks-"));
try {
  const figures = [
    diskAlone(dir),
    await plainFull(dir, 3_000),
    await groupCommit(dir, 1, 3_000),
    await groupCommit(dir, 64, 100_000),
    ...(await chunks(dir)),
  ];
  if (args.includes("--json")) console.log(JSON.stringify(figures, null, 2));
  else {
    for (const { what, value, unit, pauseMsMax } of figures) {
      const pause = pauseMsMax === undefined ? "" : `   longest pause ${pauseMsMax.toFixed(1)} ms`;
      console.log(`${what.padEnd(56)} ${value.toFixed(0).padStart(8)} ${unit.padEnd(5)}${pause}`);
    }
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
