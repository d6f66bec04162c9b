/**
 * Chunks of a file that is read in order, fetched ahead and opened when their turn comes. Parts of a large chunk may stand between small ones
 * that were written over it, so the last chunks stay at hand, and each comes over the network once. What stays is bounded in bytes.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { ChunkId } from "../../protocol/ids.ts";
import { largeChunkBytes, storedChunkBytesMax } from "../../protocol/limits.ts";
import { openChunk } from "../codec/sealed-chunk.ts";
import { type BufferPool, createBufferPool } from "../core/buffers.ts";
import { createGarbageWatch } from "../core/garbage.ts";
import { fetchChunk } from "./fetch-chunk.ts";
import { type FileVersion, type LocatedChunk, locateAgain } from "./locate.ts";
import type { Remote } from "./remote.ts";

export interface OpenedChunk {
  /** All of it. Holds until `release`. */
  plain(): Promise<Uint8Array>;
  /** Exactly once for each `open`. */
  release(): void;
}

export interface OpenedChunks {
  /** Begins to fetch it, unless it is at hand. */
  open(chunk: LocatedChunk, file: FileVersion): OpenedChunk;
}

interface Entry extends OpenedChunk {
  readonly chunkBytes: number;
  uses: number;
  /** Not at hand any more: its memory goes with its last use. */
  isLeft: boolean;
  free(): void;
}

/** One chunk beside the one that is being read. */
const keptBytesMax = largeChunkBytes;
const buffersKept = 3;
/** Smaller ones get memory of their own: the buffers of a pool are as large as the largest chunk. */
const pooledBytesMin = largeChunkBytes / 4;

export function createOpenedChunks(remote: Remote, signal: AbortSignal): OpenedChunks {
  const sealed = createBufferPool({ bufferBytes: storedChunkBytesMax, keepMax: buffersKept });
  const plain = createBufferPool({ bufferBytes: largeChunkBytes, keepMax: buffersKept });
  const garbage = createGarbageWatch();
  /** In the order of their last use. */
  const atHand = new Map<ChunkId, Entry>();
  const leave = (): void => {
    let keptBytes = 0;
    for (const { chunkBytes } of atHand.values()) keptBytes += chunkBytes;
    for (const [id, entry] of atHand) {
      if (keptBytes <= keptBytesMax || atHand.size <= 1) return;
      atHand.delete(id);
      keptBytes -= entry.chunkBytes;
      entry.isLeft = true;
      if (entry.uses === 0) entry.free();
    }
  };
  return {
    open: (chunk, file) => {
      const known = atHand.get(chunk.id);
      const entry = known ?? createEntry(remote, { chunk, file, signal, sealed, plain, moved: garbage.moved });
      entry.uses++;
      atHand.delete(chunk.id);
      atHand.set(chunk.id, entry);
      leave();
      return entry;
    },
  };
}

interface EntryOptions {
  readonly chunk: LocatedChunk;
  readonly file: FileVersion;
  readonly signal: AbortSignal;
  readonly sealed: BufferPool;
  readonly plain: BufferPool;
  readonly moved: (bytes: number) => void;
}

function createEntry(remote: Remote, { chunk, file, signal, sealed, plain, moved }: EntryOptions): Entry {
  const isLarge = chunk.chunkBytes >= pooledBytesMin;
  const buffer = isLarge ? sealed.take() : new Uint8Array(chunk.storedBytes);
  const renewed = (refusal: CollectiveError) => locateAgain(remote, file, { chunk, refusal });
  const fetched = fetchChunk(remote, chunk, { into: buffer, signal, renewed });
  fetched.catch(() => undefined);
  let isSealedHeld = isLarge;
  const freeSealed = (): void => {
    if (isSealedHeld) sealed.give(buffer);
    isSealedHeld = false;
  };
  let out: Uint8Array<ArrayBuffer> | undefined;
  const openNow = async (): Promise<Uint8Array> => {
    const bytes = await fetched;
    const keys = await remote.keysOf(chunk.store);
    out = isLarge ? plain.take() : new Uint8Array(chunk.chunkBytes);
    const opened = openChunk(buffer.subarray(0, bytes), { keys, out });
    if (opened.length !== chunk.chunkBytes) throw new CollectiveError("corrupt", `chunk ${chunk.id} has another length than the file says`);
    moved(chunk.storedBytes);
    if (opened.buffer !== buffer.buffer) freeSealed();
    return opened;
  };
  let opening: Promise<Uint8Array> | undefined;
  const entry: Entry = {
    chunkBytes: chunk.chunkBytes,
    uses: 0,
    isLeft: false,
    plain: () => {
      opening ??= openNow();
      return opening;
    },
    release: () => {
      entry.uses--;
      if (entry.isLeft && entry.uses === 0) entry.free();
    },
    free: () => {
      freeSealed();
      if (isLarge && out) plain.give(out);
    },
  };
  return entry;
}
