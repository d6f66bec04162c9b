/**
 * The part of a verification that knows chunks: batches them by datastore, has their copies checked,
 * and counts. A chunk without a good copy is looked at twice: its file may have been replaced or
 * removed meanwhile, and then nothing is wrong.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, Inode } from "../../protocol/ids.ts";
import { chunksPerTicketMax, mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { createLimiter } from "../core/limiter.ts";
import type { LocatedChunk } from "./locate.ts";
import type { Remote } from "./remote.ts";
import type { VerifyReport } from "./verify.ts";
import { type CopyOutcome, createCopyCheck } from "./verify-copies.ts";

export interface CheckedFile {
  readonly path: string;
  readonly inode: Inode;
  readonly version: number;
}

export interface Verification {
  /** Waits while as many batches as allowed are under way. One call at a time. */
  add(file: CheckedFile, chunks: readonly LocatedChunk[]): Promise<void>;
  finish(): Promise<Omit<VerifyReport, "files">>;
}

export interface VerificationOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of content whose chunks have been looked at. */
  readonly onProgress?: ((plainBytes: number) => void) | undefined;
}

/** One node answers one question in well under `dataTimeoutMs`, also from a slow disk with other questions beside. */
const batchBytesMax = 64 * mebibyte;
const batchesInFlightMax = 4;
/** Chunks remembered so that they are not read again for another file; one beyond may be read and counted twice. */
const rememberedChunksMax = 500_000;

interface PendingChunk {
  readonly id: ChunkId;
  readonly files: CheckedFile[];
  plainBytes: number;
}

interface Batch {
  readonly store: Inode;
  readonly chunks: Map<ChunkId, PendingChunk>;
  bytes: number;
}

type ChunkVerdict = "good" | "lost" | "unverified";

export function createVerification(remote: Remote, options: VerificationOptions): Verification {
  const { signal, onProgress } = options;
  const tally = createTally(remote, options);
  const queue = createQueue((batch) => tally.check(batch));
  const batches = new Map<Inode, Batch>();

  const addChunk = async (file: CheckedFile, chunk: LocatedChunk): Promise<void> => {
    const before = tally.lookUp(chunk.store, chunk.id);
    if (typeof before === "string") {
      tally.settle(file, before);
      onProgress?.(chunk.plainBytes);
      return;
    }
    if (before) {
      before.plainBytes += chunk.plainBytes;
      if (before.files.at(-1) !== file) before.files.push(file);
      return;
    }
    const batch = batches.get(chunk.store) ?? { store: chunk.store, chunks: new Map(), bytes: 0 };
    batches.set(chunk.store, batch);
    const pending = { id: chunk.id, files: [file], plainBytes: chunk.plainBytes };
    tally.expect(chunk.store, pending);
    batch.chunks.set(chunk.id, pending);
    batch.bytes += chunk.storedBytes;
    if (batch.chunks.size < chunksPerTicketMax && batch.bytes < batchBytesMax) return;
    batches.delete(chunk.store);
    await queue.push(batch);
  };

  return {
    add: async (file, chunks) => {
      if (signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
      for (const chunk of chunks) await addChunk(file, chunk);
    },
    finish: async () => {
      for (const batch of batches.values()) await queue.push(batch);
      await queue.drain();
      return tally.report();
    },
  };
}

/** Runs batches, a few at once; the first failure is thrown at whoever pushes or waits next. */
function createQueue(work: (batch: Batch) => Promise<void>) {
  const limiter = createLimiter(batchesInFlightMax);
  const underWay = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const throwFailure = (): void => {
    if (failure) throw failure.error;
  };
  return {
    /** Resolves when the batch has begun. */
    push: async (batch: Batch): Promise<void> => {
      const begun = Promise.withResolvers<void>();
      const run = limiter
        .run(async () => {
          begun.resolve();
          if (!failure) await work(batch);
        })
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => underWay.delete(run));
      underWay.add(run);
      await Promise.race([begun.promise, run]);
      throwFailure();
    },
    drain: async (): Promise<void> => {
      await Promise.all(underWay);
      throwFailure();
    },
  };
}

function createTally(remote: Remote, { signal, onProgress }: VerificationOptions) {
  const copies = createCopyCheck(remote, signal);
  const counts = { chunks: 0, copies: 0, bad: 0, missing: 0, unreachable: 0 };
  const unrecoverable = new Set<string>();
  const unverified = new Set<string>();
  /** By datastore and chunk: what is under way, or how it came out. */
  const known = new Map<Inode, Map<ChunkId, PendingChunk | ChunkVerdict>>();
  let remembered = 0;

  const settle = (file: CheckedFile, verdict: ChunkVerdict): void => {
    if (verdict === "lost") unrecoverable.add(file.path);
    if (verdict === "unverified") unverified.add(file.path);
  };
  const remember = (store: Inode, id: ChunkId, verdict: ChunkVerdict): void => {
    if (remembered < rememberedChunksMax || verdict !== "good") {
      known.get(store)?.set(id, verdict);
      remembered++;
    } else {
      known.get(store)?.delete(id);
    }
  };
  const judge = async (chunk: PendingChunk, outcomes: readonly CopyOutcome[]): Promise<ChunkVerdict> => {
    const good = outcomes.includes("ok");
    if (!good && !(await isStillNamed(remote, chunk.files, signal))) return "good";
    const countOf = (outcome: CopyOutcome): number => outcomes.filter((other) => other === outcome).length;
    counts.chunks++;
    counts.copies += outcomes.length;
    counts.bad += countOf("damaged");
    counts.missing += countOf("missing");
    counts.unreachable += countOf("unreachable");
    if (good) return "good";
    return outcomes.includes("unreachable") ? "unverified" : "lost";
  };
  return {
    settle,
    lookUp: (store: Inode, id: ChunkId) => known.get(store)?.get(id),
    expect: (store: Inode, chunk: PendingChunk): void => {
      const ofStore = known.get(store) ?? new Map<ChunkId, PendingChunk | ChunkVerdict>();
      known.set(store, ofStore.set(chunk.id, chunk));
    },
    check: async (batch: Batch): Promise<void> => {
      const outcomes = await copies.outcomesOf(batch.store, [...batch.chunks.keys()]);
      for (const chunk of batch.chunks.values()) {
        const verdict = await judge(chunk, outcomes.get(chunk.id) ?? []);
        remember(batch.store, chunk.id, verdict);
        for (const file of chunk.files) settle(file, verdict);
        onProgress?.(chunk.plainBytes);
      }
    },
    report: (): Omit<VerifyReport, "files"> => ({
      ...counts,
      unrecoverable: [...unrecoverable].sort(),
      unverified: [...unverified].filter((path) => !unrecoverable.has(path)).sort(),
    }),
  };
}

/** False when every file that had the chunk was replaced or removed since. */
async function isStillNamed(remote: Remote, files: readonly CheckedFile[], signal: AbortSignal | undefined): Promise<boolean> {
  for (const file of files) {
    try {
      const { version } = await remote.control.call(routes.getAttr, { inode: file.inode }, { signal });
      if (version === file.version) return true;
    } catch (error) {
      if (!(error instanceof CollectiveError) || error.code !== "not_found") throw error;
    }
  }
  return false;
}
