/**
 * The mount, whole stack, beside the same work on other file systems of this machine:
 *
 *   bun test/bench/mount.ts [--targets collective,passthrough_ll,…] [--only sequential,random,small,sqlite,lists]
 *                           [--size-mib 1024] [--files 2000] [--many 100000] [--seconds 3] [--rounds 1] [--save]
 *
 * Targets: the collective (executable, three nodes, two copies), a file system in memory through the same src/fuse, libfuse's pass-through in C,
 * bindfs and rclone where they are installed, the disk and tmpfs. Rounds take turns; figures are medians. Needs root, a build, and a machine
 * that is otherwise idle. What the collective is to reach stands in the last column. `--save` writes mount-results.json.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mebibyte } from "../../protocol/limits.ts";
import { renderTable } from "../../src/cli/output/table.ts";
import { cleanUp } from "../support/process.ts";
import { openTarget, type Target, type TargetName, targetNames } from "./mount-targets.ts";
import { type Figure, measure, type Part, parts } from "./mount-work.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    targets: { type: "string", default: targetNames.join(",") },
    only: { type: "string", default: parts.join(",") },
    "size-mib": { type: "string", default: "1024" },
    files: { type: "string", default: "2000" },
    many: { type: "string", default: "100000" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "1" },
    save: { type: "boolean", default: false },
  },
});
const sizeBytes = Number(values["size-mib"]) * mebibyte;
const wanted = new Set(values.only.split(",") as Part[]);
const flatFiles = 10_000;

/** At least, but for those in seconds and MB: at most. */
const promised: Readonly<Record<string, number>> = {
  "read 1 MiB again, MB/s": 1_200,
  "uncached read, of get": 0.7,
  "write and fsync, of put": 0.6,
  "the same, 16 at once, per s": 80_000,
  "write 4 KiB and fsync, MB/s": 200,
  "stat by four threads, per s": 40_000,
  "create, write 1 KiB, close, per s": 800,
  "create, write 1 KiB, fsync, close, per s": 250,
  "SQLite one-row commits, WAL, per s": 250,
  "ls -l of 10,000 files, s": 0.5,
  "find over the tree, s": 5,
  "peak of the serving process, MB": 250,
};

/** Small files in directories of a thousand each, on this disk. */
function makeFiles(folder: string, count: number, perDirectory: number): void {
  for (let index = 0; index < count; index++) {
    const directory = join(folder, `${Math.floor(index / perDirectory)}`);
    if (index % perDirectory === 0) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `${index}`), "");
  }
}

async function makeLists(target: Target): Promise<{ flat: string; deep: string }> {
  const source = mkdtempSync(join(tmpdir(), "bench-source-"));
  try {
    for (const [name, count, perDirectory] of [
      ["flat", flatFiles, flatFiles],
      ["deep", Number(values.many), 1_000],
    ] as const) {
      makeFiles(join(source, name), count, perDirectory);
      if (target.fill) await target.fill(name, join(source, name));
      else Bun.spawnSync(["cp", "-r", join(source, name), target.path]);
    }
  } finally {
    rmSync(source, { recursive: true, force: true });
  }
  await target.cold();
  return { flat: join(target.path, "flat", "0"), deep: join(target.path, "deep") };
}

async function measureTarget(target: Target): Promise<Figure[]> {
  const lists = wanted.has("lists") ? await makeLists(target) : undefined;
  const work = { sizeBytes, files: Number(values.files), seconds: Number(values.seconds), lists, cold: target.cold };
  const figures = await measure(target.path, work, wanted);
  const figureOf = (what: string): number => figures.find((figure) => figure.what === what)?.value ?? Number.NaN;
  if (target.transfer && wanted.has("sequential")) {
    const { put, get } = await target.transfer(sizeBytes);
    const rate = (seconds: number): number => sizeBytes / 1e6 / seconds;
    figures.push(
      { what: "put, MB/s", value: rate(put) },
      { what: "get, MB/s", value: rate(get) },
      { what: "write and fsync, of put", value: figureOf("write 1 MiB and fsync, MB/s") / rate(put) },
      { what: "uncached read, of get", value: figureOf("read 1 MiB uncached, MB/s") / rate(get) },
    );
  }
  const peakMb = target.peakMb();
  return peakMb === undefined ? figures : [...figures, { what: "peak of the serving process, MB", value: peakMb }];
}

const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;
const shown = (value: number): string => (value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en"));

function verdict(what: string, value: number | undefined): string {
  const bound = promised[what];
  if (bound === undefined || value === undefined) return "";
  const isUpper = /, (s|MB)$/.test(what);
  return `${isUpper ? "≤" : "≥"} ${shown(bound)}: ${(isUpper ? value <= bound : value >= bound) ? "yes" : "NO"}`;
}

const seen = new Map<TargetName, Map<string, number[]>>();
try {
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const name of values.targets.split(",") as TargetName[]) {
      await using target = await openTarget(name);
      if (!target) {
        console.log(`${name}: not installed`);
        continue;
      }
      const all = seen.get(name) ?? new Map<string, number[]>();
      seen.set(name, all);
      for (const { what, value } of await measureTarget(target)) all.set(what, [...(all.get(what) ?? []), value]);
    }
  }
} finally {
  cleanUp();
}
const whats = [...new Set([...seen.values()].flatMap((all) => [...all.keys()]))];
const columns = [...seen.keys()];
const rows = whats.map((what) => {
  const cells = columns.map((name) => seen.get(name)?.get(what)).map((all) => (all ? median(all) : undefined));
  const own = cells[columns.indexOf("collective")];
  return [what, ...cells.map((value) => (value === undefined ? "" : shown(value))), verdict(what, own)];
});
const header = columns.map((name) => ({ header: name.toUpperCase(), align: "right" }) as const);
console.log(renderTable({ columns: [{ header: "WHAT" }, ...header, { header: "PROMISED" }], rows }));
if (values.save) {
  const commit = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"]).stdout.toString().trim();
  const figures = Object.fromEntries(
    [...seen].map(([name, all]) => [name, Object.fromEntries([...all].map(([what, of]) => [what, median(of)]))]),
  );
  const results = { date: new Date().toISOString().slice(0, 10), commit, options: values, figures };
  writeFileSync(join(import.meta.dir, "mount-results.json"), `${JSON.stringify(results, null, 2)}\n`);
}
