/**
 * Commits a file: cut by the chunker's rule, with each chunk that the committed version has and nobody has written to named again by its
 * id, and the others sealed and sent. What another version put there meanwhile is `conflict`, unless the commit is told to win.
 */
import type { ChunkId, Inode } from "../../protocol/ids.ts";
import { chunkOverheadBytesMax, chunksPerTicketMax, largeChunkBytes } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr, Extent, FileCommit } from "../../protocol/schema.ts";
import type { Remote } from "../client/remote.ts";
import { createUpload, type PreparedChunk } from "../client/upload.ts";
import { chunkBytesFor } from "../codec/chunker.ts";
import { finishSeal, prepareSeal, sealedBytesMax } from "../codec/sealed-chunk.ts";
import { createBufferPool, releaseMemory } from "../core/buffers.ts";
import { createGarbageWatch } from "../core/garbage.ts";
import { createLimiter, type Limiter } from "../core/limiter.ts";
import type { UnsavedContent } from "./file-content.ts";
import type { Range } from "./ranges.ts";
import type { PlacedExtent } from "./stored-content.ts";

export interface StoreRequest {
  readonly remote: Remote;
  /** The datastore. */
  readonly store: Inode;
  readonly unsaved: UnsavedContent;
  readonly read: (range: Range) => Uint8Array[] | Promise<Uint8Array[]>;
  /** Called whenever a part has been stored. */
  readonly onProgress: () => void;
  readonly file: Omit<FileCommit, "sizeBytes" | "extents">;
}

export interface StoredFile {
  readonly attr: Attr;
  readonly extents: readonly PlacedExtent[];
}

export interface ContentWriter {
  store(request: StoreRequest): Promise<StoredFile>;
}

interface Piece extends Range {
  /** Of the committed version. */
  readonly kept: ChunkId | undefined;
}

const arenaBytesMax = largeChunkBytes + chunksPerTicketMax * chunkOverheadBytesMax;
/** Batches on their way; with the one being filled they are the memory of one commit. */
const batchesInFlightMax = 2;
/** Of all commits that run at once. A large one takes four times a large chunk. */
const memoryBytesMax = 12 * largeChunkBytes;

export function createContentWriter(): ContentWriter {
  const memory: Limiter = createLimiter(memoryBytesMax);
  const arenas = createBufferPool({ bufferBytes: arenaBytesMax, keepMax: batchesInFlightMax + 1 });
  const garbage = createGarbageWatch();
  const storeNow = async (request: StoreRequest, pieces: readonly Piece[]): Promise<StoredFile> => {
    const { remote, store, unsaved, file } = request;
    const upload = createUpload(remote);
    using _alive = upload.keepAlive();
    const keys = await remote.keysOf(store);
    const sending = createLimiter(batchesInFlightMax);
    const batchBytes = arenaBytesFor(pieces);
    const sent: Promise<unknown>[] = [];
    let failure: { readonly error: unknown } | undefined;
    let batch: { readonly arena: Uint8Array<ArrayBuffer>; readonly chunks: PreparedChunk[]; usedBytes: number } | undefined;
    const takeArena = () => (batchBytes === arenaBytesMax ? arenas.take() : new Uint8Array(batchBytes));
    const flush = async (): Promise<void> => {
      const full = batch;
      if (!full) return;
      batch = undefined;
      const started = Promise.withResolvers<void>();
      const send = sending.run(async () => {
        started.resolve();
        try {
          await upload.store(store, full.chunks);
          request.onProgress();
        } catch (error) {
          failure ??= { error };
        } finally {
          if (batchBytes === arenaBytesMax) arenas.give(full.arena);
        }
      });
      sent.push(send);
      await started.promise;
    };
    const extents: (Extent & { chunk: ChunkId })[] = [];
    for (const piece of pieces) {
      const plainBytes = piece.end - piece.start;
      if (piece.kept !== undefined) {
        extents.push({ chunk: piece.kept, plainBytes });
        continue;
      }
      if (failure) break;
      const plain = joined(await request.read(piece), plainBytes);
      const prepared = prepareSeal(plain, keys);
      const fits = batch && batch.chunks.length < chunksPerTicketMax && batch.usedBytes + sealedBytesMax(plainBytes) <= batchBytes;
      if (!fits) await flush();
      batch ??= { arena: takeArena(), chunks: [], usedBytes: 0 };
      const sealed = await finishSeal(prepared, { keys, out: batch.arena.subarray(batch.usedBytes) });
      batch.usedBytes += sealed.stored.length;
      batch.chunks.push({ id: sealed.id, data: sealed.stored, codec: sealed.codec });
      extents.push({ chunk: sealed.id, plainBytes });
      // From the spool it has come into memory of its own; else it may be a view of an opened chunk.
      if (unsaved.written.split(piece).every(({ inside }) => inside)) releaseMemory(plain);
      garbage.moved(plainBytes);
    }
    await flush();
    await Promise.all(sent);
    if (failure) throw failure.error;
    const commit = { ...file, sizeBytes: unsaved.sizeBytes, extents };
    const { attrs } = await upload.showReceipts((receipts) =>
      remote.control.call(routes.commit, { upload: upload.token, files: [commit], receipts: [...receipts], last: true }),
    );
    return { attr: attrs[0] as Attr, extents: pieces.map(({ start }, index) => placed(start, extents[index] as Extent & { chunk: ChunkId })) };
  };
  return {
    store: async (request) => {
      const pieces = await piecesOf(request.unsaved);
      const permits = 4 * arenaBytesFor(pieces);
      return await memory.run(() => storeNow(request, pieces), { permits });
    },
  };
}

function placed(offset: number, { chunk, plainBytes }: Extent & { chunk: ChunkId }): PlacedExtent {
  return { offset, id: chunk, plainBytes };
}

async function piecesOf({ sizeBytes, written, stored, storedBytes }: UnsavedContent): Promise<Piece[]> {
  const chunkBytes = chunkBytesFor(sizeBytes);
  const isRewritten = written.split({ start: 0, end: sizeBytes }).every(({ inside }) => inside);
  const extents = isRewritten || storedBytes === 0 ? [] : await stored.extents();
  const known = new Map(extents.map((extent) => [extent.offset, extent]));
  const pieces: Piece[] = [];
  for (let start = 0; start < sizeBytes; start += chunkBytes) {
    const end = Math.min(start + chunkBytes, sizeBytes);
    const extent = known.get(start);
    const isKept = extent?.plainBytes === end - start && end <= storedBytes && !written.overlaps({ start, end });
    pieces.push({ start, end, kept: isKept ? extent.id : undefined });
  }
  return pieces;
}

function arenaBytesFor(pieces: readonly Piece[]): number {
  let bytes = 0;
  for (const { start, end, kept } of pieces) if (kept === undefined) bytes += sealedBytesMax(end - start);
  return Math.min(bytes, arenaBytesMax);
}

/** A view where there is just one. What a truncation took away meanwhile is zero, and the next commit says so. */
function joined(views: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = views;
  if (views.length === 1 && only?.length === bytes) return only;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const view of views) {
    whole.set(view, at);
    at += view.length;
  }
  return whole;
}
