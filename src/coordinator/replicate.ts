/** Has one node fetch copies from another: the bytes go from node to node, the coordinator signs what allows it and believes the receipt. */
import type { ReplicationFailure } from "../../protocol/data.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import type { TicketOperation } from "../../protocol/ticket.ts";
import { confirmedBy } from "./receipts.ts";
import type { CoordinatorService } from "./service.ts";

export interface ReplicateRequest {
  readonly source: GlobalName;
  readonly target: GlobalName;
  /** At most `chunksPerTicketMax`, and `batchBytesMax` in all. */
  readonly chunks: readonly { readonly id: ChunkId; readonly storedBytes: number }[];
  readonly signal: AbortSignal;
}

/** What the target holds durably now; the caller records it. Throws when the target cannot be asked. */
export async function replicate(
  service: CoordinatorService,
  { source, target, chunks, signal }: ReplicateRequest,
): Promise<{ copied: readonly ChunkId[]; failed: readonly ReplicationFailure[] }> {
  const ticketed = (node: GlobalName, operation: TicketOperation): TicketedNode => {
    const { nodes } = service.tickets.issue({ holder: service.member, operation, chunks: chunks.map(({ id }) => ({ id, nodes: [node] })) });
    if (!nodes[0]) throw new CollectiveError("not_found", `there is no node ${node}`);
    return nodes[0];
  };
  const request = { source: ticketed(source, "get"), chunks };
  const { receipt, failed } = await service.nodes.replicate(ticketed(target, "replicate"), request, { signal });
  const confirmed = receipt === null ? [] : confirmedBy(service, [{ node: target, receipt }]);
  return { copied: confirmed.flatMap((copies) => copies.chunks), failed };
}
