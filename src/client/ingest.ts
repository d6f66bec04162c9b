/**
 * Takes any number of files in: cuts, seals, stores and publishes them.
 *
 * One pipeline serves a stream of terabytes and a tree of tiny files. Chunks of whatever file are
 * sealed one after the other into an arena; a full arena is a batch and goes its way while the next
 * is filled. A file whose batches are all stored is ready, and ready files are committed together.
 * So memory is bounded by the arenas, and the round trips by the batches, not by the files.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import {
  chunkOverheadBytesMax,
  chunksPerTicketMax,
  extentsPerCommitMax,
  fileBytesMax,
  filesPerCommitMax,
  largeChunkBytes,
} from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr, ContentVersion, Extent, FileCommit, PosixOwner } from "../../protocol/schema.ts";
import { finishSeal, type PreparedSeal, prepareSeal, sealedBytesMax } from "../codec/sealed-chunk.ts";
import { createBufferPool, isZero } from "../core/buffers.ts";
import { createGarbageWatch } from "../core/garbage.ts";
import { createLimiter } from "../core/limiter.ts";
import type { CallOptions } from "../net/control-client.ts";
import { type ContentSource, pieces } from "./pieces.ts";
import type { Remote } from "./remote.ts";
import { createUpload, type PreparedChunk } from "./upload.ts";

export interface IngestTarget extends PosixOwner {
  readonly parent: Inode;
  readonly name: string;
  readonly store: Inode;
  readonly mode: number;
  readonly mtimeNs: bigint;
  readonly replaces?: ContentVersion | null | undefined;
}

export interface Ingest {
  /**
   * Resolves when the content has been read and handed on, so that the next file may follow at once;
   * `committed` resolves when the file is published and durable. One call at a time.
   */
  add(target: IngestTarget, source: ContentSource): Promise<{ readonly committed: Promise<Attr> }>;
  /** Waits for everything and ends the upload. Throws the first error of any file. */
  finish(): Promise<IngestTotals>;
}

export interface IngestTotals {
  readonly files: number;
  readonly plainBytes: number;
  readonly sentBytes: number;
  readonly degradedChunks: number;
  /** Why they have fewer copies than asked for, as far as the coordinator says. */
  readonly because: readonly string[];
}

export interface IngestOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called as content is taken over, with how much. */
  readonly onProgress?: ((plainBytes: number) => void) | undefined;
}

const arenaBytes = largeChunkBytes + chunksPerTicketMax * chunkOverheadBytesMax;
/** Batches on their way at once; with the one being filled they are the memory this takes. */
const batchesInFlightMax = 2;
const commitsInFlightMax = 2;
/** How long the end of a failed upload may take. */
const giveUpWaitMs = 5_000;

interface Batch {
  readonly store: Inode;
  readonly arena: Uint8Array<ArrayBuffer>;
  readonly chunks: PreparedChunk[];
  usedBytes: number;
  readonly done: PromiseWithResolvers<void>;
}

interface PendingFile {
  readonly commit: FileCommit & { readonly extents: readonly Extent[] };
  readonly outcome: PromiseWithResolvers<Attr>;
}

