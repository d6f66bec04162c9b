/** What every store checks before it believes bytes. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdFromBytes } from "../../protocol/ids.ts";
import { mebibyte, storedChunkBytesMax } from "../../protocol/limits.ts";

/** About half a millisecond of hashing; longer chunks give the event loop a turn in between. */
const hashSliceBytes = 1 * mebibyte;

/** The id these bytes have. They must not change until the promise settles. */
export async function chunkIdOf(data: Uint8Array): Promise<ChunkId> {
  const hasher = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < data.length; at += hashSliceBytes) {
    if (at > 0) await nextTurn();
    hasher.update(data.subarray(at, at + hashSliceBytes));
  }
  return chunkIdFromBytes(hasher.digest());
}

/** Lets the event loop do what else is waiting. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Throws unless `data` may be stored as `id`. */
export async function checkChunk(id: ChunkId, data: Uint8Array, verified: boolean): Promise<void> {
  if (data.length === 0) throw new CollectiveError("invalid_argument", `chunk ${id} has no bytes`);
  if (data.length > storedChunkBytesMax) {
    throw new CollectiveError("too_large", `chunk ${id} has ${data.length} bytes, ${storedChunkBytesMax} is the most`);
  }
  if (!verified && (await chunkIdOf(data)) !== id) throw new CollectiveError("corrupt", `the bytes given are not those of chunk ${id}`);
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new CollectiveError("cancelled", "cancelled", { cause: signal.reason });
}

export function chunkNotFound(id: ChunkId): CollectiveError {
  return new CollectiveError("not_found", `chunk ${id} is not stored here`);
}

export function chunkDamaged(id: ChunkId, cause?: unknown): CollectiveError {
  return new CollectiveError("corrupt", `the stored bytes of chunk ${id} are damaged`, { details: { chunk: id }, cause });
}

export function storeClosed(): CollectiveError {
  return new CollectiveError("unavailable", "the chunk store is closed");
}
