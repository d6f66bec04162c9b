/** Issues tickets: for each node one, for just the chunks and the operation at hand. */
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import { siteOf } from "../../protocol/ids.ts";
import { batchBytesMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { type TicketOperation, ticketIdBytes } from "../../protocol/ticket.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { type Signer, signTicket } from "../pki/ticket.ts";
import type { Permission } from "./access.ts";
import type { NodeDirectory } from "./directory.ts";

export interface TicketOffice {
  /** One ticketed node for each name that is known, in the order of first mention, and each chunk's nodes as indexes into that list. */
  issue(request: {
    readonly holder: string;
    /** What it rests on: it is dated by the check and ends with the right. Without one, as for the coordinator itself, it begins now. */
    readonly permission?: Permission;
    readonly operation: TicketOperation;
    readonly chunks: readonly { readonly id: ChunkId; readonly nodes: readonly GlobalName[] }[];
  }): { nodes: TicketedNode[]; indexes: number[][] };
}

export interface TicketOfficeOptions {
  readonly member: GlobalName;
  readonly signer: () => Signer;
  readonly directory: NodeDirectory;
  readonly clock: Clock;
  readonly random: Random;
}

export function createTicketOffice(options: TicketOfficeOptions): TicketOffice {
  const { directory, clock, random } = options;
  const ticketFor = (
    audience: GlobalName,
    request: { holder: string; permission: Permission; operation: TicketOperation; chunks: readonly ChunkId[] },
  ): Uint8Array => {
    const { checkedMs, untilMs } = request.permission;
    return signTicket(options.signer(), {
      version: 1,
      id: random.bytes(ticketIdBytes),
      issuer: siteOf(options.member),
      audience,
      holder: request.holder,
      operation: request.operation,
      chunks: request.chunks,
      bytesMax: batchBytesMax,
      notBeforeMs: checkedMs,
      expiresMs: Math.min(checkedMs + ticketLifetimeMs, untilMs),
    });
  };
  return {
    issue: ({ holder, operation, chunks, permission = { checkedMs: Math.trunc(clock.wallMs()), untilMs: Number.POSITIVE_INFINITY } }) => {
      const byNode = new Map<GlobalName, Set<ChunkId>>();
      for (const { id, nodes } of chunks) {
        for (const node of nodes) {
          if (!directory.get(node)) continue;
          const ids = byNode.get(node) ?? new Set();
          byNode.set(node, ids.add(id));
        }
      }
      const names = [...byNode.keys()];
      return {
        nodes: names.map((node) => ({
          node,
          address: directory.get(node)?.address ?? "",
          ticket: ticketFor(node, { holder, permission, operation, chunks: [...(byNode.get(node) ?? [])] }),
        })),
        indexes: chunks.map(({ nodes }) => nodes.map((node) => names.indexOf(node)).filter((index) => index >= 0)),
      };
    },
  };
}
