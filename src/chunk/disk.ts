/**
 * Chunks on a disk: small ones as rows of `<dir>/chunks.db`, large ones as files below
 * `<dir>/chunks`, both durable before they are acknowledged.
 *
 * Invariants:
 * - What is about one chunk happens one after the other (`turns`), so two puts of one id write once
 *   and a delete never meets a half-finished put.
 * - A file is in place before its row says so and gone before its row goes: a crash leaves a file
 *   without a row, or a row without a file, never an acknowledged chunk without its bytes.
 * - One process at a time: `chunks.db` is opened first, and its lock stands for the whole folder.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId } from "../../protocol/ids.ts";
import { inlineStoredBytesMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Capacity } from "./capacity.ts";
import { checkChunk, chunkDamaged, chunkIdOf, chunkNotFound, nextTurn, storeClosed, throwIfAborted } from "./checks.ts";
import { codeOf } from "./directories.ts";
import { openChunkFiles } from "./files.ts";
import { type ChunkRow, openChunkRows } from "./index-rows.ts";
import { reconcile } from "./reconcile.ts";
import type { ChunkStore, VerifyOutcome } from "./store.ts";
import { createKeyedTurns } from "./turns.ts";

export interface DiskChunkStoreOptions {
  /** Made when it does not exist. */
  readonly dir: string;
  /** Which several stores on one disk may share. */
  readonly capacity: Capacity;
  readonly log: Log;
  readonly clock: Pick<Clock, "wallMs">;
}

/** Throws `conflict` when another process has the folder open, `corrupt` when its index is damaged. */
export async function createDiskChunkStore(options: DiskChunkStoreOptions): Promise<ChunkStore> {
  const { dir, log, clock } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { rows, clean } = await openChunkRows({ path: join(dir, "chunks.db"), log, nowMs: () => clock.wallMs() });
  try {
    const files = await openChunkFiles(dir);
    if (!clean) await reconcile({ rows, files, log });
    return diskChunkStore({ ...options, rows, files });
  } catch (error) {
    await rows.close({ clean: false });
    throw toCollectiveError(error);
  }
}

/** What a disk answers for a sector it cannot read, or a file system for a block that fails its own checksum. */
const mediumErrors: ReadonlySet<string> = new Set(["EIO", "EBADMSG", "EUCLEAN"]);

interface Parts extends DiskChunkStoreOptions {
  readonly rows: Awaited<ReturnType<typeof openChunkRows>>["rows"];
  readonly files: Awaited<ReturnType<typeof openChunkFiles>>;
}

