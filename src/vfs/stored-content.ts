/**
 * One committed version of a file, read in any order. Where its chunks are is asked for as they are wanted; a chunk is
 * verified and opened by the client's own code before any byte of it is shown. When the version is replaced or removed meanwhile, what is
 * not in memory yet is `stale`: never another version's bytes.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type ChunkPart, inside, outside } from "../../protocol/extents.ts";
import type { Inode } from "../../protocol/ids.ts";
import { mebibyte, storedChunkBytesMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import { fetchChunk } from "../client/fetch-chunk.ts";
import { type LocatedChunk, type LocatedFile, locate, locateAgain, readFailure } from "../client/locate.ts";
import type { Remote } from "../client/remote.ts";
import { openChunk, readChunkHeader } from "../codec/sealed-chunk.ts";
import { type BufferPool, createBufferPool, zeroPieces } from "../core/buffers.ts";
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

/** Some bytes of it: of a chunk, or a hole. */
export interface StoredPart extends ChunkPart {
  readonly chunk: LocatedChunk | undefined;
}

export interface StoredContent extends StoredVersion {
  /** Views that are the range together, if all of it is in memory. The range must be within the file. */
  peek(range: Range): Uint8Array[] | undefined;
  read(range: Range): Promise<Uint8Array[]>;
  /** Begins to fetch, as far as that takes nothing from those who wait. */
  readAhead(range: Range): void;
  /** What the range consists of, in order and without a gap. */
  parts(range: Range): Promise<readonly StoredPart[]>;
  /** A version that a commit has made of this one: where what it left as it was lies need not be asked for again. */
  next(version: Pick<StoredVersion, "version" | "sizeBytes">, changed: readonly Range[]): StoredContent;
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
const locatedPartsMax = 1_024;
/** Of a commit of more, all is asked for again. */
const changesFollowedMax = 64;
/** A chunk is fetched with a ticket that has some of its life left. */
const locatedUsedMs = ticketLifetimeMs / 2;
/** A buffer of the pool is as large as the largest chunk: not for a small one. */
const pooledBytesMin = storedChunkBytesMax / 4;

export function createReadMemory(folder: ChunkFolder): ReadMemory {
  const pool = () => createBufferPool({ bufferBytes: storedChunkBytesMax, keepMax: buffersKept });
  return { cache: createChunkCache(cacheBytesMax), folder, sealed: pool(), plain: pool(), garbage: createGarbageWatch() };
}

interface KnownPart extends StoredPart {
  readonly askedMs: number;
}

export function openStored(file: StoredVersion, memory: ReadMemory): StoredContent {
  return storedContent(file, memory, []);
}

function storedContent(file: StoredVersion, memory: ReadMemory, known: readonly KnownPart[]): StoredContent {
  const { remote, inode, version } = file;
  /** By their offsets; they do not overlap. */
  let located = known;
  let locating: Promise<void> | undefined;

  const locateFrom = async (offset: number): Promise<void> => {
    const askedMs = remote.clock.monotonicMs();
    const lengthBytes = Math.min(locatedBytes, file.sizeBytes - offset);
    const [found] = await locate(remote, [{ inode, offset, lengthBytes, ifVersion: version }]).catch((thrown: unknown) => {
      throw staleIfGone(toCollectiveError(thrown));
    });
    const fresh = found ? partsOf(found, offset) : [];
    const [first, last] = [fresh[0], fresh.at(-1)];
    if (!first || !last || first.offset > offset) throw staleError();
    const others = located.length > locatedPartsMax ? [] : without(located, { start: first.offset, end: endOf(last) });
    located = [...others, ...fresh.map((part) => ({ ...part, askedMs }))].sort((one, other) => one.offset - other.offset);
  };
  const knownAt = (at: number): KnownPart | undefined => {
    let [low, high] = [0, located.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((located[middle]?.offset ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    const found = located[low - 1];
    return found && at < endOf(found) ? found : undefined;
  };
  const partAt = async (at: number): Promise<StoredPart> => {
    for (;;) {
      const found = knownAt(at);
      if (found && remote.clock.monotonicMs() - found.askedMs <= locatedUsedMs) return found;
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
  const load = ({ chunk, offset, plainBytes, chunkOffset }: StoredPart & { readonly chunk: LocatedChunk }): Promise<Uint8Array> => {
    const wanted = { ...chunk, offset, plainBytes, chunkOffset };
    return memory.cache.get(chunk.id, chunk.chunkBytes, () =>
      loadChunk(wanted, file, memory).catch(async (thrown: unknown) => {
        throw staleIfGone(await readFailure(remote, [{ inode, version }], thrown));
      }),
    );
  };
  const viewOf = async (part: StoredPart): Promise<Uint8Array[]> => {
    const { chunk, plainBytes } = part;
    return chunk ? [partOf(await load({ ...part, chunk }), part)] : [...zeroPieces(plainBytes)];
  };
  return {
    ...file,
    peek: ({ start, end }) => {
      const views: Uint8Array[] = [];
      for (let at = start; at < end; ) {
        const found = knownAt(at);
        const part = found && inside<StoredPart>(found, { start: at, end });
        const plain = part?.chunk && memory.cache.peek(part.chunk.id);
        if (!part || (part.chunk && !plain)) return undefined;
        if (plain) views.push(partOf(plain, part));
        else views.push(...zeroPieces(part.plainBytes));
        at += part.plainBytes;
      }
      return views;
    },
    read: async ({ start, end }) => {
      const views: Promise<Uint8Array[]>[] = [];
      for (let at = start; at < end; ) {
        const part = inside(await partAt(at), { start: at, end });
        if (!part) throw staleError();
        const viewed = viewOf(part);
        viewed.catch(() => undefined);
        views.push(viewed);
        at += part.plainBytes;
      }
      return (await Promise.all(views)).flat();
    },
    readAhead: ({ start, end }) => {
      const fetch = async (): Promise<void> => {
        for (let at = start; at < Math.min(end, file.sizeBytes) && memory.cache.isIdle; ) {
          const part = await partAt(at);
          if (part.chunk) load({ ...part, chunk: part.chunk }).catch(() => undefined);
          at = endOf(part);
        }
      };
      // Whoever reads there will have the error.
      fetch().catch(() => undefined);
    },
    parts: async ({ start, end }) => {
      const parts: StoredPart[] = [];
      for (let at = start; at < Math.min(end, file.sizeBytes); ) {
        const part = inside(await partAt(at), { start: at, end });
        if (!part) throw staleError();
        parts.push(part);
        at += part.plainBytes;
      }
      return parts;
    },
    next: ({ version: after, sizeBytes }, changed) => {
      // What was a hole up to the end may be longer now, which does not matter.
      const gone = [...changed, { start: sizeBytes, end: Number.MAX_SAFE_INTEGER }];
      const left = gone.length > changesFollowedMax ? [] : gone.reduce<readonly KnownPart[]>(without, located);
      return storedContent({ ...file, version: after, sizeBytes }, memory, left);
    },
  };
}

function endOf({ offset, plainBytes }: ChunkPart): number {
  return offset + plainBytes;
}

function partOf(plain: Uint8Array, { chunkOffset, plainBytes }: ChunkPart): Uint8Array {
  return plain.subarray(chunkOffset, chunkOffset + plainBytes);
}

function without(parts: readonly KnownPart[], range: Range): KnownPart[] {
  return parts.flatMap((part) => {
    const { before, after } = outside(part, range);
    return [before, after].filter((left) => left !== undefined);
  });
}

/** What was located, with the holes between. */
function partsOf({ chunks, endOffset }: LocatedFile, from: number): StoredPart[] {
  const parts: StoredPart[] = [];
  let at = Math.min(from, chunks[0]?.offset ?? from);
  const addHole = (end: number): void => {
    if (end > at) parts.push({ offset: at, plainBytes: end - at, chunkOffset: 0, chunk: undefined });
  };
  for (const chunk of chunks) {
    addHole(chunk.offset);
    const { offset, plainBytes, chunkOffset } = chunk;
    parts.push({ offset, plainBytes, chunkOffset, chunk });
    at = endOf(chunk);
  }
  addHole(endOffset);
  return parts;
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
    const out = isCompressed && scratch ? scratch : new Uint8Array(chunk.chunkBytes);
    const opened = openChunk(stored, { keys, out });
    if (opened.length !== chunk.chunkBytes) throw new CollectiveError("corrupt", `chunk ${chunk.id} has another length than the file says`);
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
