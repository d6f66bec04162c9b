/** How fast this collective moves files: a large one and many small ones, in a datastore of its own that goes away afterwards. */
import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rootInode } from "../../../protocol/ids.ts";
import { kibibyte } from "../../../protocol/limits.ts";
import { routes } from "../../../protocol/routes.ts";
import { defaultStorePolicy } from "../../../protocol/schema.ts";
import { placeOf, statPath } from "../../client/files.ts";
import { getTrees } from "../../client/get-tree.ts";
import { putTrees } from "../../client/put-tree.ts";
import type { Remote } from "../../client/remote.ts";
import { randomBlock } from "./bounds.ts";

export interface TransferBench {
  readonly putSeconds: number;
  readonly getSeconds: number;
}

export interface BenchOptions {
  readonly dir: string;
  readonly signal: AbortSignal;
}

/** Runs `work` with a fresh datastore of so many copies. */
export async function withBenchStore<T>(remote: Remote, replicas: number, work: (store: string) => Promise<T>): Promise<T> {
  const name = `bench-${Buffer.from(remote.random.bytes(4)).toString("hex")}`;
  await remote.control.call(routes.createStore, { name, policy: { ...defaultStorePolicy, replicas } });
  try {
    return await work(name);
  } finally {
    await remote.control.call(routes.remove, { parent: rootInode, name, kind: "tree" });
  }
}

/** One incompressible file with one copy, put and fetched back. */
export async function benchLargeFile(remote: Remote, sizeBytes: number, { dir, signal }: BenchOptions): Promise<TransferBench> {
  const source = join(dir, "large");
  await writeRandomFile(source, sizeBytes);
  return await withBenchStore(remote, 1, async (store) => {
    const place = await placeOf(remote, [store, "large"], signal);
    const putSeconds = await timed(remote, () => putTrees(remote, [{ localPath: source, ...place }], { recursive: false, signal }));
    const attr = await statPath(remote, [store, "large"], signal);
    const target = join(dir, "fetched");
    const getSeconds = await timed(remote, () => getTrees(remote, [{ attr, localPath: target }], { recursive: false, signal }));
    await rm(source);
    await rm(target);
    return { putSeconds, getSeconds };
  });
}

/** Many files of 4 KiB with two copies each, as a tree of a hundred to a directory. */
export async function benchSmallFiles(
  remote: Remote,
  count: number,
  { dir, signal }: BenchOptions,
): Promise<TransferBench & { readonly copySeconds: number }> {
  const source = join(dir, "small");
  await writeSmallFiles(source, count);
  const copySeconds = await timed(remote, async () => {
    await Bun.$`cp -r ${source} ${join(dir, "copied")}`.quiet();
    await Bun.$`sync`.quiet();
  });
  return await withBenchStore(remote, 2, async (store) => {
    const place = await placeOf(remote, [store, "small"], signal);
    const putSeconds = await timed(remote, () => putTrees(remote, [{ localPath: source, ...place }], { recursive: true, signal }));
    const attr = await statPath(remote, [store, "small"], signal);
    const target = join(dir, "small-fetched");
    const getSeconds = await timed(remote, () => getTrees(remote, [{ attr, localPath: target }], { recursive: true, signal }));
    return { putSeconds, getSeconds, copySeconds };
  });
}

async function timed(remote: Remote, work: () => Promise<unknown>): Promise<number> {
  const startedMs = remote.clock.monotonicMs();
  await work();
  return (remote.clock.monotonicMs() - startedMs) / 1000;
}

async function writeRandomFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, "w");
  try {
    for (let at = 0; at < sizeBytes; ) {
      // Fresh bytes for each block: equal ones would be stored once.
      const block = randomBlock().subarray(0, sizeBytes - at);
      await file.write(block, 0, block.length, at);
      at += block.length;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function writeSmallFiles(dir: string, count: number): Promise<void> {
  const random = randomBlock();
  const step = Math.floor((random.length - 4 * kibibyte) / count);
  for (let i = 0; i < count; i++) {
    const folder = join(dir, `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `f${i}`), random.subarray(i * step, i * step + 4 * kibibyte));
  }
}
