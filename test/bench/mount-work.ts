/** What programs do with a directory, timed: the same calls whichever file system is below. */

import { Database } from "bun:sqlite";
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { createSeededRandom } from "../../src/core/random.ts";

export interface Figure {
  readonly what: string;
  /** Higher is better, but for seconds. */
  readonly value: number;
}

export interface Work {
  readonly sizeBytes: number;
  readonly files: number;
  readonly seconds: number;
  /** A directory with many files, and one with very many below it, are there already. */
  readonly lists: { readonly flat: string; readonly deep: string } | undefined;
  /** Nothing that was read is in a cache afterwards, and no file is open. */
  readonly cold: () => Promise<void>;
}

export type Part = "sequential" | "random" | "small" | "sqlite" | "lists";
export const parts: readonly Part[] = ["sequential", "random", "small", "sqlite", "lists"];

interface Loop {
  readonly kind: "random" | "random direct" | "stat";
  readonly path: string;
  /** Pages of the file, files of the directory. */
  readonly items: number;
  readonly seconds: number;
  readonly seed: number;
}

const pageBytes = 4 * kibibyte;
const inFlight = 16;
const statThreads = 4;

function secondsOf(run: () => void): number {
  const startedMs = performance.now();
  run();
  return (performance.now() - startedMs) / 1_000;
}

/** A pattern that neither compresses nor repeats. */
function noise(bytes: number): Buffer {
  return Buffer.from(createSeededRandom(bytes).bytes(bytes));
}

function writeWhole(path: string, sizeBytes: number, pieceBytes: number): number {
  const piece = noise(pieceBytes);
  return secondsOf(() => {
    const fd = openSync(path, "w");
    for (let at = 0; at < sizeBytes; at += pieceBytes) {
      // Each piece is another one, for chunks that are equal are stored once.
      piece.writeDoubleLE(at + 0.5, 0);
      writeSync(fd, piece);
    }
    fsyncSync(fd);
    closeSync(fd);
  });
}

function readWhole(path: string, pieceBytes: number): number {
  const piece = Buffer.alloc(pieceBytes);
  return secondsOf(() => {
    const fd = openSync(path, "r");
    while (readSync(fd, piece, 0, pieceBytes, null) > 0);
    closeSync(fd);
  });
}

async function sequential(folder: string, { sizeBytes, cold }: Work): Promise<Figure[]> {
  const path = join(folder, "large");
  const pages = join(folder, "pages");
  const rate = (seconds: number, bytes = sizeBytes): number => bytes / 1e6 / seconds;
  const written = writeWhole(path, sizeBytes, mebibyte);
  await cold();
  const first = readWhole(path, mebibyte);
  const again = readWhole(path, mebibyte);
  const writtenByPage = writeWhole(pages, sizeBytes / 8, pageBytes);
  const readByPage = readWhole(pages, pageBytes);
  return [
    { what: "write 1 MiB and fsync, MB/s", value: rate(written) },
    { what: "read 1 MiB uncached, MB/s", value: rate(first) },
    { what: "read 1 MiB again, MB/s", value: rate(again) },
    { what: "write 4 KiB and fsync, MB/s", value: rate(writtenByPage, sizeBytes / 8) },
    { what: "read 4 KiB again, MB/s", value: rate(readByPage, sizeBytes / 8) },
  ];
}

/** Per second, in this thread. */
function loop({ kind, path, items, seconds, seed }: Loop): number {
  const random = createSeededRandom(seed);
  const endsMs = performance.now() + seconds * 1_000;
  let count = 0;
  if (kind === "stat") {
    for (; performance.now() < endsMs; count++) statSync(join(path, `${random.int(items)}`));
    return count / seconds;
  }
  const fd = openSync(path, constants.O_RDONLY | (kind === "random" ? 0 : constants.O_DIRECT));
  const page = new Uint8Array(new ArrayBuffer(64 * kibibyte)).subarray(0, pageBytes);
  for (; performance.now() < endsMs; count++) readSync(fd, page, 0, pageBytes, random.int(items) * pageBytes);
  closeSync(fd);
  return count / seconds;
}

