/**
 * Fetches one chunk from whichever copy gives it whole. Nothing unverified leaves this file: the
 * stored bytes are hashed and compared with the id. A copy that fails is reported, so that its node
 * checks it; the read goes on with the next.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { hashChunk } from "../codec/sealed-chunk.ts";
import { watchStall } from "../core/stall-watch.ts";
import { ticketRefused } from "../net/errors.ts";
import type { Remote } from "./remote.ts";

export interface WantedChunk {
  readonly id: ChunkId;
  readonly storedBytes: number;
  readonly store: Inode;
  /** Copies in the order to try them. */
  readonly nodes: readonly TicketedNode[];
}

export interface FetchOptions {
  readonly into: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  /** The chunk with new tickets, for when the first ones are refused; asked once. */
  readonly renewed?: ((refusal: CollectiveError) => Promise<WantedChunk>) | undefined;
}

/** How long a node may be silent before the next copy is asked for. A sleeping disk wakes up in that time. */
export const stallPatienceMs = 2_000;

/** Writes the stored bytes to the start of `into` and answers how many. `corrupt` when every copy is damaged, `unavailable` when none can be reached. */
export async function fetchChunk(remote: Remote, chunk: WantedChunk, options: FetchOptions): Promise<number> {
  const { into, signal, renewed } = options;
  let last: CollectiveError | undefined;
  let damaged = 0;
  const nodes = inOrder(remote, chunk.nodes);
  // With the last copy there is nothing to lose by waiting; but where it was the connection that led nowhere, a new one helps.
  const tries = [...nodes.map((node) => ({ node, isPatient: false })), ...nodes.slice(-1).map((node) => ({ node, isPatient: true }))];
  for (const { node, isPatient } of tries) {
    if (isPatient && last?.code !== "timed_out") break;
    const askedMs = remote.clock.monotonicMs();
    let hasAnswered = false;
    using stall = isPatient ? undefined : watchStall(remote.clock, { stallMs: stallPatienceMs, signal });
    try {
      const onBytes = (): void => {
        stall?.moved();
        if (!hasAnswered) remote.latencies.note(node.node, remote.clock.monotonicMs() - askedMs);
        hasAnswered = true;
      };
      const bytes = await remote.data.get(node, chunk.id, into.subarray(0, chunk.storedBytes), {
        signal: stall?.signal ?? signal,
        onBytes,
      });
      if (isWhole(into.subarray(0, bytes), chunk)) return bytes;
      last = new CollectiveError("corrupt", `${node.node} sent a damaged copy of chunk ${chunk.id}`);
    } catch (thrown) {
      last = toCollectiveError(stall?.reasonFor(thrown) ?? thrown);
    }
    if (last.code === "cancelled" || last.code === "internal") throw last;
    if (renewed && ticketRefused(last)) return await fetchChunk(remote, await renewed(last), { into, signal });
    noteBadCopy(remote, { chunk, node: node.node, error: last });
    if (last.code === "corrupt" || last.code === "not_found") damaged++;
  }
  throw noCopy(chunk, { damaged, last });
}

export function isWhole(stored: Uint8Array, chunk: Pick<WantedChunk, "id" | "storedBytes">): boolean {
  return stored.length === chunk.storedBytes && hashChunk(stored) === chunk.id;
}

/** As the coordinator has put them, but for what this client knows better. */
export function inOrder(remote: Remote, nodes: readonly TicketedNode[]): TicketedNode[] {
  const likely = nodes.filter((node) => !remote.hasFailedLately(node.node));
  return [...remote.latencies.inOrder(likely), ...nodes.filter((node) => remote.hasFailedLately(node.node))];
}

/** Reporting must never fail or hold up the read that found it. */
export function noteBadCopy(remote: Remote, found: { chunk: WantedChunk; node: GlobalName; error: CollectiveError }): void {
  const { chunk, node, error } = found;
  const isCopyBad = error.code === "corrupt" || error.code === "not_found";
  // That a node is away is said once, not for each of its chunks.
  const level = isCopyBad || !remote.hasFailedLately(node) ? "warn" : "info";
  remote.log[level]("copy could not be read, trying another", { node, chunk: chunk.id, code: error.code, error: error.message });
  if (isCopyBad) {
    remote.control.call(routes.reportCopies, { store: chunk.store, node, chunks: [chunk.id] }).catch((thrown: unknown) => {
      remote.log.debug("damage could not be reported", { node, chunk: chunk.id, error: toCollectiveError(thrown).message });
    });
  } else {
    remote.noteFailure(node);
  }
}

function noCopy(chunk: WantedChunk, { damaged, last }: { damaged: number; last: CollectiveError | undefined }): CollectiveError {
  const copies = `${chunk.nodes.length} ${chunk.nodes.length === 1 ? "copy" : "copies"}`;
  if (chunk.nodes.length === 0 || damaged === chunk.nodes.length) {
    return new CollectiveError(
      "corrupt",
      `chunk ${chunk.id.slice(0, 12)}… cannot be read: ${chunk.nodes.length === 0 ? "it has no usable copy" : `all of its ${copies} are damaged or missing`}`,
      {
        cause: last,
      },
    );
  }
  return new CollectiveError(
    ticketRefused(last) ? "permission_denied" : "unavailable",
    `none of the ${copies} of chunk ${chunk.id.slice(0, 12)}… can be reached: ${last?.message ?? ""}`,
    {
      cause: last,
      hint: "see: collective status",
    },
  );
}
