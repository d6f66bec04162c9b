/**
 * Verifies files: every copy of every chunk is read and hashed where it lies, so that no content
 * travels. Chunks of many files go together, at most `chunksPerTicketMax` to a question, and a chunk
 * that several files share is read once.
 *
 * What is found damaged or missing is reported to the coordinator, which looks for itself.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { chunksPerTicketMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { chunkBytesFor } from "../codec/chunker.ts";
import { type LocatedChunk, type LocatedFile, locate } from "./locate.ts";
import type { Remote } from "./remote.ts";
import { shownPath, walkTree } from "./remote-tree.ts";
import { type CheckedFile, createVerification } from "./verify-chunks.ts";

export interface VerifyReport {
  readonly files: number;
  /** Each counts once, however many files share it. */
  readonly chunks: number;
  /** All that should be there: good, bad, missing and unreachable ones. */
  readonly copies: number;
  readonly bad: number;
  readonly missing: number;
  /** On nodes that did not answer. */
  readonly unreachable: number;
  /** Files with a chunk that has no good copy anywhere. */
  readonly unrecoverable: readonly string[];
  /** Files with a chunk whose only copies are on nodes that did not answer. */
  readonly unverified: readonly string[];
}

export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onFound?: ((found: { readonly files: number; readonly bytes: number }) => void) | undefined;
  readonly onProgress?: ((done: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

interface FileAt {
  readonly path: string;
  readonly attr: Attr;
}

/** `attr` is what stands at `components`: a file, or a directory with all that is below it. */
export async function verifyPath(
  remote: Remote,
  { components, attr }: { readonly components: readonly string[]; readonly attr: Attr },
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { signal, onProgress } = options;
  const usage = await remote.control.call(routes.usage, { inode: attr.inode }, { signal });
  options.onFound?.({ files: usage.files, bytes: usage.logicalBytes });
  const verification = createVerification(remote, { signal, onProgress: (bytes) => onProgress?.({ files: 0, bytes }) });
  let files = 0;
  for await (const group of groups(filesAt(remote, { components, attr }, signal))) {
    for await (const { file, chunks, holeBytes, isStart } of locateAll(remote, group, signal)) {
      if (isStart) files++;
      await verification.add(file, chunks);
      if (holeBytes > 0) onProgress?.({ files: 0, bytes: holeBytes });
    }
    onProgress?.({ files: group.length, bytes: 0 });
  }
  return { files, ...(await verification.finish()) };
}

async function* filesAt(
  remote: Remote,
  { components, attr }: { components: readonly string[]; attr: Attr },
  signal: AbortSignal | undefined,
): AsyncGenerator<FileAt> {
  if (attr.type === "file") yield { path: shownPath(components), attr };
  if (attr.type !== "directory") return;
  for await (const entry of walkTree(remote, attr.inode, signal)) {
    if (entry.attr.type === "file") yield { path: shownPath([...components, ...entry.below]), attr: entry.attr };
  }
}

/** As many files as one question about their chunks can answer; a large file stands alone. */
async function* groups(files: AsyncIterable<FileAt>): AsyncGenerator<FileAt[]> {
  let group: FileAt[] = [];
  let chunks = 0;
  for await (const file of files) {
    const { sizeBytes } = file.attr;
    const more = Math.ceil(sizeBytes / chunkBytesFor(sizeBytes));
    if (group.length > 0 && (chunks + more > chunksPerTicketMax || group.length >= chunksPerTicketMax)) {
      yield group;
      group = [];
      chunks = 0;
    }
    group.push(file);
    chunks += more;
  }
  if (group.length > 0) yield group;
}

interface LocatedPart {
  /** Of the file, which every file has once. */
  readonly isStart: boolean;
  readonly file: CheckedFile;
  readonly chunks: readonly LocatedChunk[];
  /** Nothing to verify. */
  readonly holeBytes: number;
}

async function* locateAll(remote: Remote, group: readonly FileAt[], signal: AbortSignal | undefined): AsyncGenerator<LocatedPart> {
  const ranges = group.map(({ attr }) => ({ inode: attr.inode, offset: 0, lengthBytes: attr.sizeBytes }));
  for (const [index, located] of (await locateGroup(remote, ranges, signal)).entries()) {
    const at = group[index];
    // A file that was removed since it was listed needs no verifying.
    if (!at || !located) continue;
    const file = { path: at.path, inode: at.attr.inode, version: located.version };
    yield { file, chunks: located.chunks, holeBytes: holesIn(located, 0), isStart: true };
    yield* rest(remote, { file, located }, signal);
  }
}

type Ranges = Parameters<typeof locate>[1];

async function locateGroup(remote: Remote, ranges: Ranges, signal: AbortSignal | undefined): Promise<(LocatedFile | undefined)[]> {
  try {
    return await locate(remote, ranges, signal);
  } catch (error) {
    if (!(error instanceof CollectiveError) || error.code !== "not_found") throw error;
    if (ranges.length === 1) return [undefined];
    const found: (LocatedFile | undefined)[] = [];
    for (const range of ranges) found.push(...(await locateGroup(remote, [range], signal)));
    return found;
  }
}

/** What did not fit the first answer. A file that is replaced meanwhile is verified as far as it was. */
async function* rest(
  remote: Remote,
  { file, located }: { readonly file: CheckedFile; readonly located: LocatedFile },
  signal: AbortSignal | undefined,
): AsyncGenerator<LocatedPart> {
  let offset = located.endOffset;
  while (offset < located.sizeBytes) {
    const [next] = await locateGroup(remote, [{ inode: file.inode, offset, lengthBytes: located.sizeBytes - offset }], signal);
    if (!next || next.version !== file.version || next.endOffset <= offset) return;
    yield { file, chunks: next.chunks, holeBytes: holesIn(next, offset), isStart: false };
    offset = next.endOffset;
  }
}

function holesIn({ endOffset, chunks }: LocatedFile, from: number): number {
  return Math.max(
    0,
    chunks.reduce((rest, { plainBytes }) => rest - plainBytes, endOffset - from),
  );
}
