/**
 * How much more fits into a datastore with all that its policy asks for, and why not more.
 *
 * The answer is what placement really reaches: chunks are taken from all nodes by their shares until some
 * node is full, then by the shares of the nodes that are left, and so on until a copy has no node.
 */
import { type GlobalName, localNameOf } from "../../protocol/ids.ts";
import { gibibyte } from "../../protocol/limits.ts";
import type { Store } from "../../protocol/schema.ts";
import { formatSize } from "../core/units.ts";
import { nodesWithRoom, type StorageNode } from "./candidates.ts";
import { type PlacementPolicy, sharesOf } from "./shares.ts";

export interface UsableSpace {
  /** Content before compression. */
  readonly availableBytes: number;
  /** What decides about it, in words. */
  readonly limits: readonly string[];
  /** What would raise it, in words. */
  readonly raise: readonly string[];
}

export interface UsableRequest {
  readonly store: Pick<Store, "policy" | "logicalBytes">;
  /** The member whose store it is. */
  readonly home: GlobalName;
  readonly nodes: readonly StorageNode[];
  /** Further ones, which have gone into the free space of the nodes. */
  readonly limits?: readonly Reason[];
}

export function usableSpace({ store, home, nodes, limits = [] }: UsableRequest): UsableSpace {
  const { policy } = store;
  const quotaLeftBytes = policy.quotaBytes === null ? Number.POSITIVE_INFINITY : Math.max(0, policy.quotaBytes - store.logicalBytes);
  const alive = nodes.filter((node) => node.state === "alive");
  const { fitsBytes, leftOver } = fill(alive, { policy, home });
  const reasons = [
    ...(quotaLeftBytes < fitsBytes ? [quotaReason(quotaLeftBytes, fitsBytes)] : []),
    ...(alive.length < policy.replicas
      ? [tooFewNodes(policy.replicas, alive.length)]
      : spaceReasons(nodesWithRoom(alive, 1), { policy, leftOver, home })),
    ...awayReasons(nodes, home),
    ...memberReasons(alive, policy),
    ...limits,
  ];
  return {
    availableBytes: Math.min(fitsBytes, quotaLeftBytes),
    limits: reasons.flatMap((reason) => reason.limit ?? []),
    raise: reasons.flatMap((reason) => reason.raise ?? []),
  };
}

interface Filled {
  readonly fitsBytes: number;
  /** What no further chunk can use. */
  readonly leftOver: readonly StorageNode[];
}

/** What divisions may leave behind of a full node. */
const roundingBytes = 2 ** -10;
const roundingShare = 1e-12;

function fill(alive: readonly StorageNode[], { policy, home }: { readonly policy: PlacementPolicy; readonly home: GlobalName }): Filled {
  const copies = policy.replicas;
  const membersMin = Math.min(policy.minMembers, copies, membersOf(alive));
  let nodes = nodesWithRoom(alive, 1);
  let fitsBytes = 0;
  // Each round fills at least one node.
  while (nodes.length >= copies && membersOf(nodes) >= membersMin) {
    const shares = sharesOf(nodes, { policy, home, copies, covered: [] });
    const roundBytes = Math.min(...nodes.map((node) => node.freeBytes / (shares.get(node.name) ?? 0)));
    fitsBytes += roundBytes;
    nodes = nodes.flatMap((node) => {
      const freeBytes = node.freeBytes - roundBytes * (shares.get(node.name) ?? 0);
      return freeBytes > Math.max(roundingBytes, node.freeBytes * roundingShare) ? [{ ...node, freeBytes }] : [];
    });
  }
  return { fitsBytes: Math.floor(fitsBytes + roundingBytes), leftOver: nodes };
}

/** One of both at least is there. */
interface Reason {
  readonly limit?: string;
  readonly raise?: string;
}

function quotaReason(quotaLeftBytes: number, fitsBytes: number): Reason {
  return {
    limit: `the quota has ${formatSize(quotaLeftBytes)} left, the nodes have room for ${formatSize(fitsBytes)}`,
    raise: "raise the quota with: collective store set NAME --quota SIZE",
  };
}

