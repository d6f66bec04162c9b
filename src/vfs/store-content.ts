/**
 * Commits what was written of a file, as changes to the version that it was written over. What another version put there meanwhile is
 * `conflict`.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { chunkOverheadBytesMax, chunksPerTicketMax, largeChunkBytes } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr, ContentChange, Extent, FileCommit } from "../../protocol/schema.ts";
import type { Remote } from "../client/remote.ts";
import { createUpload, type PreparedChunk, type Upload } from "../client/upload.ts";
import { finishSeal, prepareSeal, sealedBytesMax } from "../codec/sealed-chunk.ts";
import { createBufferPool, isZero, releaseMemory } from "../core/buffers.ts";
import { createGarbageWatch } from "../core/garbage.ts";
import { createLimiter, type Limiter } from "../core/limiter.ts";
import { isWorthRewriting, mergedSpans, spansOf, windowAt, windowsOf, writtenSpans } from "./commit-plan.ts";
import type { UnsavedContent } from "./file-content.ts";
import type { Range } from "./ranges.ts";
import type { StoredContent, StoredPart } from "./stored-content.ts";

export interface StoreRequest {
  readonly remote: Remote;
  /** The datastore. */
  readonly store: Inode;
  readonly unsaved: UnsavedContent;
  readonly read: (range: Range) => Uint8Array[] | Promise<Uint8Array[]>;
  /** Called whenever a part has been stored. */
  readonly onProgress: () => void;
  readonly file: Omit<FileCommit, "sizeBytes" | "extents" | "changes">;
}

export interface StoredFile {
  readonly attr: Attr;
  readonly stored: StoredContent;
}

export interface ContentWriter {
  /** Stores what is unsaved. */
  store(request: StoreRequest): Promise<StoredFile>;
  /** Names stored parts, in order, as the content from `at` on. */
  copy(request: StoreRequest, content: { readonly parts: readonly StoredPart[]; readonly at: number }): Promise<StoredFile>;
  /** Writes fragmented windows anew as one chunk each, as far as that is worth it. Undefined when there is nothing to do. */
  defragment(request: StoreRequest): Promise<StoredFile | undefined>;
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
  const storeNow = async (request: StoreRequest, spans: readonly Range[]): Promise<StoredFile> => {
    const { remote, store, unsaved } = request;
    const upload = createUpload(remote);
    using _alive = upload.keepAlive();
    const keys = await remote.keysOf(store);
    const sending = createLimiter(batchesInFlightMax);
    const batchBytes = arenaBytesFor(spans);
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
    const changes = holesOf(unsaved);
    for (const span of spans) {
      if (failure) break;
      const plainBytes = span.end - span.start;
      const plain = joined(await request.read(span), plainBytes);
      if (isZero(plain)) {
        addExtent(changes, span.start, { chunk: null, plainBytes });
        continue;
      }
      const prepared = prepareSeal(plain, keys);
      const fits = batch && batch.chunks.length < chunksPerTicketMax && batch.usedBytes + sealedBytesMax(plainBytes) <= batchBytes;
      if (!fits) await flush();
      batch ??= { arena: takeArena(), chunks: [], usedBytes: 0 };
      const sealed = await finishSeal(prepared, { keys, out: batch.arena.subarray(batch.usedBytes) });
      batch.usedBytes += sealed.stored.length;
      batch.chunks.push({ id: sealed.id, data: sealed.stored, codec: sealed.codec });
      addExtent(changes, span.start, { chunk: sealed.id, plainBytes });
      // From the spool it has come into memory of its own; else it may be a view of an opened chunk.
      if (unsaved.written.split(span).every(({ inside }) => inside)) releaseMemory(plain);
      garbage.moved(plainBytes);
    }
    await flush();
    await Promise.all(sent);
    if (failure) throw failure.error;
    const { sizeBytes } = unsaved;
    const done = await publish(request, upload, { sizeBytes, changes });
    unsaved.fragments.note(spans, { beforeBytes: unsaved.stored.sizeBytes, sizeBytes });
    return done;
  };
  const storeSpans = async (request: StoreRequest, spans: readonly Range[]): Promise<StoredFile> =>
    await memory.run(() => storeNow(request, spans), { permits: 4 * arenaBytesFor(spans) });
  return {
    store: async (request) => {
      const { written, sizeBytes } = request.unsaved;
      const spans = spansOf(written, sizeBytes);
      let unread: unknown;
      const read = async (range: Range): Promise<Uint8Array[]> => {
        try {
          return await request.read(range);
        } catch (error) {
          unread = error;
          throw error;
        }
      };
      try {
        return await storeSpans({ ...request, read }, await merged(request.unsaved, spans));
      } catch (error) {
        // Others have left it in too many pieces.
        if (toCollectiveError(error).code === "too_large") return await storeSpans(request, windowsOf(spans, sizeBytes));
        // What lies around could not be read: what was written can be stored without it.
        if (error !== unread || toCollectiveError(error).code === "stale") throw error;
        return await storeSpans(request, writtenSpans(written, sizeBytes));
      }
    },
    copy: async (request, { parts, at }) => {
      const extents = parts.map(({ chunk, plainBytes, chunkOffset }) =>
        chunk ? { chunk: chunk.id, plainBytes, chunkOffset, chunkBytes: chunk.chunkBytes } : { chunk: null, plainBytes },
      );
      const change = { offset: at, extents };
      return await publish(request, createUpload(request.remote), { sizeBytes: request.unsaved.sizeBytes, changes: [change] });
    },
    defragment: async (request) => {
      const { stored, fragments } = request.unsaved;
      const { sizeBytes } = stored;
      const spans: Range[] = [];
      const known = fragments.list();
      fragments.clear();
      for (const { start, history } of known) {
        const window = windowAt(start, sizeBytes);
        const parts = await stored.parts(window);
        if (isWorthRewriting({ window, parts, history, sizeBytes })) spans.push(window);
      }
      return spans.length === 0 ? undefined : await storeSpans(request, spans);
    },
  };
}

