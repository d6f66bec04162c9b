/**
 * One committed version of a file, read in any order. Where its chunks are is asked for as they are wanted; a chunk is
 * verified and opened by the client's own code before any byte of it is shown. When the version is replaced or removed meanwhile, what is
 * not in memory yet is `stale`: never another version's bytes.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, Inode } from "../../protocol/ids.ts";
import { mebibyte, storedChunkBytesMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { type LocatedChunk, locate, locateAgain, readFailure } from "../client/download.ts";
import { fetchChunk } from "../client/fetch-chunk.ts";
import { layoutOf } from "../client/layout.ts";
import type { Remote } from "../client/remote.ts";
import { openChunk, readChunkHeader } from "../codec/sealed-chunk.ts";
import { type BufferPool, createBufferPool } from "../core/buffers.ts";
import { createGarbageWatch, type GarbageWatch } from "../core/garbage.ts";
import { type ChunkCache, createChunkCache } from "./chunk-cache.ts";
import type { ChunkFolder } from "./chunk-folder.ts";
import type { Range } from "./ranges.ts";

export interface StoredVersion {
  readonly remote: Remote;
  readonly inode: Inode;
  readonly version: number;
  readonly sizeBytes: number;
}

export interface PlacedExtent {
  readonly offset: number;
  readonly id: ChunkId;
  readonly plainBytes: number;
}

export interface StoredContent extends StoredVersion {
  /** Views that are the range together, if all of it is in memory. The range must be within the file. */
  peek(range: Range): Uint8Array[] | undefined;
  read(range: Range): Promise<Uint8Array[]>;
  /** Begins to fetch, as far as that takes nothing from those who wait. */
  readAhead(range: Range): void;
  /** All of it, in order. */
  extents(): Promise<readonly PlacedExtent[]>;
}

/** What all files of a mount share. */
export interface ReadMemory {
  readonly cache: ChunkCache;
  /** On the disk. */
  readonly folder: ChunkFolder;
  readonly sealed: BufferPool;
  readonly plain: BufferPool;
  readonly garbage: GarbageWatch;
}

const cacheBytesMax = 64 * mebibyte;
const buffersKept = 4;
/** Asked for at once: more than is read ahead. */
const locatedBytes = 64 * mebibyte;
const locatedChunksMax = 1_024;
/** A chunk is fetched with a ticket that has some of its life left. */
const locatedUsedMs = ticketLifetimeMs / 2;
/** A buffer of the pool is as large as the largest chunk: not for a small one. */
const pooledBytesMin = storedChunkBytesMax / 4;

export function createReadMemory(folder: ChunkFolder): ReadMemory {
  const pool = () => createBufferPool({ bufferBytes: storedChunkBytesMax, keepMax: buffersKept });
  return { cache: createChunkCache(cacheBytesMax), folder, sealed: pool(), plain: pool(), garbage: createGarbageWatch() };
}

interface KnownChunk {
  readonly chunk: LocatedChunk;
  readonly askedMs: number;
}

