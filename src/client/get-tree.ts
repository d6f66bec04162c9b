/**
 * Fetches files and trees to the local disk. Nothing half written ever stands under its final name:
 * content goes to a hidden part file that is renamed when it is whole. A large part file is kept when
 * the transfer is cut off, and the next run goes on behind its last whole chunk.
 */
import { createHash } from "node:crypto";
import { chmod, lstat, mkdir, readdir, readlink, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { chunksPerTicketMax, largeChunkBytes, mebibyte } from "../../protocol/limits.ts";
import type { Attr } from "../../protocol/schema.ts";
import { chunkBytesFor } from "../codec/chunker.ts";
import { forEachLimited } from "../core/limiter.ts";
import { readParts } from "./download.ts";
import { listDirectory } from "./files.ts";
import { isIdentical, isSameMode, permissionBits } from "./local-entry.ts";
import type { PutTotals } from "./put-tree.ts";
import { isSmallFile, readMany } from "./read-many.ts";
import type { Remote } from "./remote.ts";
import { openTargetFile } from "./target-file.ts";

export interface GetTarget {
  readonly attr: Attr;
  readonly localPath: string;
}

export interface GetOptions {
  readonly recursive: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onFound?: ((found: { readonly files: number; readonly bytes: number }) => void) | undefined;
  readonly onProgress?: ((done: { readonly files: number; readonly bytes: number }) => void) | undefined;
  /** Something that is left out, and why. */
  readonly onNote?: ((line: string) => void) | undefined;
}

export type GetTotals = Pick<PutTotals, "files" | "skippedFiles" | "plainBytes">;

const groupBytesMax = 4 * mebibyte;
const groupsInFlightMax = 3;
const localWritesMax = 16;
/** Below this, beginning anew costs less than looking after the rest of the last attempt. */
const resumeBytesMin = 4 * largeChunkBytes;

export async function getTrees(remote: Remote, targets: readonly GetTarget[], options: GetOptions): Promise<GetTotals> {
  const run = createRun(remote, options);
  const files: GetTarget[] = [];
  const directories: GetTarget[] = [];
  for (const target of targets) {
    if (isSpecial(target.attr)) throw new CollectiveError("invalid_argument", `${target.localPath} would be ${notFetched}`);
    if (target.attr.type !== "directory") files.push(target);
    else if (options.recursive) directories.push(target);
    else throw new CollectiveError("is_a_directory", `${target.localPath} would be a directory`, { hint: "fetch directories with -r" });
  }
  await run.getFiles(files);
  for (let directory = directories.shift(); directory; directory = directories.shift()) {
    if (options.signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
    directories.push(...(await run.getDirectory(directory)));
  }
  return await run.finish();
}

const notFetched = "neither a file, a directory nor a symbolic link";

/** Fifos, sockets and devices: of use to whoever mounts the collective. */
function isSpecial({ type }: Attr): boolean {
  return type !== "file" && type !== "directory" && type !== "symlink";
}

function createRun(remote: Remote, options: GetOptions) {
  const { signal } = options;
  const totals = { files: 0, skippedFiles: 0, plainBytes: 0 };
  const directoryModes: GetTarget[] = [];

  const done = (attr: Attr, bytes: number): void => {
    totals.files++;
    totals.plainBytes += attr.sizeBytes;
    options.onProgress?.({ files: 1, bytes });
  };
  const wants = async ({ attr, localPath }: GetTarget): Promise<boolean> => {
    const stats = await lstat(localPath, { bigint: true }).catch(() => undefined);
    if (stats?.isDirectory()) throw new CollectiveError("is_a_directory", `${localPath} is a directory`);
    if (!stats) return true;
    // A device or a pipe would be replaced by a file, which nobody means.
    if (!stats.isFile() && !stats.isSymbolicLink())
      throw new CollectiveError("invalid_argument", `${localPath} is neither a file nor a directory`);
    const isSameLink = stats.isSymbolicLink() && attr.type === "symlink" && (await readlink(localPath)) === attr.target;
    if (!isSameLink && !isIdentical(stats, attr)) return true;
    if (!isSameLink && !isSameMode(stats, attr)) await chmod(localPath, attr.mode & permissionBits);
    totals.skippedFiles++;
    return false;
  };

  const getSmall = async (group: readonly GetTarget[]): Promise<void> => {
    const contents = await readMany(
      remote,
      group.map((file) => file.attr),
      signal,
    );
    await forEachLimited(group.entries(), localWritesMax, async ([index, { attr, localPath }]) => {
      const part = partPath(localPath, attr);
      await writeFile(part, contents[index] ?? new Uint8Array(0), { mode: partMode });
      await publish(part, { attr, localPath });
      done(attr, attr.sizeBytes);
    });
  };

  const getLarge = async ({ attr, localPath }: GetTarget): Promise<void> => {
    const part = partPath(localPath, attr);
    const startBytes = await resumeAt(part, attr);
    options.onProgress?.({ files: 0, bytes: startBytes });
    const file = await openTargetFile(part, { sizeBytes: attr.sizeBytes, keep: startBytes > 0, mode: partMode });
    try {
      let at = startBytes;
      for await (const part of readParts(
        remote,
        { inode: attr.inode, offset: startBytes, lengthBytes: attr.sizeBytes - startBytes, ifVersion: attr.version },
        signal,
      )) {
        const bytes = part instanceof Uint8Array ? part.length : part.holeBytes;
        if (part instanceof Uint8Array) await file.write(part, at);
        at += bytes;
        options.onProgress?.({ files: 0, bytes });
      }
      if (at === attr.sizeBytes) await file.lengthen(at);
      else throw new CollectiveError("conflict", `${localPath} was changed in the collective while it was fetched`);
    } catch (error) {
      if (attr.sizeBytes < resumeBytesMin) await rm(part, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    await publish(part, { attr, localPath });
    done(attr, 0);
  };

  const getFiles = async (files: readonly GetTarget[]): Promise<void> => {
    const wanted: GetTarget[] = [];
    await forEachLimited(files, localWritesMax, async (file) => {
      if (await wants(file)) wanted.push(file);
    });
    await takeUpParts(files, wanted);
    options.onFound?.({ files: wanted.length, bytes: wanted.reduce((sum, { attr }) => sum + attr.sizeBytes, 0) });
    await forEachLimited(
      wanted.filter(({ attr }) => attr.type === "symlink"),
      localWritesMax,
      async ({ attr, localPath }) => {
        await rm(localPath, { force: true });
        await symlink(attr.target ?? "", localPath);
        done(attr, attr.sizeBytes);
      },
    );
    await forEachLimited(groups(wanted.filter(({ attr }) => isSmallFile(attr))), groupsInFlightMax, getSmall);
    for (const file of wanted) if (file.attr.type === "file" && !isSmallFile(file.attr)) await getLarge(file);
  };

  return {
    getFiles,
    /** Fetches what lies in a directory and answers the directories below it. */
    getDirectory: async (directory: GetTarget): Promise<GetTarget[]> => {
      await mkdir(directory.localPath, { recursive: true, mode: directory.attr.mode | 0o700 });
      if ((directory.attr.mode & 0o700) !== 0o700) directoryModes.push(directory);
      const below: GetTarget[] = [];
      let page: GetTarget[] = [];
      for await (const { name, attr } of listDirectory(remote, directory.attr.inode, signal)) {
        const target = { attr, localPath: join(directory.localPath, name) };
        if (isSpecial(attr)) options.onNote?.(`left out ${target.localPath}: it would be ${notFetched}`);
        else if (attr.type === "directory") below.push(target);
        else page.push(target);
        if (page.length >= filesPerPageMax) {
          await getFiles(page);
          page = [];
        }
      }
      await getFiles(page);
      return below;
    },
    finish: async (): Promise<GetTotals> => {
      // Only now: a directory that may not be written could not have been filled.
      for (const { attr, localPath } of directoryModes.reverse()) await chmod(localPath, attr.mode & permissionBits);
      return totals;
    },
  };
}

const filesPerPageMax = 4_096;

function* groups(files: readonly GetTarget[]): Generator<GetTarget[]> {
  let group: GetTarget[] = [];
  let bytes = 0;
  for (const file of files) {
    if (group.length >= chunksPerTicketMax || (group.length > 0 && bytes + file.attr.sizeBytes > groupBytesMax)) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(file);
    bytes += file.attr.sizeBytes;
  }
  if (group.length > 0) yield group;
}

/** Only the person's own until it is complete and gets the file's mode; and writable, which the file may not be. */
const partMode = 0o600;
const partPrefix = ".collective-part-";

/**
 * Named after the target and after what says which content this is, its time of storing included: a
 * part of another version, or of a file with the same numbers in another collective, is never taken up.
 */
export function partPath(localPath: string, attr: Attr): string {
  const content = [attr.inode, attr.version, attr.sizeBytes, attr.mtimeNs, attr.ctimeNs].join(" ");
  return join(dirname(localPath), `${partPrefix}${digestOf(basename(localPath))}-${digestOf(content)}`);
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/**
 * What a run that was killed has left of these files: parts of what is wanted are made writable, which they
 * may not be just before the end; parts of other contents, which nobody would ever take up, are removed.
 */
async function takeUpParts(files: readonly GetTarget[], wanted: readonly GetTarget[]): Promise<void> {
  const partOf = ({ localPath, attr }: GetTarget): string => partPath(localPath, attr);
  const useful = new Set(wanted.map(partOf));
  for (const [folder, targets] of Map.groupBy(files, ({ localPath }) => dirname(localPath))) {
    const names = await readdir(folder).catch((): string[] => []);
    const parts = names.filter((name) => name.startsWith(partPrefix));
    if (parts.length === 0) continue;
    const ofTargets = new Set(targets.map((target) => targetOfPart(partOf(target))));
    for (const part of parts.map((name) => join(folder, name))) {
      if (useful.has(part)) await chmod(part, partMode);
      else if (ofTargets.has(targetOfPart(part))) await rm(part, { force: true });
    }
  }
}

function targetOfPart(part: string): string {
  return part.slice(0, part.lastIndexOf("-"));
}

/** How much of a part file from an earlier run may stay: whole chunks only. */
async function resumeAt(part: string, attr: Attr): Promise<number> {
  if (attr.sizeBytes < resumeBytesMin) return 0;
  const size = await lstat(part).then(
    (stats) => stats.size,
    () => 0,
  );
  const chunkBytes = chunkBytesFor(attr.sizeBytes);
  const whole = Math.floor(Math.min(size, attr.sizeBytes) / chunkBytes) * chunkBytes;
  if (whole > 0) await truncate(part, whole);
  return whole;
}

async function publish(part: string, { attr, localPath }: GetTarget): Promise<void> {
  try {
    await chmod(part, attr.mode & permissionBits);
    const mtimeSeconds = Number(attr.mtimeNs / 1_000n) / 1e6;
    await utimes(part, mtimeSeconds, mtimeSeconds);
    await rename(part, localPath);
  } catch (error) {
    await rm(part, { force: true });
    throw toCollectiveError(error);
  }
}