function tooFewNodes(replicas: number, alive: number): Reason {
  const missing = replicas - alive;
  return {
    limit: `${copiesText(replicas)} ${replicas === 1 ? "needs a node" : `need ${replicas} nodes`}, and ${alive === 0 ? "none is" : alive === 1 ? "one is" : `${alive} are`} alive`,
    raise: `add ${missing === 1 ? "a node" : `${missing} nodes`}${replicas === 1 ? "" : ", or ask for fewer copies"}`,
  };
}

/** Less than this part of all free space is not worth a word. */
const leftOverShareMin = 0.01;

function spaceReasons(
  alive: readonly StorageNode[],
  { policy, leftOver, home }: { policy: PlacementPolicy; leftOver: readonly StorageNode[]; home: GlobalName },
): Reason[] {
  const { replicas } = policy;
  const freeBytes = alive.reduce((sum, node) => sum + node.freeBytes, 0);
  if (freeBytes === 0) return [{ limit: "every node is full", raise: "remove files, raise a node's --capacity, or add a node" }];
  const wasted = leftOver.filter((node) => node.freeBytes >= freeBytes * leftOverShareMin);
  if (wasted.length > 0) {
    const reasons = wasted.map((node) => ({
      limit: `${shownName(node, home)} has ${formatSize(node.freeBytes)} that nothing can pair with`,
    }));
    return [...reasons, { raise: pairingText(alive, wasted, policy) }];
  }
  return [
    {
      limit: `all ${formatSize(freeBytes)} free on ${alive.length === 1 ? "one node" : `${alive.length} nodes`} can be used, for ${copiesText(replicas)} of everything`,
      raise: `add a node: each ${formatSize(gibibyte)} of it makes room for ${formatSize(gibibyte / replicas)}`,
    },
  ];
}

/** What would have to be added elsewhere to use all of the roomiest node. */
function pairingText(alive: readonly StorageNode[], wasted: readonly StorageNode[], { replicas }: PlacementPolicy): string {
  const names = new Set(wasted.map((node) => node.name));
  const wholeBytes = Math.max(...alive.filter((node) => names.has(node.name)).map((node) => node.freeBytes));
  const pairedBytes = alive.reduce((sum, node) => sum + Math.min(node.freeBytes, wholeBytes), 0);
  const lackingBytes = replicas * wholeBytes - pairedBytes;
  // Where nodes would do, it is members that lack.
  return lackingBytes > 0 ? `add ${formatSize(lackingBytes)} on other nodes` : "add space at other members";
}

function awayReasons(nodes: readonly StorageNode[], home: GlobalName): Reason[] {
  return nodes
    .filter((node) => node.state !== "alive" && node.freeBytes > 0)
    .map((node) => ({
      limit: `${shownName(node, home)} is ${node.state}: its ${formatSize(node.freeBytes)} free do not count`,
      ...(node.state === "draining" || node.member !== home ? {} : { raise: `bring ${shownName(node, home)} back` }),
    }));
}

function shownName({ name, member }: StorageNode, home: GlobalName): string {
  return member === home ? localNameOf(name) : name;
}

function memberReasons(alive: readonly StorageNode[], { minMembers, replicas }: PlacementPolicy): Reason[] {
  const [wanted, members] = [Math.min(minMembers, replicas), membersOf(alive)];
  if (wanted <= members || members === 0) return [];
  return [
    {
      limit: `copies should be at ${wanted} members, and ${members === 1 ? "only one has" : `only ${members} have`} nodes`,
      raise: "add nodes of another member",
    },
  ];
}

function copiesText(replicas: number): string {
  return replicas === 1 ? "one copy" : `${replicas} copies`;
}

function membersOf(nodes: readonly StorageNode[]): number {
  return new Set(nodes.map((node) => node.member)).size;
}
