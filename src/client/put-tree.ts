/**
 * Stores local files and trees. Directories are walked breadth first and made in batches; small
 * files are read ahead while others are sealed. What is identical already is skipped, and chunks of
 * an upload that was cut off are found again, so running it once more goes on where it stopped.
 *
 * A local file that cannot be read does not stop the others; it is reported at the end.
 */
import type { BigIntStats } from "node:fs";
import { lstat, open, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { filesPerCommitMax, smallChunkBytes } from "../../protocol/limits.ts";
import { parseName } from "../../protocol/path.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { forEachLimited } from "../core/limiter.ts";
import { makeDirectories } from "./directories.ts";
import { listDirectory } from "./files.ts";
import { createIngest, type Ingest } from "./ingest.ts";
import { isIdentical, isSameMode, type LocalEntry, permissionBits } from "./local-entry.ts";
import type { ContentSource } from "./pieces.ts";
import type { Remote } from "./remote.ts";
import { bytesSource, fileSource } from "./sources.ts";

export interface PutTarget {
  readonly localPath: string;
  readonly parent: Attr;
  readonly name: string;
  readonly existing: Attr | undefined;
}

export interface PutOptions {
  readonly recursive: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onFound?: ((found: { readonly files: number; readonly bytes: number }) => void) | undefined;
  readonly onProgress?: ((done: { readonly files: number; readonly bytes: number }) => void) | undefined;
  /** A line for the person, about something left out. */
  readonly onNote?: ((line: string) => void) | undefined;
}

export interface PutTotals {
  readonly files: number;
  readonly skippedFiles: number;
  readonly plainBytes: number;
  readonly sentBytes: number;
  readonly degradedChunks: number;
  readonly because: readonly string[];
}

/** Small files read while others are on their way; each is at most `smallChunkBytes`. */
const readAheadMax = 32;
const lookAheadMax = 64;
/** The coordinator writes those that arrive together to disk together. */
const modeChangesMax = 32;

interface PlannedFile {
  readonly local: LocalEntry;
  readonly parent: Inode;
  readonly store: Inode;
  readonly existing: Attr | undefined;
}

interface PlannedDirectory {
  readonly localPath: string;
  readonly attr: Attr;
  /** Just made, so that nothing can be in it. */
  readonly fresh: boolean;
}

export async function putTrees(remote: Remote, targets: readonly PutTarget[], options: PutOptions): Promise<PutTotals> {
  const ingest = createIngest(remote, { signal: options.signal, onProgress: (bytes) => options.onProgress?.({ files: 0, bytes }) });
  const run = createRun(remote, ingest, options);
  const directories: PlannedDirectory[] = [];
  const files: PlannedFile[] = [];
  for (const target of targets) {
    const stats = await lstat(target.localPath, { bigint: true });
    const local = { path: target.localPath, name: parseName(target.name), stats };
    if (stats.isDirectory()) {
      if (!options.recursive)
        throw new CollectiveError("is_a_directory", `${target.localPath} is a directory`, { hint: "store directories with -r" });
      directories.push(await topDirectory(remote, target, { local, signal: options.signal }));
    } else {
      if (!stats.isFile() && !stats.isSymbolicLink()) {
        throw new CollectiveError("invalid_argument", `${target.localPath} is neither a file, a directory nor a symbolic link`);
      }
      files.push({ local, parent: target.parent.inode, store: storeOf(target), existing: target.existing });
    }
  }
  await run.putFiles(files);
  for (let directory = directories.shift(); directory; directory = directories.shift()) {
    if (options.signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
    directories.push(...(await run.putDirectory(directory)));
  }
  const totals = await ingest.finish();
  run.throwFailures();
  return { ...totals, skippedFiles: run.skippedFiles() };
}

function storeOf({ parent, name }: PutTarget): Inode {
  if (parent.store !== undefined) return parent.store;
  throw new CollectiveError("invalid_argument", "only datastores can stand in the root", {
    hint: `make one and store into it: collective mkdir /${name}`,
  });
}

async function topDirectory(
  remote: Remote,
  target: PutTarget,
  { local, signal }: { local: LocalEntry; signal?: AbortSignal | undefined },
): Promise<PlannedDirectory> {
  if (target.existing) {
    if (target.existing.type !== "directory")
      throw new CollectiveError("not_a_directory", `${target.name} exists in the collective and is not a directory`);
    return { localPath: local.path, attr: target.existing, fresh: false };
  }
  const [attr] = await makeDirectories(remote, [{ parent: target.parent.inode, name: local.name, mode: modeOf(local.stats) }], signal);
  if (!attr) throw new CollectiveError("internal", "a directory was not made");
  return { localPath: local.path, attr, fresh: true };
}

function modeOf(stats: BigIntStats): number {
  return Number(stats.mode) & permissionBits;
}

function createRun(remote: Remote, ingest: Ingest, options: PutOptions) {
  const failures: CollectiveError[] = [];
  let skippedFiles = 0;

  /** Undefined when it cannot be read, which is remembered. */
  const guarded = async <T>(path: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (thrown) {
      const error = toCollectiveError(thrown);
      failures.push(error);
      options.onNote?.(`cannot read ${path}: ${error.message}`);
      return undefined;
    }
  };

  const addFile = async (file: PlannedFile, source: ContentSource): Promise<void> => {
    const { stats, name } = file.local;
    await ingest.add({ parent: file.parent, name, store: file.store, mode: modeOf(stats), mtimeNs: stats.mtimeNs }, source);
    options.onProgress?.({ files: 1, bytes: 0 });
  };
  const putLarge = async (file: PlannedFile): Promise<void> => {
    const handle = await guarded(file.local.path, () => open(file.local.path));
    if (!handle) return;
    try {
      await addFile(file, fileSource(handle, Number(file.local.stats.size)));
    } finally {
      await handle.close();
    }
  };

  const putFiles = async (files: readonly PlannedFile[]): Promise<void> => {
    const wanted = files.filter((file) => !file.existing || !isIdentical(file.local.stats, file.existing));
    skippedFiles += files.length - wanted.length;
    await forEachLimited(files, modeChangesMax, ({ local, existing }) => putMode(local, existing));
    options.onFound?.({ files: wanted.length, bytes: wanted.reduce((sum, file) => sum + Number(file.local.stats.size), 0) });
    const links = wanted.filter((file) => file.local.stats.isSymbolicLink());
    await putLinks(links);
    const regular = wanted.filter((file) => file.local.stats.isFile());
    for (const file of wanted) {
      if (!file.local.stats.isFile() && !file.local.stats.isSymbolicLink())
        options.onNote?.(`left out ${file.local.path}: neither a file, a directory nor a symbolic link`);
    }
    const isSmall = (file: PlannedFile): boolean => file.local.stats.size <= smallChunkBytes;
    const small = regular.filter(isSmall);
    const contents = readAhead(small, readAheadMax, (file) => guarded(file.local.path, () => readFile(file.local.path)));
    for await (const { item, result } of contents) {
      if (result) await addFile(item, bytesSource(result));
    }
    for (const file of regular) if (!isSmall(file)) await putLarge(file);
  };

  /** Of a file that is left alone otherwise. */
  const putMode = async ({ stats }: LocalEntry, existing: Attr | undefined): Promise<void> => {
    if (!existing || !isIdentical(stats, existing) || isSameMode(stats, existing)) return;
    await remote.control.call(routes.setAttr, { inode: existing.inode, mode: modeOf(stats) }, { signal: options.signal });
  };

  const putLinks = async (links: readonly PlannedFile[]): Promise<void> => {
    for (let at = 0; at < links.length; at += filesPerCommitMax) {
      const group = links.slice(at, at + filesPerCommitMax);
      const targets = await Promise.all(group.map((link) => guarded(link.local.path, () => readlink(link.local.path))));
      const known = group.flatMap((link, index) => {
        const target = targets[index];
        if (link.existing?.type === "symlink" && link.existing.target === target) {
          skippedFiles++;
          return [];
        }
        return target === undefined ? [] : [{ parent: link.parent, name: link.local.name, target, mtimeNs: link.local.stats.mtimeNs }];
      });
      if (known.length > 0) await remote.control.call(routes.makeSymlinks, { links: known }, { signal: options.signal });
      options.onProgress?.({ files: group.length, bytes: 0 });
    }
  };

  /** Puts what lies in a directory and answers the directories below it. */
  const putDirectory = async (directory: PlannedDirectory): Promise<PlannedDirectory[]> => {
    const names = (await guarded(directory.localPath, () => readdir(directory.localPath))) ?? [];
    const existing = new Map<string, Attr>();
    if (!directory.fresh)
      for await (const { name, attr } of listDirectory(remote, directory.attr.inode, options.signal)) existing.set(name, attr);
    const locals: LocalEntry[] = [];
    for await (const { item: name, result: stats } of readAhead(names.sort(), lookAheadMax, (name) =>
      guarded(join(directory.localPath, name), () => lstat(join(directory.localPath, name), { bigint: true })),
    )) {
      if (stats) locals.push({ path: join(directory.localPath, name), name: parseName(name), stats });
    }
    const below = locals.filter((local) => local.stats.isDirectory());
    const store = directory.attr.store;
    if (store === undefined) throw new CollectiveError("invalid_argument", "only datastores can stand in the root");
    const made = await makeDirectories(
      remote,
      below.map((local) => ({ parent: directory.attr.inode, name: local.name, mode: modeOf(local.stats) })),
      options.signal,
    );
    await putFiles(
      locals
        .filter((local) => !local.stats.isDirectory())
        .map((local) => ({ local, parent: directory.attr.inode, store, existing: existing.get(local.name) })),
    );
    return below.map((local, index) => ({ localPath: local.path, attr: made[index] as Attr, fresh: !existing.has(local.name) }));
  };

  return {
    putFiles,
    putDirectory,
    skippedFiles: () => skippedFiles,
    throwFailures: (): void => {
      const [first] = failures;
      if (!first) return;
      throw new CollectiveError(
        first.code,
        failures.length === 1
          ? `one file could not be read: ${first.message}`
          : `${failures.length} files could not be read, the first: ${first.message}`,
        {
          cause: first,
        },
      );
    },
  };
}

/** Runs `work` on up to `depth` items ahead of the consumer, in order. */
export async function* readAhead<T, R>(
  items: readonly T[],
  depth: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<{ item: T; result: R }> {
  const window: { item: T; result: Promise<R> }[] = [];
  let next = 0;
  const fill = (): void => {
    while (window.length < depth && next < items.length) {
      const item = items[next++] as T;
      const result = work(item);
      result.catch(() => undefined);
      window.push({ item, result });
    }
  };
  for (fill(); ; fill()) {
    const head = window.shift();
    if (!head) return;
    yield { item: head.item, result: await head.result };
  }
}
