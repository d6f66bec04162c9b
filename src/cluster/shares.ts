/**
 * How often each node takes part when copies are spread over uneven disks: a share from 0 to 1 of all
 * chunks, the shares together as many as there are copies. A node whose share of the chunks is its
 * share of the level below fills together with all others, so nothing is left over that could be used.
 *
 * The level is the most that fits. V bytes with r copies on distinct nodes fit when
 * sum(min(free, V)) >= r * V, because no node can hold more than one copy of everything; the shares at
 * the largest such V are min(1, free / V). Weights in proportion to size alone, as in rendezvous hashing,
 * cannot reach it once a node is larger than 1/r of all (Brinkmann, Effert, Meyer auf der Heide and
 * Scheideler, Dynamic and Redundant Data Placement, 2007, cap sizes for the same reason).
 * Copies at distinct members are the same with members in the place of nodes.
 *
 * Taking a chunk from every node by these shares lowers free bytes and level alike and so leaves the shares as they are:
 * they hold until something is full.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import type { StorePolicy } from "../../protocol/schema.ts";
import type { StorageNode } from "./candidates.ts";

export type PlacementPolicy = Pick<StorePolicy, "strategy" | "replicas" | "minMembers">;

export interface ShareRequest {
  readonly policy: PlacementPolicy;
  /** The member whose data it is. */
  readonly home: GlobalName;
  /** At most as many as there are nodes. */
  readonly copies: number;
  /** Where copies are already. */
  readonly covered: readonly Pick<StorageNode, "member" | "site">[];
}

/** The largest V for which `copies` copies of V bytes fit, none twice on one of these; 0 when there are too few. */
export function levelOf(freeBytes: readonly number[], copies: number): number {
  if (freeBytes.length < copies) return 0;
  const descending = [...freeBytes].sort((a, b) => b - a);
  let rest = sumOf(descending);
  let level = Number.POSITIVE_INFINITY;
  // With the largest ones set aside as full copies of everything, what the rest can share.
  for (let aside = 0; aside < copies; aside++) {
    level = Math.min(level, rest / (copies - aside));
    rest -= descending[aside] ?? 0;
  }
  return level;
}

/** By node. No node has a share above 1, and shares of one member add up to 1 at most where the policy spreads and members suffice. */
export function sharesOf(nodes: readonly StorageNode[], request: ShareRequest): Map<GlobalName, number> {
  const shares = new Map<GlobalName, number>();
  const divide = (part: readonly StorageNode[], copies: number, [spread, ...inner]: readonly Spread[]): void => {
    if (spread === undefined) {
      const level = levelOf(freeOf(part), copies);
      for (const node of part) shares.set(node.name, Math.min(1, node.freeBytes / level));
      return;
    }
    const groups = [...Map.groupBy(part, spread.keyOf)].map(([key, members]) => ({
      key,
      nodes: members,
      freeBytes: sumOf(freeOf(members)),
    }));
    for (const { nodes: inGroup, share } of groupShares(groups, copies, spread)) divide(inGroup, share, inner);
  };
  divide(nodes, request.copies, spreadsOf(request));
  return shares;
}

/** Of how many further members a copy is demanded; 0 when any node will do. */
export function membersLacking({ policy, copies, covered }: ShareRequest): number {
  const members = new Set(covered.map((node) => node.member)).size;
  const lacking = Math.min(copies, policy.minMembers - members);
  return lacking <= 0 || (lacking === 1 && members === 0) ? 0 : lacking;
}

/** Copies that are to be kept apart: at different members, at different sites of one. */
interface Spread {
  readonly keyOf: (node: StorageNode) => string;
  readonly covered: ReadonlySet<string>;
  /** In how many groups that have none yet there has to be a copy. */
  readonly apartMin: number;
  /** Has a copy of every chunk. */
  readonly always?: string;
}

