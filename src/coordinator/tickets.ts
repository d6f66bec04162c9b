/** Issues tickets: for each node one, for just the chunks and the operation at hand. */
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import { type Site, siteOf } from "../../protocol/ids.ts";
import { batchBytesMax, guestTicketLifetimeMs, ticketLifetimeMs } from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { type TicketOperation, ticketIdBytes } from "../../protocol/ticket.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { type Signer, signTicket } from "../pki/ticket.ts";
import type { Permission } from "./access.ts";
import type { AllNodes } from "./all-nodes.ts";

export interface TicketOffice {
  /** One ticketed node for each name that is known, in the order of first mention, and each chunk's nodes as indexes into that list. */
  issue(request: {
    readonly holder: string;
    /** What it rests on: it is dated by the check and ends with the right. Without one, as for the coordinator itself, it begins now. */
    readonly permission?: Permission;
    readonly operation: TicketOperation;
    /** Whose chunks they are: the own ones, if nothing is said. */
    readonly owner?: Site;
    /** Of stored bytes in one request; as many as fit a batch, if nothing is said. */
    readonly bytesMax?: number;
    readonly chunks: readonly { readonly id: ChunkId; readonly nodes: readonly GlobalName[] }[];
  }): { nodes: TicketedNode[]; indexes: number[][] };
}

export interface TicketOfficeOptions {
  readonly member: GlobalName;
  readonly signer: () => Signer;
  readonly allNodes: Pick<AllNodes, "get">;
  readonly clock: Clock;
  readonly random: Random;
}

export function createTicketOffice(options: TicketOfficeOptions): TicketOffice {
  const { allNodes, clock, random } = options;
  const issuer = siteOf(options.member);
  const ticketFor = (
    audience: GlobalName,
    request: {
      holder: string;
      permission: Permission;
      operation: TicketOperation;
      owner: Site;
      bytesMax: number;
      chunks: readonly ChunkId[];
    },
  ): Uint8Array => {
    const { permission, owner, bytesMax, ...rest } = request;
    const { checkedMs, untilMs } = permission;
    const lifetimeMs = owner === issuer && siteOf(audience) === issuer ? ticketLifetimeMs : guestTicketLifetimeMs;
    return signTicket(options.signer(), {
      version: 1,
      id: random.bytes(ticketIdBytes),
      issuer,
      ...(owner === issuer ? {} : { owner }),
      audience,
      ...rest,
      bytesMax: Math.min(bytesMax, batchBytesMax),
      notBeforeMs: checkedMs,
      expiresMs: Math.min(checkedMs + lifetimeMs, untilMs),
    });
  };
  return {
    issue: (request) => {
      const { holder, operation, chunks, owner = issuer, bytesMax = batchBytesMax } = request;
      const permission = request.permission ?? { checkedMs: Math.trunc(clock.wallMs()), untilMs: Number.POSITIVE_INFINITY };
      const mentioned = new Set(chunks.flatMap(({ nodes }) => nodes));
      const known = [...mentioned].flatMap((name) => allNodes.get(name) ?? []);
      const indexOf = new Map(known.map(({ name }, index) => [name, index]));
      const chunksOf = known.map(() => new Set<ChunkId>());
      const indexes = chunks.map(({ nodes }) => nodes.flatMap((name) => indexOf.get(name) ?? []));
      for (const [at, nodes] of indexes.entries()) {
        const id = chunks[at]?.id;
        if (id !== undefined) for (const index of nodes) chunksOf[index]?.add(id);
      }
      const nodes = known.map(({ name, address, authorityPem }, index) => ({
        node: name,
        address,
        ticket: ticketFor(name, { holder, permission, operation, owner, bytesMax, chunks: [...(chunksOf[index] ?? [])] }),
        ...(authorityPem === undefined ? {} : { authorityPem }),
      }));
      return { nodes, indexes };
    },
  };
}
