/**
 * Extra copies of what is read often, in `media` stores: on further nodes, near ones first, from which readers then choose.
 * `src/coordinator/surplus-copies.ts` removes them again.
 *
 * Invariants: an extra copy is made only where plenty of space is left. It is announced like an upload's, so
 * whatever becomes of the copying, nothing stays on a node that the metadata does not know.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import { batchBytesMax, chunksPerTicketMax, mebibyte } from "../../protocol/limits.ts";
import type { NodeSummary, OfferedChunk, StorePolicy } from "../../protocol/schema.ts";
import { ownNodes } from "../cluster/candidates.ts";
import { extraCopiesFor, readsForCopy } from "../cluster/extra-copies.ts";
import { chooseNodes } from "../cluster/placement.ts";
import { readOrder } from "../cluster/read-order.ts";
import type { ChooseNodes } from "../meta/store.ts";
import { withLatency } from "./directory.ts";
import { type ReplicateRequest, replicate } from "./replicate.ts";
import type { CoordinatorService } from "./service.ts";
import { checkCopies } from "./transfer-handlers.ts";

export interface PopularCopies {
  /** One bounded round; answers how many copies it made. */
  add(signal: AbortSignal): Promise<number>;
}

const chunksPerRoundMax = 256;
/** With a round every few seconds: no more than leaves those who read the same disks most of their speed. */
const bytesPerRoundMax = 64 * mebibyte;
/** What has to be left free of a node's capacity: extra copies never take the place of what a policy asks for. */
const plentyShare = 1 / 4;
const failureRememberedMs = 60_000;
const uploadTokenBytes = 16;

type Popular = ReturnType<CoordinatorService["popularity"]["readAtLeast"]>[number];
type Batch = Omit<ReplicateRequest, "signal">;
type Copies = Parameters<ChooseNodes>[1];
type ListedNode = NodeSummary & { readonly latencyMs: number };

interface Round {
  bytesLeft: number;
  readonly signal: AbortSignal;
}