function spreadsOf(request: ShareRequest): Spread[] {
  const { policy, home, covered } = request;
  const byMember = { keyOf: (node: StorageNode) => node.member, covered: new Set(covered.map((node) => node.member)) };
  const bySite = { keyOf: (node: StorageNode) => node.site, covered: new Set(covered.map((node) => node.site)) };
  if (policy.strategy === "media") {
    const apartMin = membersLacking(request);
    return apartMin === 0 ? [] : [{ ...byMember, apartMin }];
  }
  const apartMin = Number.POSITIVE_INFINITY;
  return [
    { ...byMember, apartMin, ...(policy.strategy === "hybrid" ? { always: home } : {}) },
    { ...bySite, apartMin },
  ];
}

interface Group {
  readonly key: string;
  readonly nodes: readonly StorageNode[];
  readonly freeBytes: number;
}

interface GroupShare {
  readonly nodes: readonly StorageNode[];
  /** Copies of each chunk, on average; the nodes are as many at least. */
  readonly share: number;
}

function groupShares(groups: readonly Group[], copies: number, spread: Spread): GroupShare[] {
  const [only, ...others] = groups;
  if (only && others.length === 0) return [{ nodes: only.nodes, share: copies }];
  const open = groups.filter(({ key }) => !spread.covered.has(key));
  return copies <= Math.min(open.length, spread.apartMin) ? apartShares(open, copies, spread) : layeredShares(groups, open, copies, spread);
}

/** At most one copy in each. */
function apartShares(groups: readonly Group[], copies: number, { always }: Spread): GroupShare[] {
  const first = copies >= 1 ? groups.find(({ key }) => key === always) : undefined;
  const others = groups.filter((group) => group !== first);
  const level = levelOf(
    others.map((group) => group.freeBytes),
    copies - (first ? 1 : 0),
  );
  return [
    ...(first ? [{ nodes: first.nodes, share: 1 }] : []),
    ...others.map((group) => ({ nodes: group.nodes, share: Math.min(1, group.freeBytes / level) })),
  ];
}

/** At least one copy in as many groups as have to have one, the roomiest; the rest by the level of all nodes. */
function layeredShares(groups: readonly Group[], open: readonly Group[], copies: number, { apartMin }: Spread): GroupShare[] {
  const roomiest = [...open].sort((a, b) => b.freeBytes - a.freeBytes || (a.key < b.key ? -1 : 1));
  const first = new Set(roomiest.slice(0, Math.min(apartMin, copies)));
  const level = layeredLevel(groups, first, copies);
  return groups.map((group) => ({
    nodes: group.nodes,
    share: Math.max(first.has(group) ? 1 : 0, sumOf(group.nodes.map((node) => Math.min(1, node.freeBytes / level)))),
  }));
}

const stepsMax = 100;
const relativeError = 2 ** -50;

/**
 * Where the shares of the nodes, and at least 1 for each of the `first` groups, add up to `copies`. Between two sizes of nodes
 * they add up to a constant and something divided by the level, so most steps are to where that line ends; halving
 * catches the others.
 */
function layeredLevel(groups: readonly Group[], first: ReadonlySet<Group>, copies: number): number {
  let below = 0;
  let above = sumOf(groups.map((group) => group.freeBytes)) / (copies - first.size);
  let level = above;
  for (let step = 0; step < stepsMax; step++) {
    let whole = 0;
    let dividedBytes = 0;
    for (const group of groups) {
      let full = 0;
      let partBytes = 0;
      for (const { freeBytes } of group.nodes) {
        if (freeBytes >= level) full++;
        else partBytes += freeBytes;
      }
      const isRaised = first.has(group) && full + partBytes / level < 1;
      whole += isRaised ? 1 : full;
      dividedBytes += isRaised ? 0 : partBytes;
    }
    if (whole + dividedBytes / level > copies) below = level;
    else above = level;
    const next = dividedBytes / (copies - whole);
    if (Math.abs(next - level) <= level * relativeError) break;
    level = next > below && next < above ? next : below + (above - below) / 2;
  }
  return level;
}

function freeOf(nodes: readonly StorageNode[]): number[] {
  return nodes.map((node) => node.freeBytes);
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
