/**
 * How often chunks were read lately: a count that loses half of itself in each half-life. Kept in memory alone, for as many
 * chunks as `entriesMax`; a count is never more than the truth, and less only for what was forgotten meanwhile.
 *
 * When there is no room the less read half is forgotten. So what is read again and again stays, however
 * many chunks are read once beside it, and forgetting costs each read next to nothing.
 */
import type { ChunkId, Inode } from "../../protocol/ids.ts";
import type { OfferedChunk } from "../../protocol/schema.ts";

/** Identical bytes count as one, in whatever store they were read last. */
export interface ReadChunk extends OfferedChunk {
  readonly store: Inode;
}

export interface Popularity {
  /** Counts one read and answers how many there are with it. */
  note(chunk: ReadChunk, nowMs: number): number;
  readsOf(chunk: ChunkId, nowMs: number): number;
  /** Those read at least so often, each with its count. What is as good as never read is forgotten on the way. */
  readAtLeast(reads: number, nowMs: number): { readonly chunk: ReadChunk; readonly reads: number }[];
  readonly size: number;
}

export interface PopularityOptions {
  readonly halfLifeMs: number;
  readonly entriesMax: number;
}

interface Entry {
  chunk: ReadChunk;
  reads: number;
  atMs: number;
}

const readsForgotten = 1 / 8;

/** 16,384 chunks are 64 GiB of large files, and some 4 MB of memory. */
export const readCounting: PopularityOptions = { halfLifeMs: 60 * 60_000, entriesMax: 16_384 };

export function createPopularity({ halfLifeMs, entriesMax }: PopularityOptions): Popularity {
  const entries = new Map<ChunkId, Entry>();
  const readsNow = ({ reads, atMs }: Entry, nowMs: number): number => reads * 2 ** (-Math.max(0, nowMs - atMs) / halfLifeMs);
  const makeRoom = (nowMs: number): void => {
    const counts = Float64Array.from(entries.values(), (entry) => readsNow(entry, nowMs)).sort();
    const median = counts[counts.length >> 1] ?? 0;
    for (const [id, entry] of entries) {
      // Of those that are equally read, the ones known for longest.
      if (entries.size <= entriesMax / 2) return;
      if (readsNow(entry, nowMs) <= median) entries.delete(id);
    }
  };
  return {
    note: (chunk, nowMs) => {
      const known = entries.get(chunk.id);
      if (known) {
        known.reads = readsNow(known, nowMs) + 1;
        known.atMs = nowMs;
        known.chunk = chunk;
        return known.reads;
      }
      if (entries.size >= entriesMax) makeRoom(nowMs);
      entries.set(chunk.id, { chunk, reads: 1, atMs: nowMs });
      return 1;
    },
    readsOf: (chunk, nowMs) => {
      const known = entries.get(chunk);
      return known ? readsNow(known, nowMs) : 0;
    },
    readAtLeast: (reads, nowMs) => {
      const found: { chunk: ReadChunk; reads: number }[] = [];
      for (const [id, entry] of entries) {
        const now = readsNow(entry, nowMs);
        if (now < readsForgotten) entries.delete(id);
        else if (now >= reads) found.push({ chunk: entry.chunk, reads: now });
      }
      return found;
    },
    get size() {
      return entries.size;
    },
  };
}
