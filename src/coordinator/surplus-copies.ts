/**
 * Removes the copies that popular chunks of `media` stores had beyond their policy, when hardly anybody reads them any more.
 * That a copy is too many is seen by the number of copies alone, so nothing has to be remembered of why it was made.
 *
 * Invariant: no copy goes before as many others as the policy asks for, on nodes that are alive, were read and found whole
 * just then; and the transaction that takes it out of use counts those once more.
 */
import { toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import { chunksPerTicketMax, mebibyte } from "../../protocol/limits.ts";
import type { Store } from "../../protocol/schema.ts";
import { ownNodes } from "../cluster/candidates.ts";
import { copiesToRelease, extraCopiesFor } from "../cluster/extra-copies.ts";
import { readCounting } from "../cluster/popularity.ts";
import type { CopyRelease, SurplusChunk } from "../meta/store.ts";
import { withLatency } from "./directory.ts";
import type { CoordinatorService } from "./service.ts";
import { checkCopies } from "./transfer-handlers.ts";

export interface SurplusCopies {
  /** One bounded round; answers how many copies it took out of use. */
  release(signal: AbortSignal): Promise<number>;
}

/** So much a node reads and hashes in well under the time-out, also from a slow disk. */
const bytesPerRoundMax = 64 * mebibyte;

export function createSurplusCopies(service: CoordinatorService): SurplusCopies {
  const { metadata, member, directory, popularity, clock } = service;
  /** By store, how far it was looked through. */
  const lookedUpTo = new Map<Inode, ChunkId>();

  const planFor = ({ id, copies }: SurplusChunk, { policy }: Store) => {
    const holders = withLatency(directory, directory.list()).filter(
      ({ name, state }) => state === "alive" && copies.some((copy) => copy.node === name && copy.state === "stored"),
    );
    const extras = holders.length - policy.replicas;
    const wanted = policy.replicas + extraCopiesFor({ reads: popularity.readsOf(id, clock.monotonicMs()), extras });
    const { dropped, kept } = copiesToRelease(ownNodes(member, holders), { copies: wanted, minMembers: policy.minMembers });
    return { chunk: id, dropped, kept: kept.slice(0, policy.replicas) };
  };
  /** Those of `chunks` that the node has just read and found whole. */
  const wholeOn = async (node: GlobalName, chunks: readonly ChunkId[], signal: AbortSignal): Promise<ReadonlySet<ChunkId>> => {
    try {
      const states = await checkCopies(service, { node, chunks, signal });
      return new Set(chunks.filter((_, index) => states[index] === "ok"));
    } catch (error) {
      service.log.info("copies were not checked", { node, chunks: chunks.length, error: toCollectiveError(error).message });
      return new Set();
    }
  };
  const releaseFrom = async (store: Store, signal: AbortSignal): Promise<number> => {
    const page = await metadata.surplusOf(store.inode, { after: lookedUpTo.get(store.inode), limit: chunksPerTicketMax });
    lookedUpTo.delete(store.inode);
    const plans = [];
    let bytes = 0;
    for (const [index, chunk] of page.entries()) {
      const plan = planFor(chunk, store);
      if (plan.dropped.length > 0) {
        plans.push(plan);
        bytes += chunk.storedBytes;
      }
      const isLast = bytes >= bytesPerRoundMax || index === chunksPerTicketMax - 1;
      if (!isLast) continue;
      lookedUpTo.set(store.inode, chunk.id);
      break;
    }
    const toCheck = new Map<GlobalName, ChunkId[]>();
    for (const { chunk, kept } of plans) for (const node of kept) toCheck.set(node, [...(toCheck.get(node) ?? []), chunk]);
    const checked = await Promise.all([...toCheck].map(async ([node, chunks]) => [node, await wholeOn(node, chunks, signal)] as const));
    const whole = new Map(checked);
    const releases = plans.flatMap(({ chunk, dropped, kept }): CopyRelease[] => {
      const certain = kept.filter((node) => whole.get(node)?.has(chunk));
      return dropped.map((node) => ({ chunk, node, kept: certain }));
    });
    const released = releases.length === 0 ? 0 : await metadata.releaseCopies(store.inode, releases);
    if (released > 0) service.log.debug("extra copies released", { store: store.name, copies: released });
    return released;
  };
  return {
    release: async (signal) => {
      // Nobody knows yet what is read often.
      if (clock.monotonicMs() - service.startedMonotonicMs < readCounting.halfLifeMs) return 0;
      let released = 0;
      for (const store of await metadata.listStores()) {
        if (store.policy.strategy === "media") released += await releaseFrom(store, signal);
      }
      return released;
    },
  };
}