/** `known` is the layout where it is known already, as after a commit. */
export function openStored(file: StoredVersion, memory: ReadMemory, known?: readonly PlacedExtent[]): StoredContent {
  const { remote, inode, version } = file;
  let layout = known;
  /** By the offset of the chunk. */
  let located: KnownChunk[] = [];
  let locating: Promise<void> | undefined;

  const locateFrom = async (offset: number): Promise<void> => {
    const askedMs = remote.clock.monotonicMs();
    const lengthBytes = Math.min(locatedBytes, file.sizeBytes - offset);
    const [found] = await locate(remote, [{ inode, offset, lengthBytes, ifVersion: version }]).catch((thrown: unknown) => {
      throw staleIfGone(toCollectiveError(thrown));
    });
    const fresh = found?.chunks ?? [];
    const [first] = fresh;
    if (!first || first.offset > offset) throw staleError();
    const end = (fresh.at(-1)?.offset ?? 0) + 1;
    const others = located.filter(({ chunk }) => chunk.offset < first.offset || chunk.offset >= end);
    located = [...(others.length > locatedChunksMax ? [] : others), ...fresh.map((chunk) => ({ chunk, askedMs }))];
    located.sort((one, other) => one.chunk.offset - other.chunk.offset);
  };
  const knownAt = (at: number): KnownChunk | undefined => {
    let [low, high] = [0, located.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((located[middle]?.chunk.offset ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    const found = located[low - 1];
    return found && at < found.chunk.offset + found.chunk.plainBytes ? found : undefined;
  };
  const chunkAt = async (at: number): Promise<LocatedChunk> => {
    for (;;) {
      const found = knownAt(at);
      if (found && remote.clock.monotonicMs() - found.askedMs <= locatedUsedMs) return found.chunk;
      // One question answers for many readers.
      if (locating) await locating;
      else {
        locating = locateFrom(at).finally(() => {
          locating = undefined;
        });
        await locating;
      }
    }
  };
  const load = (chunk: LocatedChunk): Promise<Uint8Array> =>
    memory.cache.get(chunk.id, chunk.plainBytes, () =>
      loadChunk(chunk, file, memory).catch(async (thrown: unknown) => {
        throw staleIfGone(await readFailure(remote, [{ inode, version }], thrown));
      }),
    );
  return {
    ...file,
    peek: ({ start, end }) => {
      const views: Uint8Array[] = [];
      for (let at = start; at < end; ) {
        const found = knownAt(at)?.chunk;
        const plain = found && memory.cache.peek(found.id);
        if (!plain) return undefined;
        views.push(plain.subarray(at - found.offset, end - found.offset));
        at = found.offset + found.plainBytes;
      }
      return views;
    },
    read: async ({ start, end }) => {
      const views: Promise<Uint8Array>[] = [];
      for (let at = start; at < end; ) {
        const chunk = await chunkAt(at);
        const from = at;
        const loaded = load(chunk).then((plain) => plain.subarray(from - chunk.offset, end - chunk.offset));
        loaded.catch(() => undefined);
        views.push(loaded);
        at = chunk.offset + chunk.plainBytes;
      }
      return await Promise.all(views);
    },
    readAhead: ({ start, end }) => {
      const fetch = async (): Promise<void> => {
        for (let at = start; at < Math.min(end, file.sizeBytes) && memory.cache.isIdle; ) {
          const chunk = await chunkAt(at);
          load(chunk).catch(() => undefined);
          at = chunk.offset + chunk.plainBytes;
        }
      };
      // Whoever reads there will have the error.
      fetch().catch(() => undefined);
    },
    extents: async () => {
      if (layout) return layout;
      const asked = await layoutOf(remote, inode);
      // The pages were asked for one after the other.
      const attr = await remote.control.call(routes.getAttr, { inode });
      if (attr.version !== version) throw staleError();
      layout = asked.map(({ offset, id, plainBytes }) => ({ offset, id, plainBytes }));
      return layout;
    },
  };
}

async function loadChunk(chunk: LocatedChunk, { remote, inode, version }: StoredVersion, memory: ReadMemory): Promise<Uint8Array> {
  const isLarge = chunk.storedBytes >= pooledBytesMin;
  const sealed = isLarge ? memory.sealed.take() : new Uint8Array(chunk.storedBytes);
  const scratch = isLarge ? memory.plain.take() : undefined;
  const stored = sealed.subarray(0, chunk.storedBytes);
  let keeping: Promise<void> | undefined;
  try {
    if (!(await memory.folder.read(chunk.id, stored))) {
      const renewed = (refusal: CollectiveError) => locateAgain(remote, { inode, version }, { chunk, refusal });
      await fetchChunk(remote, chunk, { into: stored, renewed });
      keeping = memory.folder.keep(chunk.id, stored);
    }
    const keys = await remote.keysOf(chunk.store);
    // What is not compressed is deciphered into the memory that stays.
    const isCompressed = readChunkHeader(stored).codec === "zstd";
    const out = isCompressed && scratch ? scratch : new Uint8Array(chunk.plainBytes);
    const opened = openChunk(stored, { keys, out });
    if (opened.length !== chunk.plainBytes) throw new CollectiveError("corrupt", `chunk ${chunk.id} has another length than the file says`);
    memory.garbage.moved(chunk.storedBytes);
    return opened.buffer === sealed.buffer || opened.buffer === scratch?.buffer ? opened.slice() : opened;
  } finally {
    if (scratch) memory.plain.give(scratch);
    // The reader does not wait until it is on the disk.
    if (isLarge) void Promise.resolve(keeping).then(() => memory.sealed.give(sealed));
  }
}

function staleIfGone(error: CollectiveError): CollectiveError {
  return error.code === "conflict" || error.code === "not_found" ? staleError(error) : error;
}

export function staleError(cause?: CollectiveError): CollectiveError {
  return new CollectiveError("stale", "the file was replaced or removed while it was open", { cause, hint: "open it again" });
}
