/**
 * What the way through the kernel costs alone: the same work on a file system in memory that is mounted, and on tmpfs, which is memory
 * inside the kernel.
 *
 *   bun test/bench/mount.ts [--size-mib 512] [--files 5000] [--seconds 3] [--rounds 3]
 *
 * Each figure is the median of the rounds, which take turns. Needs root.
 */
import { closeSync, constants, fsyncSync, mkdirSync, openSync, readSync, rmSync, statSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { renderTable } from "../../src/cli/output/table.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { mountMemory } from "../support/e2e-mount.ts";
import { sys } from "../support/syscalls.ts";

interface Figure {
  readonly what: string;
  readonly value: number;
}

interface RandomReads {
  readonly path: string;
  readonly sizeBytes: number;
  readonly seconds: number;
  readonly seed: number;
}

const pageBytes = 4 * kibibyte;
const inFlight = 16;

function secondsOf(run: () => void): number {
  const startedAtMs = performance.now();
  run();
  return (performance.now() - startedAtMs) / 1000;
}

function sequential(path: string, sizeBytes: number, pieceBytes: number): Figure[] {
  const piece = Buffer.alloc(pieceBytes, 7);
  const written = secondsOf(() => {
    const fd = openSync(path, "w");
    for (let at = 0; at < sizeBytes; at += pieceBytes) writeSync(fd, piece);
    fsyncSync(fd);
    closeSync(fd);
  });
  const fd = openSync(path, "r");
  sys.dropPages(fd);
  const read = secondsOf(() => {
    while (readSync(fd, piece, 0, pieceBytes, null) > 0);
  });
  closeSync(fd);
  const name = pieceBytes === mebibyte ? "1M" : "4k";
  return [
    { what: `write ${name}, MB/s`, value: sizeBytes / 1e6 / written },
    { what: `read ${name}, MB/s`, value: sizeBytes / 1e6 / read },
  ];
}

/** Reads per second, one after the other, past the page cache. */
function readAtRandom({ path, sizeBytes, seconds, seed }: RandomReads): number {
  const random = createSeededRandom(seed);
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
  const page = new Uint8Array(new ArrayBuffer(64 * kibibyte)).subarray(0, pageBytes);
  const endsAtMs = performance.now() + seconds * 1000;
  let count = 0;
  for (; performance.now() < endsAtMs; count++) readSync(fd, page, 0, pageBytes, random.int(sizeBytes / pageBytes) * pageBytes);
  closeSync(fd);
  return count / seconds;
}

async function readAtRandomTogether(reads: RandomReads): Promise<number> {
  const workers = Array.from({ length: inFlight }, (_, seed) => new Worker(Bun.main, { workerData: { ...reads, seed } }));
  const counts = await Promise.all(workers.map((worker) => new Promise<number>((resolve) => worker.on("message", resolve))));
  await Promise.all(workers.map((worker) => worker.terminate()));
  return counts.reduce((sum, count) => sum + count, 0);
}

function small(folder: string, files: number): Figure[] {
  const content = Buffer.alloc(kibibyte, 7);
  mkdirSync(folder);
  const each = (run: (path: string) => void): number =>
    files /
    secondsOf(() => {
      for (let index = 0; index < files; index++) run(join(folder, `${index}`));
    });
  return [
    {
      what: "create and write 1k, per s",
      value: each((path) => {
        const fd = openSync(path, "w");
        writeSync(fd, content);
        closeSync(fd);
      }),
    },
    { what: "stat, per s", value: each((path) => void statSync(path)) },
    { what: "unlink, per s", value: each((path) => unlinkSync(path)) },
  ];
}

interface Work {
  readonly sizeBytes: number;
  readonly files: number;
  readonly seconds: number;
}

async function measure(directory: string, { sizeBytes, files, seconds }: Work): Promise<Figure[]> {
  const folder = join(directory, "bench");
  mkdirSync(folder);
  const path = join(folder, "file");
  const reads = { path, sizeBytes, seconds, seed: 1 };
  try {
    return [
      ...sequential(path, sizeBytes, mebibyte),
      ...sequential(path, sizeBytes / 8, pageBytes),
      { what: "random 4k, 1 in flight, per s", value: readAtRandom({ ...reads, sizeBytes: sizeBytes / 8 }) },
      { what: `random 4k, ${inFlight} in flight, per s`, value: await readAtRandomTogether({ ...reads, sizeBytes: sizeBytes / 8 }) },
      ...small(join(folder, "small"), files),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Bun.argv.slice(2),
    options: {
      "size-mib": { type: "string", default: "512" },
      files: { type: "string", default: "5000" },
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "3" },
    },
  });
  const work = { sizeBytes: Number(values["size-mib"]) * mebibyte, files: Number(values.files), seconds: Number(values.seconds) };
  const targets: readonly (readonly [name: string, flags: readonly string[] | undefined])[] = [
    ["tmpfs", undefined],
    ["write-through", []],
    ["write-back", ["--write-back"]],
  ];
  const seen = new Map<string, number[]>();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, flags] of targets) {
      await using mounted = flags && (await mountMemory(flags));
      for (const { what, value } of await measure(mounted?.path ?? "/dev/shm", work)) {
        seen.set(`${what}\n${name}`, [...(seen.get(`${what}\n${name}`) ?? []), value]);
      }
    }
  }
  const what = [...new Set([...seen.keys()].map((key) => key.split("\n")[0] ?? ""))];
  const rows = what.map((one) => {
    const [tmpfs = 0, through = 0, back = 0] = targets.map(([name]) => median(seen.get(`${one}\n${name}`) ?? []));
    const share = (value: number): string => `${((100 * value) / tmpfs).toFixed(0)} %`;
    return [one, tmpfs, through, share(through), back, share(back)].map((cell) =>
      typeof cell === "number" ? Math.round(cell).toLocaleString("en") : cell,
    );
  });
  const right = (header: string) => ({ header, align: "right" }) as const;
  console.log(
    renderTable({
      columns: [{ header: "WHAT" }, right("TMPFS"), right("WRITE-THROUGH"), right("OF TMPFS"), right("WRITE-BACK"), right("OF TMPFS")],
      rows,
    }),
  );
}

if (isMainThread) await main();
else parentPort?.postMessage(readAtRandom(workerData as RandomReads));
