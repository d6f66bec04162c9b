/**
 * Compares a tree with a copy of it: names, kinds, the SHA-256 of each file, the target of each symbolic
 * link. Files are read in pieces, so memory does not depend on their size.
 *
 * People go on working in the original meanwhile. What differs is excused only when the original itself
 * was touched after `startedWallMs`; it is counted apart, so nothing passes as compared that was not.
 */
import type { Stats } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../../protocol/errors.ts";
import { mebibyte } from "../../../protocol/limits.ts";
import { forEachLimited } from "../../core/limiter.ts";

export interface CompareOptions {
  /** When the copying began, by the clock that gives files their times. */
  readonly startedWallMs: number;
  readonly signal: AbortSignal;
  readonly onProgress?: ((done: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

export interface Comparison {
  readonly equalFiles: number;
  readonly equalLinks: number;
  readonly bytes: number;
  /** Paths below the root, with what is wrong; the first few only. */
  readonly differences: readonly string[];
  readonly differentEntries: number;
  /** Changed in the original while the demo ran, and therefore not compared. */
  readonly changedEntries: number;
}

const differencesShownMax = 5;
const filesInFlightMax = 8;
const pieceBytes = mebibyte;

interface Pair {
  readonly original: string;
  readonly copy: string;
  /** Below the root, for messages. */
  readonly path: string;
}

/** Two files, or two directories. */
export async function compareTrees(
  roots: { readonly original: string; readonly copy: string },
  options: CompareOptions,
): Promise<Comparison> {
  const result = { equalFiles: 0, equalLinks: 0, bytes: 0, differentEntries: 0, changedEntries: 0 };
  const differences: string[] = [];
  const report = (path: string, what: string, touchedMs: number): void => {
    if (touchedMs >= options.startedWallMs) {
      result.changedEntries++;
      return;
    }
    result.differentEntries++;
    if (differences.length < differencesShownMax) differences.push(`${path === "" ? roots.original : path} ${what}`);
  };
  const directories: Pair[] = [];
  const compareEntry = async (pair: Pair, parentTouchedMs: number): Promise<void> => {
    if (options.signal.aborted) throw new CollectiveError("cancelled", "cancelled");
    const [original, copy] = await Promise.all([existing(pair.original), existing(pair.copy)]);
    if (!original) return report(pair.path, "came back though it was never stored", parentTouchedMs);
    const kind = kindOf(original);
    if (kind === undefined) return;
    if (!copy) return report(pair.path, "did not come back", original.ctimeMs);
    if (kind !== kindOf(copy)) return report(pair.path, `came back as another kind than ${kind}`, original.ctimeMs);
    if (kind === "directory") return void directories.push(pair);
    const isEqual = kind === "link" ? await sameTarget(pair) : await sameContent(pair, options);
    if (!isEqual)
      return report(pair.path, "came back with other content", (await existing(pair.original))?.ctimeMs ?? Number.POSITIVE_INFINITY);
    if (kind === "link") result.equalLinks++;
    else result.equalFiles++;
    result.bytes += kind === "file" ? copy.size : 0;
    options.onProgress?.({ files: 1, bytes: 0 });
  };
  await compareEntry({ ...roots, path: "" }, Number.NEGATIVE_INFINITY);
  for (let directory = directories.pop(); directory; directory = directories.pop()) {
    const { original, copy, path } = directory;
    const names = new Set([...(await readdir(original)), ...(await readdir(copy))]);
    const { ctimeMs } = await lstat(original);
    await forEachLimited(names, filesInFlightMax, (name) =>
      compareEntry({ original: join(original, name), copy: join(copy, name), path: join(path, name) }, ctimeMs),
    );
  }
  return { ...result, differences };
}

async function existing(path: string): Promise<Stats | undefined> {
  return await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** Undefined for what is never stored, like sockets. */
function kindOf(stats: Stats): "file" | "link" | "directory" | undefined {
  if (stats.isFile()) return "file";
  if (stats.isSymbolicLink()) return "link";
  return stats.isDirectory() ? "directory" : undefined;
}

async function sameTarget({ original, copy }: Pair): Promise<boolean> {
  const [left, right] = await Promise.all([readlink(original), readlink(copy)]);
  return left === right;
}

async function sameContent({ original, copy }: Pair, { signal, onProgress }: CompareOptions): Promise<boolean> {
  const right = await hashFile(copy, { signal, onRead: (bytes) => onProgress?.({ files: 0, bytes }) });
  const left = await hashFile(original, { signal }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return left === right;
}

async function hashFile(path: string, options: { signal: AbortSignal; onRead?: (bytes: number) => void }): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  const file = await open(path);
  try {
    const piece = new Uint8Array(Math.min(pieceBytes, (await file.stat()).size + 1));
    for (;;) {
      if (options.signal.aborted) throw new CollectiveError("cancelled", "cancelled");
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) return hasher.digest("hex");
      hasher.update(piece.subarray(0, bytesRead));
      options.onRead?.(bytesRead);
    }
  } finally {
    await file.close();
  }
}