export function createPopularCopies(service: CoordinatorService): PopularCopies {
  const { metadata, member, directory, popularity, clock } = service;
  const failedUntilMs = new Map<GlobalName, number>();
  const noteFailure = (node: GlobalName): void => void failedUntilMs.set(node, clock.monotonicMs() + failureRememberedMs);
  const hasFailed = (node: GlobalName): boolean => (failedUntilMs.get(node) ?? 0) > clock.monotonicMs();
  let position = 0;

  /** Each time others, so that those that nothing can be done for do not stand in the way. */
  const nextPopular = (): Popular[] => {
    const all = popularity.readAtLeast(readsForCopy, clock.monotonicMs());
    const first = all.length === 0 ? 0 : position % all.length;
    position = first + chunksPerRoundMax;
    return [...all.slice(first), ...all.slice(0, first)].slice(0, chunksPerRoundMax);
  };
  /** Where a chunk is to be copied from and to; undefined when it has all it deserves or can have. */
  const planFor = ({ chunk, reads }: Popular, policy: StorePolicy, copies: Copies, nodes: readonly ListedNode[]) => {
    const holders = nodes.filter(
      ({ name, state }) => state === "alive" && copies.some((copy) => copy.node === name && copy.state === "stored"),
    );
    const sources = holders.filter(({ name }) => !hasFailed(name));
    const [source] = readOrder(chunk.id, sources, service.random.int(Math.max(1, sources.length)));
    if (source === undefined) return undefined;
    const extras = Math.max(0, holders.length - policy.replicas);
    const { nodes: targets } = chooseNodes({
      ...{ chunk: chunk.id, storedBytes: chunk.storedBytes, home: member, copies, exclude: new Set() },
      policy: { ...policy, replicas: policy.replicas + extraCopiesFor({ reads, extras }) },
      nodes: ownNodes(
        member,
        nodes.map((node) => ({ ...node, freeBytes: hasFailed(node.name) ? 0 : spareBytes(node) })),
      ),
    });
    return targets.length === 0 ? undefined : { source, targets };
  };

  /** Answers how many copies there are now. Throws when the target cannot be asked. */
  const copy = async (batch: Batch, { upload, store, signal }: { upload: string; store: Inode; signal: AbortSignal }): Promise<number> => {
    const { source, target } = batch;
    const { copied, failed } = await replicate(service, { ...batch, signal });
    if (copied.length > 0) await metadata.offer({ upload, store, chunks: [], confirmed: [{ node: target, chunks: copied }] }, () => []);
    const bad = failed.filter(({ code }) => code === "corrupt" || code === "not_found");
    const other = failed.find((failure) => !bad.includes(failure));
    service.log.debug("popular chunks copied", { source, target, chunks: copied.length, failed: failed.length, why: other?.message });
    if (other) noteFailure(other.code === "no_space" ? target : source);
    if (bad.length > 0) await checkCopies(service, { node: source, chunks: bad.map(({ id }) => id), signal });
    return copied.length;
  };
  const addTo = async (store: Inode, popular: readonly Popular[], round: Round): Promise<number> => {
    const { signal } = round;
    const policy = await policyOf(service, store);
    if (policy?.strategy !== "media") return 0;
    const nodes = withLatency(directory, directory.list());
    const ids = popular.map(({ chunk }) => chunk.id);
    const known = await metadata.copiesOf(store, ids);
    const lacking = popular.filter((one, index) => planFor(one, policy, known[index] ?? [], nodes));
    if (lacking.length === 0) return 0;
    const byId = new Map(lacking.map((one) => [one.chunk.id, one]));
    const planned: Step[] = [];
    const choose: ChooseNodes = ({ id }, copies) => {
      const one = byId.get(id);
      const plan = one && round.bytesLeft > 0 ? planFor(one, policy, copies, nodes) : undefined;
      if (!one || !plan) return [];
      round.bytesLeft -= plan.targets.length * one.chunk.storedBytes;
      for (const target of plan.targets) planned.push({ chunk: one.chunk, source: plan.source, target });
      return plan.targets;
    };
    const upload = Buffer.from(service.random.bytes(uploadTokenBytes)).toString("hex");
    await metadata.offer({ upload, store, chunks: lacking.map(({ chunk }) => chunk), confirmed: [] }, choose);
    let made = 0;
    let isAnswered = true;
    for (const batch of batchesOf(planned)) {
      if (hasFailed(batch.source) || hasFailed(batch.target)) continue;
      try {
        made += await copy(batch, { upload, store, signal });
      } catch (error) {
        isAnswered = false;
        if (signal.aborted) break;
        noteFailure(batch.target);
        service.log.info("popular chunks were not copied", { target: batch.target, error: toCollectiveError(error).message });
      }
    }
    // A node that has not answered may still write: what it was offered is not collected before its ticket has expired.
    if (isAnswered) await metadata.commit({ upload, files: [], confirmed: [], last: true, owner: member });
    return made;
  };
  return {
    add: async (signal) => {
      const round = { bytesLeft: bytesPerRoundMax, signal };
      let made = 0;
      for (const [store, popular] of Map.groupBy(nextPopular(), ({ chunk }) => chunk.store)) made += await addTo(store, popular, round);
      return made;
    },
  };
}

function spareBytes({ freeBytes, capacityBytes }: ListedNode): number {
  return Math.max(0, freeBytes - capacityBytes * plentyShare);
}

/** Undefined for a store that is gone. */
async function policyOf({ metadata }: CoordinatorService, store: Inode): Promise<StorePolicy | undefined> {
  try {
    return await metadata.policyOf(store);
  } catch (error) {
    if (error instanceof CollectiveError && error.code === "not_found") return undefined;
    throw error;
  }
}

interface Step {
  readonly chunk: OfferedChunk;
  readonly source: GlobalName;
  readonly target: GlobalName;
}

/** One for each pair of nodes, cut to what one ticket allows. */
function batchesOf(planned: readonly Step[]): Batch[] {
  const batches: (Batch & { chunks: OfferedChunk[] })[] = [];
  const open = new Map<string, { batch: Batch & { chunks: OfferedChunk[] }; bytes: number }>();
  for (const { chunk, source, target } of planned) {
    const pair = `${source} ${target}`;
    let current = open.get(pair);
    if (!current || current.bytes + chunk.storedBytes > batchBytesMax || current.batch.chunks.length >= chunksPerTicketMax) {
      current = { batch: { source, target, chunks: [] }, bytes: 0 };
      open.set(pair, current);
      batches.push(current.batch);
    }
    current.batch.chunks.push(chunk);
    current.bytes += chunk.storedBytes;
  }
  return batches;
}
