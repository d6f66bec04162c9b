/**
 * The whole product against its bounds, on this machine: `node_modules/.bin/bun test/bench/collective.ts [--save]`.
 * Runs the executable in dist with three nodes on loopback. Takes a few minutes, 8 GiB of disk and
 * wants an otherwise idle machine. `--save` writes test/bench/results.json.
 */
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gibibyte, largeChunkBytes, mebibyte } from "../../protocol/limits.ts";
import { compress } from "../../src/codec/compression.ts";
import { deriveChunkKeys, sealChunk, sealedBytesMax } from "../../src/codec/sealed-chunk.ts";
import { type Collective, cleanUp, executable, run, startCollective, temporaryHome } from "../support/process.ts";

const longMs = 600_000;

interface Memory {
  readonly rssMb: number;
  readonly anonymousMb: number;
  readonly peakMb: number;
}

function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Math.round(Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 102.4) / 10;
  return { rssMb: field("VmRSS"), anonymousMb: field("RssAnon"), peakMb: field("VmHWM") };
}

function makeFile(path: string, bytes: number, fill: (block: Uint8Array<ArrayBuffer>) => void): void {
  const file = openSync(path, "w");
  const block = new Uint8Array(largeChunkBytes);
  for (let at = 0; at < bytes; at += block.length) {
    fill(block);
    writeSync(file, block, 0, Math.min(block.length, bytes - at));
  }
  closeSync(file);
}

function bytesBelow(dir: string): number {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + (statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

async function sha256(
  command: string[],
  env: Record<string, string>,
  stdin?: string,
): Promise<{ hash: string; peakMb: number; seconds: number }> {
  const started = performance.now();
  const child = Bun.spawn(command, { env, stdin: stdin === undefined ? "ignore" : Bun.file(stdin), stdout: "pipe", stderr: "inherit" });
  // Not the peak that wait(2) tells: it counts the moment before exec, when the child still was this process.
  let peakMb = 0;
  const watch = setInterval(() => {
    try {
      peakMb = Math.max(peakMb, memoryOf(child.pid).peakMb);
    } catch {
      // It has just ended.
    }
  }, 20);
  const hash = new Bun.CryptoHasher("sha256");
  for await (const piece of child.stdout) hash.update(piece);
  const exitCode = await child.exited;
  clearInterval(watch);
  if (exitCode !== 0) throw new Error(`${command.slice(1).join(" ")} failed`);
  return { hash: hash.digest("hex"), peakMb, seconds: (performance.now() - started) / 1000 };
}

/** Median of several runs of `work`, in milliseconds; or of what it answers, where only a part of it counts. */
async function medianMs(runs: number, work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < runs; i++) {
    const started = performance.now();
    const answer = await work();
    times.push(typeof answer === "number" ? answer : performance.now() - started);
  }
  return Math.round((times.sort((a, b) => a - b)[runs >> 1] ?? 0) * 10) / 10;
}

async function measureStart() {
  await using home = await temporaryHome();
  const env = { ...home.env, PATH: "/usr/bin:/bin" };
  const versionMs = await medianMs(9, () => run(["--version"], { env }));
  const coordinatorMs = await medianMs(9, async () => {
    const before = performance.now();
    await using _alone = await startCollective({ nodes: 0 });
    return performance.now() - before;
  });
  const started = performance.now();
  await using collective = await startCollective({ nodes: 3 });
  const threeNodesMs = Math.round(performance.now() - started);
  const restartCoordinatorMs = await medianMs(5, async () => {
    await collective.service("coordinator").process.stop();
    await collective.restart("coordinator");
  });
  return {
    version_ms: versionMs,
    coordinator_first_start_ms: coordinatorMs,
    coordinator_and_three_nodes_first_start_ms: threeNodesMs,
    coordinator_stop_and_ready_again_ms: restartCoordinatorMs,
  };
}

function services(collective: Collective) {
  return [collective.coordinator, ...collective.nodes];
}

async function measureIdle(collective: Collective) {
  await Bun.sleep(10_000);
  return Object.fromEntries(services(collective).map((service) => [service.name, memoryOf(service.process.pid)]));
}

/** 2 GiB through `write` and `read`. */
async function measureStream(collective: Collective, dir: string) {
  const source = join(dir, "stream");
  makeFile(source, 2 * gibibyte, (block) => void randomFillSync(block));
  const program = executable();
  const env = { ...collective.env };
  await collective.run(["mkdir", "/stream"]);
  const wrote = await sha256([program, "write", "/stream/file"], env, source);
  const read = await sha256([program, "read", "/stream/file"], env);
  const expected = await sha256(["cat", source], env);
  if (read.hash !== expected.hash) throw new Error("what was read is not what was written");
  await collective.run(["rm", "-r", "/stream"]);
  return {
    bytes: 2 * gibibyte,
    equal_hash: true,
    write_client_peak_mb: wrote.peakMb,
    read_client_peak_mb: read.peakMb,
    peaks_mb: Object.fromEntries(services(collective).map((service) => [service.name, memoryOf(service.process.pid).peakMb])),
  };
}

async function measureDedup(collective: Collective, dir: string) {
  const source = join(dir, "dedup");
  makeFile(source, 100 * mebibyte, (block) => void randomFillSync(block));
  const stored = () => collective.nodes.reduce((sum, node) => sum + bytesBelow(node.dataDirectory), 0);
  await collective.run(["mkdir", "/dedup"]);
  await collective.run(["put", source, "/dedup/0"], { timeoutMs: longMs });
  const first = stored();
  for (let i = 1; i < 10; i++) await collective.run(["put", source, `/dedup/${i}`], { timeoutMs: longMs });
  return { nine_more_names_add_share: (stored() - first) / first };
}

/** What looking for compressibility costs where there is none, as a share of sealing. */
function measureSampling() {
  const plain = randomFillSync(new Uint8Array(largeChunkBytes));
  const out = new Uint8Array(sealedBytesMax(plain.length));
  const keys = deriveChunkKeys(new Uint8Array(32));
  const time = (work: () => void): number => {
    work();
    const started = performance.now();
    for (let i = 0; i < 64; i++) work();
    return performance.now() - started;
  };
  return { incompressible_sampling_share_of_sealing: time(() => void compress(plain)) / time(() => void sealChunk(plain, { keys, out })) };
}

const commit = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"]).stdout.toString().trim();
try {
  const start = await measureStart();
  await using home = await temporaryHome();
  await using collective = await startCollective({ nodes: 3, capacity: "40GB" });
  const idle = await measureIdle(collective);
  const bench = await collective.run(["bench", "--json", "--dir", home.path], { timeoutMs: longMs });
  if (bench.exitCode !== 0) throw new Error(bench.stderr);
  // Before anything large is removed, whose chunks go little by little.
  const dedup = await measureDedup(collective, home.path);
  const stream = await measureStream(collective, home.path);
  const results = {
    date: new Date().toISOString().slice(0, 10),
    commit,
    start,
    idle,
    bench: JSON.parse(bench.stdout),
    stream,
    dedup,
    sampling: measureSampling(),
  };
  console.log(JSON.stringify(results, null, 2));
  if (process.argv.includes("--save")) await writeFile(join(import.meta.dir, "results.json"), `${JSON.stringify(results, null, 2)}\n`);
} finally {
  cleanUp();
}