async function together(threads: number, work: Omit<Loop, "seed">): Promise<number> {
  const workers = Array.from({ length: threads }, (_, seed) => new Worker(import.meta.path, { workerData: { ...work, seed } }));
  const count = (worker: Worker) => new Promise<number>((resolve, reject) => worker.on("message", resolve).on("error", reject));
  const counts = await Promise.all(workers.map(count));
  await Promise.all(workers.map((worker) => worker.terminate()));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function random(folder: string, { sizeBytes, seconds }: Work): Promise<Figure[]> {
  const path = join(folder, "random");
  const bytes = sizeBytes / 8;
  writeWhole(path, bytes, mebibyte);
  readWhole(path, mebibyte);
  const reads = { path, items: bytes / pageBytes, seconds };
  return [
    { what: "random reads of 4 KiB, 1 at once, per s", value: loop({ ...reads, kind: "random", seed: 1 }) },
    { what: `the same, ${inFlight} at once, per s`, value: await together(inFlight, { ...reads, kind: "random" }) },
    { what: "past the page cache, 1 at once, per s", value: loop({ ...reads, kind: "random direct", seed: 1 }) },
    {
      what: `past it, ${inFlight} at once, per s`,
      value: await together(inFlight, { ...reads, kind: "random direct" }),
    },
  ];
}

async function small(folder: string, { files, seconds }: Work): Promise<Figure[]> {
  const content = noise(kibibyte);
  const each = (count: number, run: (path: string, index: number) => void): number =>
    count / secondsOf(() => Array.from({ length: count }, (_, index) => run(join(folder, `${index}`), index)));
  const create = (sync: boolean) => (path: string, index: number) => {
    content.writeDoubleLE(index + 0.5 + (sync ? 1e9 : 0), 0);
    const fd = openSync(path, "w");
    writeSync(fd, content);
    if (sync) fsyncSync(fd);
    closeSync(fd);
  };
  const unsynced = each(files, create(false));
  const stat = {
    what: "stat by four threads, per s",
    value: await together(statThreads, { kind: "stat", path: folder, items: files, seconds }),
  };
  const unlinked = each(files, (path) => unlinkSync(path));
  const synced = each(Math.ceil(files / 4), create(true));
  return [
    { what: "create, write 1 KiB, close, per s", value: unsynced },
    { what: "create, write 1 KiB, fsync, close, per s", value: synced },
    stat,
    { what: "unlink, per s", value: unlinked },
  ];
}

function commits(folder: string, journal: "WAL" | "DELETE", seconds: number): number {
  const db = new Database(join(folder, `${journal}.db`));
  db.run(`PRAGMA journal_mode = ${journal}`);
  db.run("PRAGMA synchronous = FULL");
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)");
  const insert = db.query("INSERT INTO t (text) VALUES (?)");
  const endsMs = performance.now() + seconds * 1_000;
  let count = 0;
  for (; performance.now() < endsMs; count++) insert.run(`row ${count} of a table whose commits are counted`);
  const check = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get()?.integrity_check;
  db.close();
  if (check !== "ok") throw new Error(`the database is damaged: ${check}`);
  return count / seconds;
}

function sqlite(folder: string, { seconds }: Work): Figure[] {
  const rows = (["WAL", "DELETE"] as const).map((journal) => ({
    what: `SQLite one-row commits, ${journal}, per s`,
    value: commits(folder, journal, seconds),
  }));
  return [...rows, { what: "append a page and fsync, per s", value: appends(join(folder, "log"), seconds) }];
}

/** To a file that is large already, without a byte in it. */
function appends(path: string, seconds: number): number {
  const page = noise(pageBytes);
  const fd = openSync(path, "w");
  ftruncateSync(fd, 1024 * mebibyte);
  const endsMs = performance.now() + seconds * 1_000;
  let count = 0;
  for (; performance.now() < endsMs; count++) {
    page.writeDoubleLE(count, 0);
    writeSync(fd, page, 0, pageBytes, 1024 * mebibyte + count * pageBytes);
    fsyncSync(fd);
  }
  closeSync(fd);
  return count / seconds;
}

function lists({ flat, deep }: { readonly flat: string; readonly deep: string }): Figure[] {
  const seconds = (...command: string[]): number => secondsOf(() => void Bun.spawnSync(command, { stdout: "ignore" }));
  return [
    { what: `ls -l of ${readdirSync(flat).length.toLocaleString("en")} files, s`, value: seconds("ls", "-l", flat) },
    { what: "find over the tree, s", value: seconds("find", deep) },
    { what: "find -size over the tree, s", value: seconds("find", deep, "-size", "+1k") },
  ];
}

export async function measure(directory: string, work: Work, wanted: ReadonlySet<Part>): Promise<Figure[]> {
  const folder = join(directory, "bench");
  const inFolder = async (part: Part, run: (folder: string) => Figure[] | Promise<Figure[]>): Promise<Figure[]> => {
    if (!wanted.has(part)) return [];
    mkdirSync(folder);
    try {
      return await run(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  return [
    ...(wanted.has("lists") && work.lists ? lists(work.lists) : []),
    ...(await inFolder("sequential", (at) => sequential(at, work))),
    ...(await inFolder("random", (at) => random(at, work))),
    ...(await inFolder("small", (at) => small(at, work))),
    ...(await inFolder("sqlite", (at) => sqlite(at, work))),
  ];
}

// Started again as a thread by `together`.
if (parentPort && workerData) parentPort.postMessage(loop(workerData as Loop));