async function publish(
  { remote, file, unsaved }: StoreRequest,
  upload: Upload,
  content: { readonly sizeBytes: number; readonly changes: ContentChange[] },
): Promise<StoredFile> {
  const { attrs } = await upload.showReceipts((receipts) =>
    remote.control.call(routes.commit, { upload: upload.token, files: [{ ...file, ...content }], receipts: [...receipts], last: true }),
  );
  const [attr] = attrs;
  if (!attr) throw new CollectiveError("internal", "a commit came back without the file");
  return { attr, stored: unsaved.stored.next(attr, content.changes.map(rangeOf)) };
}

/** With fragments around them, in windows that were committed to many times. */
async function merged({ stored, storedBytes, sizeBytes, fragments }: UnsavedContent, spans: readonly Range[]): Promise<readonly Range[]> {
  const byWindow = Map.groupBy(spans, ({ start }) => windowAt(start, sizeBytes).start);
  if (![...byWindow.keys()].some((start) => fragments.isDue(windowAt(start, sizeBytes)))) return spans;
  const all: Range[] = [];
  for (const [start, ofWindow] of byWindow) {
    const window = windowAt(start, sizeBytes);
    if (!fragments.isDue(window)) {
      all.push(...ofWindow);
      continue;
    }
    const parts = await stored.parts({ start, end: Math.min(window.end, storedBytes) });
    all.push(...mergedSpans(parts, ofWindow, window));
    fragments.noteLook(window);
  }
  return all;
}

/** What reads as zero from now on where nothing was written: holes that were made, and what a cut took away of a file that is longer again. */
function holesOf({ punched, storedBytes, stored, sizeBytes }: UnsavedContent): { offset: number; extents: Extent[] }[] {
  const cutEnd = Math.min(stored.sizeBytes, sizeBytes);
  const cut = cutEnd > storedBytes ? [{ start: storedBytes, end: cutEnd }] : [];
  return [...punched.list(), ...cut].map(({ start, end }) => ({ offset: start, extents: [{ chunk: null, plainBytes: end - start }] }));
}

/** To the last change, where it goes on there: spans come in order. */
function addExtent(changes: { offset: number; extents: Extent[] }[], offset: number, extent: Extent): void {
  const last = changes.at(-1);
  if (last && rangeOf(last).end === offset) last.extents.push(extent);
  else changes.push({ offset, extents: [extent] });
}

function rangeOf({ offset, extents }: ContentChange): Range {
  return { start: offset, end: extents.reduce((end, { plainBytes }) => end + plainBytes, offset) };
}

function arenaBytesFor(spans: readonly Range[]): number {
  const bytes = spans.reduce((sum, { start, end }) => sum + sealedBytesMax(end - start), 0);
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
