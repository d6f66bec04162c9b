/**
 * How many copies beyond the policy's a chunk deserves by how often it is read, and which go when it is too many.
 *
 * A chunk gets its first extra copy at `readsForCopy` reads and one more each time they have doubled, up to `extraCopiesMax`;
 * it keeps what it has until hardly anybody reads it. Between the two nothing is copied and nothing removed, so a count that
 * goes up and down costs nothing.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import type { StorePolicy } from "../../protocol/schema.ts";
import type { StorageNode } from "./candidates.ts";
import { latencyRing } from "./latency.ts";

export const extraCopiesMax = 2;
export const readsForCopy = 8;
export const readsToKeep = 2;

export function extraCopiesFor({ reads, extras }: { readonly reads: number; readonly extras: number }): number {
  const earned = reads < readsForCopy ? 0 : Math.min(extraCopiesMax, 1 + Math.floor(Math.log2(reads / readsForCopy)));
  const kept = reads < readsToKeep ? 0 : Math.min(extras, extraCopiesMax);
  return Math.max(earned, kept);
}

export interface Release {
  readonly dropped: readonly GlobalName[];
  readonly kept: readonly GlobalName[];
}

/**
 * Of copies on nodes that are alive, those to do without when `copies` are enough: from the furthest nodes first, then from the
 * fullest, but none that the members of a policy's `minMembers` lack.
 */
export function copiesToRelease(
  nodes: readonly StorageNode[],
  { copies, minMembers }: { readonly copies: number } & Pick<StorePolicy, "minMembers">,
): Release {
  const kept = [...nodes].sort(bestFirst);
  const dropped: GlobalName[] = [];
  for (const node of [...kept].reverse()) {
    if (kept.length <= copies) break;
    const rest = kept.filter((other) => other !== node);
    if (membersOf(rest) < Math.min(minMembers, membersOf(kept))) continue;
    kept.splice(kept.indexOf(node), 1);
    dropped.push(node.name);
  }
  return { dropped, kept: kept.map((node) => node.name) };
}

function bestFirst(a: StorageNode, b: StorageNode): number {
  return latencyRing(a.latencyMs) - latencyRing(b.latencyMs) || b.freeBytes - a.freeBytes || (a.name < b.name ? -1 : 1);
}

function membersOf(nodes: readonly StorageNode[]): number {
  return new Set(nodes.map((node) => node.member)).size;
}
