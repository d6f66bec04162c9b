/**
 * Where a node keeps chunks. A chunk is opaque bytes under the name of their SHA-256; a store knows
 * no files, no keys and no other nodes. Every implementation passes test/conformance/chunk-store.ts.
 */
import type { ChunkId } from "../../protocol/ids.ts";

/** `quarantined`: its bytes turned out to be wrong. They are kept and counted, but never given away. */
export type ChunkState = "stored" | "quarantined";
export type VerifyOutcome = "ok" | "damaged" | "missing";

export interface ChunkUsage {
  /** Of all chunks, quarantined ones included. */
  readonly usedBytes: number;
  readonly capacityBytes: number;
  /** What can really still be written: the capacity's rest or the disk's, whichever is less. */
  readonly freeBytes: number;
  /** Without quarantined ones. */
  readonly chunkCount: number;
  readonly quarantinedCount: number;
}

export interface PutOptions {
  readonly signal?: AbortSignal | undefined;
  /** The caller has just hashed these very bytes itself. */
  readonly verified?: boolean | undefined;
}

export interface GetOptions {
  readonly signal?: AbortSignal | undefined;
  /** False when the reader at the far end verifies, as a client on the network does. Default true. */
  readonly verify?: boolean | undefined;
}

export interface ChunkStore {
  /**
   * Idempotent and durable on return. Throws `corrupt` when the bytes are not those of the id,
   * `no_space` (details: usedBytes, capacityBytes, neededBytes) before anything is written,
   * `invalid_argument` or `too_large` for a length no chunk has. `data` must stay unchanged until the promise settles.
   */
  put(id: ChunkId, data: Uint8Array, options?: PutOptions): Promise<void>;
  /** Small ones share one sync. Each is idempotent by itself; after a failure some may be stored. */
  putMany(chunks: readonly { readonly id: ChunkId; readonly data: Uint8Array }[], options?: PutOptions): Promise<void>;
  /** Whole chunk; never bytes that fail their checksum. Throws `not_found`, or `corrupt` and quarantines it. The bytes are the caller's own. */
  get(id: ChunkId, options?: GetOptions): Promise<Uint8Array>;
  /** Where the bytes of a large chunk lie, to be streamed without passing through our heap and unverified; undefined for any other. */
  locate(id: ChunkId): { readonly path: string; readonly bytes: number } | undefined;
  /** True for what is stored durably, in the order asked. */
  has(ids: readonly ChunkId[]): Promise<boolean[]>;
  /** Reads and hashes each; damaged ones are quarantined. */
  verify(ids: readonly ChunkId[], options?: { readonly signal?: AbortSignal | undefined }): Promise<VerifyOutcome[]>;
  /** A missing one is not an error, a quarantined one is deleted as well. Durable on return. */
  delete(ids: readonly ChunkId[]): Promise<{ deletedBytes: number }>;
  /** Stored ones, sorted by id, those greater than `after`. */
  list(page: { readonly after?: ChunkId | undefined; readonly limit: number }): Promise<{ id: ChunkId; bytes: number }[]>;
  /** Cheap. */
  usage(): ChunkUsage;
  /** Idempotent; waits for what is under way. Afterwards everything throws `unavailable`. */
  close(): Promise<void>;
}
