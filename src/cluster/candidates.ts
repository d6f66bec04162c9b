/** Nodes as placement sees them, of whatever member. */
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import type { NodeState, NodeSummary } from "../../protocol/schema.ts";

export interface StorageNode {
  readonly name: GlobalName;
  readonly member: GlobalName;
  readonly site: Site;
  readonly state: NodeState;
  readonly freeBytes: number;
  /** From the home of the data. */
  readonly latencyMs: number;
  /** What may still be stored at its member, on all its nodes together. */
  readonly memberFreeBytes: number;
}

type OwnNode = Pick<NodeSummary, "name" | "state" | "freeBytes"> & { readonly latencyMs?: number };

/** A member's own nodes: nothing but their disks limits them. */
export function ownNodes(member: GlobalName, nodes: readonly OwnNode[]): StorageNode[] {
  return nodes.map(({ name, state, freeBytes, latencyMs = 0 }) => ({
    name,
    member,
    site: siteOf(name),
    state,
    freeBytes,
    latencyMs,
    memberFreeBytes: Number.POSITIVE_INFINITY,
  }));
}

/**
 * The nodes that can take a copy of this size, each with no more free bytes than its member allows: the
 * roomiest are cut to a common height, which leaves the most that can be paired with other nodes.
 */
export function nodesWithRoom(nodes: readonly StorageNode[], storedBytes: number): StorageNode[] {
  const roomy = nodes.filter((node) => node.freeBytes >= storedBytes);
  if (roomy.every((node) => node.memberFreeBytes === Number.POSITIVE_INFINITY)) return roomy;
  return [...Map.groupBy(roomy, (node) => node.member).values()].flatMap((ofMember) => withinAllowance(ofMember, storedBytes));
}

function withinAllowance(nodes: readonly StorageNode[], storedBytes: number): StorageNode[] {
  const allowedBytes = Math.min(...nodes.map((node) => node.memberFreeBytes));
  const roomiest = [...nodes]
    .sort((a, b) => b.freeBytes - a.freeBytes || (a.name < b.name ? -1 : 1))
    .slice(0, Math.min(nodes.length, Math.floor(allowedBytes / storedBytes)));
  let leftBytes = allowedBytes;
  // The smallest first: what it cannot use of an even division is for the others.
  const capped = roomiest.reverse().map((node, index) => {
    const freeBytes = Math.min(node.freeBytes, Math.floor(leftBytes / (roomiest.length - index)));
    leftBytes -= freeBytes;
    return { ...node, freeBytes };
  });
  return capped;
}
