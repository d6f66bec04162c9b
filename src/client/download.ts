/**
 * Reads ranges of files: locates chunks in windows, fetches several at once, hands out plaintext in
 * order. Memory is bounded by the chunks on their way.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { largeChunkBytes, storedChunkBytesMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { openChunk } from "../codec/sealed-chunk.ts";
import { createBufferPool } from "../core/buffers.ts";
import { createGarbageWatch } from "../core/garbage.ts";
import { fetchChunk, type WantedChunk } from "./fetch-chunk.ts";
import type { Remote } from "./remote.ts";
import { rightsEnded } from "./rights-ended.ts";

export interface ReadRange {
  readonly inode: Inode;
  readonly offset: number;
  /** May reach past the end of the file. */
  readonly lengthBytes: number;
  /** The version that is meant; another one gives `conflict`. */
  readonly ifVersion?: number | undefined;
}

export interface LocatedChunk extends WantedChunk {
  readonly offset: number;
  readonly plainBytes: number;
}

export interface FileVersion {
  readonly inode: Inode;
  readonly version: number;
}

export interface LocatedFile {
  readonly version: number;
  readonly sizeBytes: number;
  readonly store: Inode;
  readonly chunks: readonly LocatedChunk[];
}

/** Chunks on their way at once: as many as hide the round trips, few enough to stay small in memory. */
const chunksInFlightMax = 3;
/** Whoever reads slowly, like a film that is watched, gets new tickets before the old ones expire. */
const ticketsUsedMs = ticketLifetimeMs / 2;

/** One round trip for up to `chunksPerTicketMax` chunks of as many ranges; a file may come back cut short. */
export async function locate(remote: Remote, files: readonly ReadRange[], signal?: AbortSignal): Promise<LocatedFile[]> {
  const answer = await remote.control.call(routes.locate, { files: [...files] }, { signal });
  return answer.files.map((file) => ({
    ...file,
    chunks: file.extents.map((extent) => ({
      ...extent,
      id: extent.chunk,
      store: file.store,
      nodes: extent.nodes.map((index) => answer.nodes[index]).filter((node): node is TicketedNode => node !== undefined),
    })),
  }));
}

/** The same chunk with new tickets. Throws `permission_denied` when the file is not for this person to see any more. */
export async function locateAgain(
  remote: Remote,
  { inode, version }: FileVersion,
  { chunk, refusal }: { readonly chunk: LocatedChunk; readonly refusal: CollectiveError },
): Promise<LocatedChunk> {
  const [file] = await locate(remote, [{ inode, offset: chunk.offset, lengthBytes: 1, ifVersion: version }]).catch((thrown: unknown) => {
    throw rightsEnded(toCollectiveError(thrown), refusal);
  });
  const [again] = file?.chunks ?? [];
  if (again?.id !== chunk.id) throw new CollectiveError("conflict", "the file was changed while it was being read");
  return again;
}

/**
 * Why content could not be had. A file that was replaced or removed after it was located has lost
 * its chunks rightly: that is `conflict`, and nothing is damaged.
 */
export async function readFailure(remote: Remote, files: readonly FileVersion[], thrown: unknown): Promise<CollectiveError> {
  const error = toCollectiveError(thrown);
  if (error.code !== "corrupt" && error.code !== "unavailable") return error;
  try {
    await locate(
      remote,
      files.map(({ inode, version }) => ({ inode, offset: 0, lengthBytes: 0, ifVersion: version })),
    );
  } catch (reason) {
    const { code } = toCollectiveError(reason);
    if (code === "conflict" || code === "not_found")
      return new CollectiveError("conflict", "the file was changed while it was being read", { cause: thrown });
  }
  return error;
}

/**
 * Yields the range's bytes in order; each piece is a view that holds until the next is asked for. A
 * file that is replaced while it is read gives `conflict`, never a mixture.
 */
export async function* readRange(remote: Remote, range: ReadRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const stored = createBufferPool({ bufferBytes: storedChunkBytesMax, keepMax: chunksInFlightMax });
  const plain = new Uint8Array(largeChunkBytes);
  const garbage = createGarbageWatch();
  const window: { chunk: LocatedChunk; version: number; fetched: Promise<Uint8Array<ArrayBuffer>> }[] = [];
  const start = (chunk: LocatedChunk, version: number): void => {
    const buffer = stored.take();
    const renewed = (refusal: CollectiveError) => locateAgain(remote, { inode: range.inode, version }, { chunk, refusal });
    const fetched = fetchChunk(remote, chunk, { into: buffer, signal: either, renewed }).then(() => buffer);
    fetched.catch(() => undefined);
    window.push({ chunk, version, fetched });
  };
  const end = endOf(range);
  const deliver = async function* (): AsyncGenerator<Uint8Array> {
    const next = window.shift();
    if (!next) return;
    const buffer = await next.fetched.catch(async (thrown: unknown) => {
      throw await readFailure(remote, [{ inode: range.inode, version: next.version }], thrown);
    });
    const keys = await remote.keysOf(next.chunk.store);
    const opened = openChunk(buffer.subarray(0, next.chunk.storedBytes), { keys, out: plain });
    if (opened.length !== next.chunk.plainBytes)
      throw new CollectiveError("corrupt", `chunk ${next.chunk.id} has another length than the file says`);
    yield opened.subarray(Math.max(0, range.offset - next.chunk.offset), Math.max(0, end - next.chunk.offset));
    stored.give(buffer);
    garbage.moved(next.chunk.storedBytes);
  };
  try {
    const chunks = locatedChunks(remote, range, either);
    for (;;) {
      // Only afterwards the next one is asked for: the reader may have taken its time, and tickets age.
      if (window.length >= chunksInFlightMax) yield* deliver();
      const next = await chunks.next();
      if (next.done === true) break;
      start(next.value.chunk, next.value.version);
    }
    while (window.length > 0) yield* deliver();
  } finally {
    stop.abort();
  }
}

/** "To the end of the file" may be said with any number. */
function endOf(range: ReadRange): number {
  return Math.min(range.offset + range.lengthBytes, Number.MAX_SAFE_INTEGER);
}

/** All chunks of the range, asked for window by window and always of one version. */
async function* locatedChunks(
  remote: Remote,
  range: ReadRange,
  signal: AbortSignal,
): AsyncGenerator<{ readonly chunk: LocatedChunk; readonly version: number }, void> {
  const end = endOf(range);
  let offset = range.offset;
  let ifVersion = range.ifVersion;
  while (offset < end) {
    const [file] = await locate(remote, [{ inode: range.inode, offset, lengthBytes: end - offset, ifVersion }], signal);
    if (!file) return;
    // Of a file that was removed the chunks go little by little: what is left must not pass for the content.
    const missing = offset < file.sizeBytes && (file.chunks[0]?.offset ?? file.sizeBytes) > offset;
    if (missing) throw new CollectiveError("conflict", "the file was removed while it was being read");
    if (file.chunks.length === 0) return;
    ifVersion = file.version;
    const locatedMs = remote.clock.monotonicMs();
    for (const chunk of file.chunks) {
      if (remote.clock.monotonicMs() - locatedMs > ticketsUsedMs) break;
      yield { chunk, version: file.version };
      offset = chunk.offset + chunk.plainBytes;
    }
    if (offset >= file.sizeBytes) return;
  }
}
