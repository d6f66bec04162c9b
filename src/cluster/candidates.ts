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
  /** What may still be stored at all members but home together. */
  readonly othersFreeBytes: number;
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
    othersFreeBytes: Number.POSITIVE_INFINITY,
  }));
}

/**
 * The nodes that can take a copy of this size, each with no more free bytes than its member allows, and those of other members with
 * no more together than home may store there: the roomiest are cut to a common height, which leaves the most that can be
 * paired with other nodes.
 */
export function nodesWithRoom(nodes: readonly StorageNode[], storedBytes: number): StorageNode[] {
  const roomy = nodes.filter((node) => node.freeBytes >= storedBytes);
  if (roomy.every(isUnlimited)) return roomy;
  const allowed = [...Map.groupBy(roomy, (node) => node.member).values()].flatMap((ofMember) =>
    within(Math.min(...ofMember.map((node) => node.memberFreeBytes)), ofMember, storedBytes),
  );
  const elsewhere = allowed.filter((node) => node.othersFreeBytes < Number.POSITIVE_INFINITY);
  const together = within(Math.min(...elsewhere.map((node) => node.othersFreeBytes)), elsewhere, storedBytes);
  return [...allowed.filter((node) => node.othersFreeBytes === Number.POSITIVE_INFINITY), ...together];
}

function isUnlimited({ memberFreeBytes, othersFreeBytes }: StorageNode): boolean {
  return memberFreeBytes === Number.POSITIVE_INFINITY && othersFreeBytes === Number.POSITIVE_INFINITY;
}

function within(allowedBytes: number, nodes: readonly StorageNode[], storedBytes: number): StorageNode[] {
  if (allowedBytes === Number.POSITIVE_INFINITY) return [...nodes];
  const roomiest = [...nodes]
    .sort((a, b) => b.freeBytes - a.freeBytes || (a.name < b.name ? -1 : 1))
    .slice(0, Math.min(nodes.length, Math.floor(allowedBytes / storedBytes)));
  let leftBytes = allowedBytes;
  // The smallest first: what it cannot use of an even division is for the others.
  return roomiest.reverse().map((node, index) => {
    const freeBytes = Math.min(node.freeBytes, Math.floor(leftBytes / (roomiest.length - index)));
    leftBytes -= freeBytes;
    return { ...node, freeBytes };
  });
}
