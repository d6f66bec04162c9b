/**
 * The simplest chunk store: a map. For tests, and to read what the interface means; one without capacity stands for a
 * member of whom a node has nothing. Durable as long as the process.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { ChunkId } from "../../protocol/ids.ts";
import { createCapacity } from "./capacity.ts";
import { checkChunk, chunkDamaged, chunkIdOf, chunkNotFound, storeClosed, throwIfAborted } from "./checks.ts";
import type { ChunkState, ChunkStore, VerifyOutcome } from "./store.ts";

interface Kept {
  readonly data: Uint8Array;
  state: ChunkState;
}

export interface MemoryChunkStore extends ChunkStore {
  /** Flips a bit of what is stored, to see what becomes of it. */
  damage(id: ChunkId): void;
}

export function createMemoryChunkStore(options: { readonly capacityBytes: number }): MemoryChunkStore {
  const chunks = new Map<ChunkId, Kept>();
  let usedBytes = 0;
  let closed = false;
  const capacity = createCapacity({
    capacityBytes: options.capacityBytes,
    diskFreeBytes: () => Number.MAX_SAFE_INTEGER,
    clock: { monotonicMs: () => 0 },
  });
  capacity.count(() => usedBytes);

  const stored = (id: ChunkId): Kept | undefined => {
    const kept = chunks.get(id);
    return kept?.state === "stored" ? kept : undefined;
  };
  const open = (): void => {
    if (closed) throw storeClosed();
  };
  const countOf = (state: ChunkState): number => [...chunks.values()].filter((kept) => kept.state === state).length;

  async function verifyOne(id: ChunkId): Promise<VerifyOutcome> {
    const kept = chunks.get(id);
    if (!kept) return "missing";
    if (kept.state === "stored" && (await chunkIdOf(kept.data)) === id) return "ok";
    kept.state = "quarantined";
    return "damaged";
  }

  const store: MemoryChunkStore = {
    async put(id, data, putOptions = {}) {
      open();
      throwIfAborted(putOptions.signal);
      await checkChunk(id, data, putOptions.verified === true);
      if (stored(id)) return;
      const replacedBytes = chunks.get(id)?.data.length ?? 0;
      const release = capacity.reserve(Math.max(0, data.length - replacedBytes));
      chunks.set(id, { data: data.slice(), state: "stored" });
      usedBytes += data.length - replacedBytes;
      release();
    },
    async putMany(many, putOptions) {
      for (const { id, data } of many) await store.put(id, data, putOptions);
    },
    async get(id, getOptions = {}) {
      open();
      throwIfAborted(getOptions.signal);
      const kept = stored(id);
      if (!kept) throw chunkNotFound(id);
      if (getOptions.verify !== false && (await verifyOne(id)) !== "ok") throw chunkDamaged(id);
      return kept.data.slice();
    },
    locate: () => undefined,
    async has(ids) {
      open();
      return ids.map((id) => stored(id) !== undefined);
    },
    async verify(ids, verifyOptions = {}) {
      open();
      const outcomes: VerifyOutcome[] = [];
      for (const id of ids) {
        throwIfAborted(verifyOptions.signal);
        outcomes.push(await verifyOne(id));
      }
      return outcomes;
    },
    async delete(ids) {
      open();
      let deletedBytes = 0;
      for (const id of ids) {
        deletedBytes += chunks.get(id)?.data.length ?? 0;
        chunks.delete(id);
      }
      usedBytes -= deletedBytes;
      return { deletedBytes };
    },
    async list({ after, limit }) {
      open();
      return [...chunks]
        .filter(([id, kept]) => kept.state === "stored" && (after === undefined || id > after))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([id, kept]) => ({ id, bytes: kept.data.length }));
    },
    usage: () => ({
      usedBytes,
      capacityBytes: options.capacityBytes,
      freeBytes: capacity.freeBytes(),
      chunkCount: countOf("stored"),
      quarantinedCount: countOf("quarantined"),
    }),
    async close() {
      closed = true;
    },
    damage(id) {
      const kept = chunks.get(id);
      if (!kept) throw new CollectiveError("not_found", `chunk ${id} is not stored here`);
      kept.data[0] = (kept.data[0] ?? 0) ^ 1;
    },
  };
  return store;
}
