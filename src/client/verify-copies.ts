/** Asks nodes whether their copies of chunks are what they should be, and tells the coordinator of those that are not. */
import type { VerifiedState } from "../../protocol/data.ts";
import { type CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { ticketRefused } from "../net/errors.ts";
import type { Remote } from "./remote.ts";
import { rightsEnded } from "./rights-ended.ts";

export type CopyOutcome = VerifiedState | "unreachable";

interface Question {
  readonly node: TicketedNode;
  readonly ids: readonly ChunkId[];
  /** The node with a new ticket, for when the first one is refused; asked once. */
  readonly renewed?: (refusal: CollectiveError) => Promise<TicketedNode>;
}

export interface CopyCheck {
  /** Outcomes of all copies that should exist, by chunk. At most `chunksPerTicketMax` chunks, which a node must manage within `dataTimeoutMs`. */
  outcomesOf(store: Inode, ids: readonly ChunkId[]): Promise<Map<ChunkId, CopyOutcome[]>>;
}

/** A node that failed this often in a row is not asked any more. */
const failuresMax = 3;

export function createCopyCheck(remote: Remote, signal: AbortSignal | undefined): CopyCheck {
  const failuresOf = new Map<GlobalName, number>();

  const askNode = async ({ node, ids, renewed }: Question): Promise<readonly CopyOutcome[]> => {
    const failures = failuresOf.get(node.node) ?? 0;
    if (failures >= failuresMax) return ids.map(() => "unreachable");
    try {
      const states = await remote.data.verify(node, ids, { signal });
      failuresOf.delete(node.node);
      return ids.map((_, index) => states[index] ?? "missing");
    } catch (thrown) {
      const error = toCollectiveError(thrown);
      if (error.code === "cancelled" || error.code === "internal") throw error;
      if (renewed && ticketRefused(error)) return await askNode({ node: await renewed(error), ids });
      if (failures === 0)
        remote.log.warn("node could not be asked about its copies", { node: node.node, code: error.code, error: error.message });
      failuresOf.set(node.node, failures + 1);
      return ids.map(() => "unreachable");
    }
  };

  const report = async (store: Inode, node: GlobalName, chunks: readonly ChunkId[]): Promise<void> => {
    if (chunks.length === 0) return;
    try {
      await remote.control.call(routes.reportCopies, { store, node, chunks: [...chunks] }, { signal });
    } catch (error) {
      remote.log.warn("bad copies could not be reported", { node, chunks: chunks.length, error: toCollectiveError(error).message });
    }
  };

  const ticketsFor = (store: Inode, ids: readonly ChunkId[]) =>
    remote.control.call(routes.verifyTickets, { store, chunks: [...ids] }, { signal });
  return {
    outcomesOf: async (store, ids) => {
      const { copies, nodes } = await ticketsFor(store, ids);
      const outcomes = new Map<ChunkId, CopyOutcome[]>(ids.map((id) => [id, []]));
      await Promise.all(
        nodes.map(async (node, at) => {
          const held = ids.filter((_, index) => copies[index]?.includes(at));
          if (held.length === 0) return;
          const renewed = async (refusal: CollectiveError) => {
            const again = await ticketsFor(store, held).catch((thrown: unknown) => {
              throw rightsEnded(toCollectiveError(thrown), refusal);
            });
            return again.nodes.find((same) => same.node === node.node) ?? node;
          };
          const states = await askNode({ node, ids: held, renewed });
          for (const [index, id] of held.entries()) outcomes.get(id)?.push(states[index] ?? "unreachable");
          await report(
            store,
            node.node,
            held.filter((_, index) => states[index] === "damaged" || states[index] === "missing"),
          );
        }),
      );
      return outcomes;
    },
  };
}