export function createIngest(remote: Remote, options: IngestOptions = {}): Ingest {
  const { signal } = options;
  const upload = createUpload(remote);
  const arenas = createBufferPool({ bufferBytes: arenaBytes, keepMax: batchesInFlightMax + 1 });
  const sending = createLimiter(batchesInFlightMax);
  const committing = createLimiter(commitsInFlightMax);
  const plain = [new Uint8Array(largeChunkBytes), new Uint8Array(largeChunkBytes)] as const;
  const garbage = createGarbageWatch();
  const totals = { files: 0, plainBytes: 0, sentBytes: 0, degradedChunks: 0 };
  /** The last that were told: earlier ones may not hold any more. */
  let because: readonly string[] = [];
  const underWay = new Set<Promise<unknown>>();
  let ready: PendingFile[] = [];
  let batch: Batch | undefined;
  let failure: { readonly error: unknown } | undefined;
  let uncommittedFiles = 0;
  let finishing = false;
  let ended = false;

  const track = (promise: Promise<unknown>): void => {
    const watched = promise
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => underWay.delete(watched));
    underWay.add(watched);
  };
  const assertGoing = (): void => {
    if (failure) throw failure.error;
    if (signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
  };

  /** Sends the batch; waits only while as many as allowed are on their way. */
  const flush = async (): Promise<void> => {
    const full = batch;
    if (!full) return;
    batch = undefined;
    const started = Promise.withResolvers<void>();
    const sent = sending.run(async () => {
      started.resolve();
      try {
        const { sentBytes } = await upload.store(full.store, full.chunks, signal);
        totals.sentBytes += sentBytes;
        full.done.resolve();
      } catch (error) {
        full.done.reject(error);
        throw error;
      } finally {
        arenas.give(full.arena);
      }
    });
    full.done.promise.catch(() => undefined);
    track(sent);
    await Promise.race([started.promise, sent]);
  };

  const batchFor = async (store: Inode, plainBytes: number): Promise<Batch> => {
    const fits =
      batch &&
      batch.store === store &&
      batch.chunks.length < chunksPerTicketMax &&
      batch.usedBytes + sealedBytesMax(plainBytes) <= arenaBytes;
    if (!fits) await flush();
    batch ??= { store, arena: arenas.take(), chunks: [], usedBytes: 0, done: Promise.withResolvers<void>() };
    return batch;
  };

  const addContent = async (
    target: IngestTarget,
    source: ContentSource,
  ): Promise<{ extents: Extent[]; sizeBytes: number; batches: Set<Promise<void>> }> => {
    if ((source.sizeBytes ?? 0) > fileBytesMax) {
      throw new CollectiveError("too_large", `${target.name} has ${source.sizeBytes} bytes, a file has at most ${fileBytesMax}`);
    }
    const keys = await remote.keysOf(target.store);
    const extents: Extent[] = [];
    const batches = new Set<Promise<void>>();
    let sizeBytes = 0;
    const take = (extent: Extent): void => {
      addExtent(extents, extent);
      sizeBytes += extent.plainBytes;
      totals.plainBytes += extent.plainBytes;
      options.onProgress?.(extent.plainBytes);
    };
    const seal = async (prepared: PreparedSeal): Promise<void> => {
      assertGoing();
      const into = await batchFor(target.store, prepared.plainBytes);
      const sealed = await finishSeal(prepared, { keys, out: into.arena.subarray(into.usedBytes) });
      into.usedBytes += sealed.stored.length;
      into.chunks.push({ id: sealed.id, data: sealed.stored, codec: sealed.codec });
      batches.add(into.done.promise);
      take({ chunk: sealed.id, plainBytes: prepared.plainBytes });
      garbage.moved(prepared.plainBytes);
    };
    // One piece is hashed while the one before it is sealed.
    let prepared: PreparedSeal | undefined;
    for await (const piece of pieces(source, plain)) {
      const isHole = isZero(piece);
      const next = isHole ? undefined : prepareSeal(piece, keys);
      if (prepared) await seal(prepared);
      prepared = next;
      if (isHole) take({ chunk: null, plainBytes: piece.length });
    }
    if (prepared) await seal(prepared);
    return { extents, sizeBytes, batches };
  };

  const commit = (files: readonly FileCommit[], { last, ...call }: { readonly last: boolean } & CallOptions) =>
    upload.showReceipts((receipts) =>
      remote.control.call(routes.commit, { upload: upload.token, files: [...files], receipts: [...receipts], last }, call),
    );

  /** One commit takes all that is ready, so they grow by themselves while the coordinator is busy. */
  const commitReady = (): Promise<void> =>
    committing.run(async () => {
      // Files of one batch become ready one after the other in the same turn: let all of them in.
      await remote.clock.sleep(0);
      const files = takeCommit(ready);
      ready = ready.slice(files.length);
      if (files.length === 0) return;
      const last = finishing && files.length === uncommittedFiles;
      try {
        const answer = await commit(
          files.map((file) => file.commit),
          { last, signal },
        );
        uncommittedFiles -= files.length;
        ended = last;
        totals.degradedChunks += answer.degradedChunks;
        if (answer.degradedChunks > 0) because = answer.because;
        totals.files += files.length;
        for (const [index, file] of files.entries()) file.outcome.resolve(answer.attrs[index] as Attr);
      } catch (error) {
        for (const file of files) file.outcome.reject(error);
        throw error;
      }
    });

  /**
   * After an error that the same command would meet again, lets the coordinator collect what was announced
   * and not published. After any other the next run finds its chunks there and goes on.
   */
  const giveUp = async (thrown: unknown): Promise<never> => {
    const error = toCollectiveError(thrown);
    if (ended || error.retryable || error.code === "cancelled") throw thrown;
    ended = true;
    // A chunk that arrives after it was collected would stay for ever.
    const arrived = (async () => {
      while (underWay.size > 0) await Promise.all(underWay);
      return true;
    })();
    const quiet = await Promise.race([arrived, remote.clock.sleep(giveUpWaitMs).then(() => false)]);
    if (quiet) await commit([], { last: true, timeoutMs: giveUpWaitMs }).catch(() => undefined);
    throw thrown;
  };

  const add: Ingest["add"] = async (target, source) => {
    assertGoing();
    using _alive = upload.keepAlive();
    const { extents, sizeBytes, batches } = await addContent(target, source);
    const outcome = Promise.withResolvers<Attr>();
    outcome.promise.catch(() => undefined);
    const { store: _, ...place } = target;
    const publish = async (): Promise<void> => {
      try {
        await Promise.all(batches);
      } catch (error) {
        outcome.reject(error);
        throw error;
      }
      ready.push({ commit: { ...place, extents, sizeBytes }, outcome });
      await commitReady();
    };
    uncommittedFiles++;
    track(publish());
    return { committed: outcome.promise };
  };
  const finish: Ingest["finish"] = async () => {
    finishing = true;
    await flush();
    while (underWay.size > 0) await Promise.all(underWay);
    assertGoing();
    if (totals.files > 0 && !ended) await commit([], { last: true, signal });
    return { ...totals, because };
  };
  return { add: (target, source) => add(target, source).catch(giveUp), finish: () => finish().catch(giveUp) };
}

/** Holes next to each other become one. */
function addExtent(extents: Extent[], extent: Extent): void {
  const last = extents.at(-1);
  if (last?.chunk === null && extent.chunk === null)
    extents.splice(-1, 1, { chunk: null, plainBytes: last.plainBytes + extent.plainBytes });
  else extents.push(extent);
}

/** As many of the ready files as one commit may carry; at least one. */
function takeCommit(ready: readonly PendingFile[]): PendingFile[] {
  let extents = 0;
  const taken: PendingFile[] = [];
  for (const file of ready.slice(0, filesPerCommitMax)) {
    extents += file.commit.extents.length;
    if (taken.length > 0 && extents > extentsPerCommitMax / 4) break;
    taken.push(file);
  }
  return taken;
}