function diskChunkStore({ capacity, log, rows, files }: Parts): ChunkStore {
  const turns = createKeyedTurns<ChunkId>();
  let closing: Promise<void> | undefined;
  let shrinking = false;
  const counted = capacity.count(() => rows.totals.usedBytes);

  /** Every operation on a chunk that changes something goes through here. */
  function alone<T>(id: ChunkId, fn: () => Promise<T>): Promise<T> {
    if (closing) return Promise.reject(storeClosed());
    return turns.run(id, fn);
  }

  function stored(id: ChunkId): ChunkRow | undefined {
    if (closing) throw storeClosed();
    const row = rows.find(id);
    return row?.state === "stored" ? row : undefined;
  }

  async function isInPlace(id: ChunkId, row: ChunkRow | undefined): Promise<boolean> {
    if (row?.state !== "stored") return false;
    return row.inline !== null || (await files.sizeOf(id)) === row.bytes;
  }

  async function store(id: ChunkId, data: Uint8Array): Promise<void> {
    const row = rows.find(id);
    if (await isInPlace(id, row)) return;
    const release = capacity.reserve(Math.max(0, data.length - (row?.bytes ?? 0)));
    try {
      if (data.length <= inlineStoredBytesMax) await rows.putInline(id, data);
      else await storeAsFile(id, data);
      if (row?.state === "quarantined") await files.dropQuarantined(id);
    } finally {
      release();
    }
  }

  async function storeAsFile(id: ChunkId, data: Uint8Array): Promise<void> {
    await files.write(id, data);
    try {
      await rows.putFile(id, data.length, "stored");
    } catch (error) {
      await files.remove(id).catch(() => undefined);
      throw error;
    }
  }

  /** The bytes as they are, or why there are none. */
  async function read(id: ChunkId, row: ChunkRow): Promise<{ data: Uint8Array } | { outcome: "missing" | "damaged" }> {
    try {
      const data = row.inline === null ? await files.read(id, row.bytes) : rows.readInline(id);
      if (!data) return { outcome: "missing" };
      return data.length === row.bytes ? { data } : { outcome: "damaged" };
    } catch (error) {
      // Anything else is not the chunk's fault: this process may be short of file handles.
      if (!mediumErrors.has(codeOf(error) ?? "")) throw toCollectiveError(error);
      return { outcome: "damaged" };
    }
  }

  async function goodBytes(id: ChunkId, row: ChunkRow, hash: boolean): Promise<Uint8Array | undefined> {
    const result = await read(id, row);
    return "data" in result && (!hash || (await chunkIdOf(result.data)) === id) ? result.data : undefined;
  }

  async function check(id: ChunkId, row: ChunkRow): Promise<VerifyOutcome> {
    const result = await read(id, row);
    if ("outcome" in result) return result.outcome;
    return (await chunkIdOf(result.data)) === id ? "ok" : "damaged";
  }

  /** Looks once more, since somebody may have deleted or replaced it meanwhile, and puts aside what is really damaged. */
  function confirm(id: ChunkId): Promise<VerifyOutcome> {
    return alone(id, async () => {
      const row = rows.find(id);
      if (!row) return "missing";
      if (row.state === "quarantined") return "damaged";
      const outcome = await check(id, row);
      if (outcome === "damaged") {
        if (row.inline === null) await files.quarantine(id);
        await rows.quarantine(id);
        log.warn("chunk quarantined", { chunk: id, bytes: row.bytes });
      } else if (outcome === "missing") {
        await rows.remove(id);
        log.warn("chunk file is gone", { chunk: id, bytes: row.bytes });
      }
      return outcome;
    });
  }

  async function verifyOne(id: ChunkId): Promise<VerifyOutcome> {
    const row = stored(id);
    if (row && (await check(id, row)) === "ok") return "ok";
    return confirm(id);
  }

  async function deleteOne(id: ChunkId): Promise<number> {
    const row = rows.find(id);
    if (!row) return 0;
    if (row.inline === null) await files.remove(id);
    return rows.remove(id);
  }

  /** After deletes, in the background, a few pages at a time. */
  async function shrink(): Promise<void> {
    if (shrinking) return;
    shrinking = true;
    try {
      await rows.shrink(() => closing !== undefined);
    } catch (error) {
      if (!closing) log.warn("index could not be shrunk", { reason: toCollectiveError(error).message });
    } finally {
      shrinking = false;
    }
  }

  const disk: ChunkStore = {
    async put(id, data, putOptions = {}) {
      throwIfAborted(putOptions.signal);
      await checkChunk(id, data, putOptions.verified === true);
      await alone(id, async () => {
        throwIfAborted(putOptions.signal);
        await store(id, data).catch((error: unknown) => Promise.reject(toCollectiveError(error)));
      });
    },
    async putMany(chunks, putOptions) {
      const results = await Promise.allSettled(chunks.map(({ id, data }) => disk.put(id, data, putOptions)));
      for (const result of results) if (result.status === "rejected") throw result.reason;
    },
    async get(id, getOptions = {}) {
      throwIfAborted(getOptions.signal);
      const row = stored(id);
      if (!row) throw chunkNotFound(id);
      const data = await goodBytes(id, row, getOptions.verify !== false);
      if (data) return data;
      const outcome = await confirm(id);
      // It was replaced while we were reading; what is there now is good.
      const again = outcome === "ok" ? stored(id) : undefined;
      const fresh = again && (await goodBytes(id, again, true));
      if (fresh) return fresh;
      throw outcome === "damaged" ? chunkDamaged(id) : chunkNotFound(id);
    },
    locate(id) {
      const row = stored(id);
      return row && row.inline === null ? { path: files.pathOf(id), bytes: row.bytes } : undefined;
    },
    // While something is under way for a chunk, its row may speak of more than is durable.
    has: async (ids) => ids.map((id) => stored(id) !== undefined && !turns.busy(id)),
    async verify(ids, verifyOptions = {}) {
      const outcomes: VerifyOutcome[] = [];
      for (const id of ids) {
        throwIfAborted(verifyOptions.signal);
        outcomes.push(await verifyOne(id));
        // Small chunks are read and hashed without ever waiting for anything.
        await nextTurn();
      }
      return outcomes;
    },
    async delete(ids) {
      const deleted = await Promise.allSettled(ids.map((id) => alone(id, () => deleteOne(id))));
      let deletedBytes = 0;
      for (const result of deleted) {
        if (result.status === "rejected") throw toCollectiveError(result.reason);
        deletedBytes += result.value;
      }
      void shrink();
      return { deletedBytes };
    },
    async list(page) {
      if (closing) throw storeClosed();
      return rows.list(page);
    },
    usage: () => ({ ...rows.totals, capacityBytes: capacity.capacityBytes, freeBytes: capacity.freeBytes() }),
    close() {
      closing ??= turns
        .idle()
        .then(() => rows.close({ clean: true }))
        .finally(() => counted[Symbol.dispose]());
      return closing;
    },
  };
  return disk;
}
