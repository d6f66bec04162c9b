/** Fills nodes chunk by chunk as uploads do, with the pure functions alone, and says what could have been reached. */
import { chunkIdFromBytes, type GlobalName, siteOf } from "../../protocol/ids.ts";
import type { StorageNode } from "../../src/cluster/candidates.ts";
import { chooseNodes } from "../../src/cluster/placement.ts";
import type { PlacementPolicy } from "../../src/cluster/shares.ts";
import { createSeededRandom } from "../../src/core/random.ts";

export const home = "alice@home.collective.local" as GlobalName;

export function policyOf(given: Partial<PlacementPolicy> = {}): PlacementPolicy {
  return { strategy: "hybrid", replicas: 2, minMembers: 1, ...given };
}

/** `node-01`, `node-02` and so on of a member, all alive. */
export function nodesAt(member: GlobalName, freeBytes: readonly number[], given: Partial<StorageNode> = {}): StorageNode[] {
  const site = siteOf(member);
  return freeBytes.map((bytes, index) => ({
    name: `node-${String(index + 1).padStart(2, "0")}@${site}` as GlobalName,
    member,
    site,
    state: "alive",
    freeBytes: bytes,
    latencyMs: 0,
    memberFreeBytes: Number.POSITIVE_INFINITY,
    othersFreeBytes: Number.POSITIVE_INFINITY,
    ...given,
  }));
}

export interface FillRequest {
  readonly policy: PlacementPolicy;
  /** Their free bytes count chunks: each chunk takes one. */
  readonly nodes: readonly StorageNode[];
  readonly seed?: number;
  /** Free bytes are known as they were so many chunks ago at most, as between two heartbeats. */
  readonly chunksPerHeartbeat?: number;
  /** Ends after so many chunks; when nothing fits any more, otherwise. */
  readonly chunksMax?: number;
}

export interface FillResult {
  /** With all copies, at as many members as the policy says. */
  readonly chunks: number;
  /** Of those, the ones spread as far as the strategy wants it. */
  readonly spreadChunks: number;
  readonly used: ReadonlyMap<GlobalName, number>;
}

/** Stops at the first chunk that does not get all its copies. */
export function fillNodes({
  policy,
  nodes,
  seed = 1,
  chunksPerHeartbeat = 8,
  chunksMax = Number.POSITIVE_INFINITY,
}: FillRequest): FillResult {
  const random = createSeededRandom(seed);
  const used = new Map(nodes.map((node) => [node.name, 0]));
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const wanted = spreadWanted(policy, nodes);
  let known = nodes;
  let chunks = 0;
  let spreadChunks = 0;
  while (chunks < chunksMax) {
    if (chunks % chunksPerHeartbeat === 0)
      known = nodes.map((node) => ({ ...node, freeBytes: node.freeBytes - (used.get(node.name) ?? 0) }));
    const placed = storeChunk();
    if (placed === undefined) break;
    const members = new Set(placed.map((name) => byName.get(name)?.member));
    chunks++;
    if (members.size >= wanted.members && (!wanted.atHome || members.has(home))) spreadChunks++;
  }
  return { chunks, spreadChunks, used };

  /** Goes on with other nodes when one turns out to be full, as a client does. */
  function storeChunk(): GlobalName[] | undefined {
    const chunk = chunkIdFromBytes(random.bytes(32));
    const stored: GlobalName[] = [];
    const full = new Set<GlobalName>();
    for (;;) {
      const copies = stored.map((node) => ({ node, state: "stored" as const }));
      const placement = chooseNodes({ chunk, storedBytes: 1, policy, home, nodes: known, copies, exclude: full });
      for (const name of placement.nodes) {
        const taken = used.get(name) ?? 0;
        if (taken >= (byName.get(name)?.freeBytes ?? 0)) full.add(name);
        else {
          used.set(name, taken + 1);
          stored.push(name);
        }
      }
      if (stored.length === policy.replicas) return stored;
      if (placement.nodes.length === 0) return undefined;
    }
  }
}

function spreadWanted({ strategy, replicas, minMembers }: PlacementPolicy, nodes: readonly StorageNode[]) {
  const members = new Set(nodes.map((node) => node.member)).size;
  return { members: Math.min(replicas, members, strategy === "media" ? minMembers : replicas), atHome: strategy === "hybrid" };
}

/**
 * The most that fits with every copy on a node of its own and spread as the strategy wants it: the largest V that
 * meets sum(min(free, V)) >= r * V over nodes, the same over members with the number of members in the place of r, and,
 * with one copy at home always, V <= what is free there and the same for the other copies over the other members.
 */
export function spreadBound(policy: PlacementPolicy, nodes: readonly StorageNode[]): number {
  const wanted = spreadWanted(policy, nodes);
  const sizes = nodes.map((node) => node.freeBytes);
  const byMember = Map.groupBy(nodes, (node) => node.member);
  const total = (of: readonly StorageNode[]): number => of.reduce((sum, node) => sum + node.freeBytes, 0);
  const others = [...byMember].filter(([member]) => member !== home).map(([, of]) => total(of));
  const bounds = [bound(sizes, policy.replicas), bound([...byMember.values()].map(total), wanted.members)];
  if (wanted.atHome) bounds.push(total(byMember.get(home) ?? []), bound(others, wanted.members - 1));
  return Math.min(...bounds);
}

/** By halving, not by the formula of the program. */
export function bound(sizes: readonly number[], copies: number): number {
  if (copies === 0) return Number.POSITIVE_INFINITY;
  let [low, high] = [0, sizes.reduce((sum, size) => sum + size, 0)];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if (sizes.reduce((sum, size) => sum + Math.min(size, middle), 0) >= copies * middle * (1 - 1e-13)) low = middle;
    else high = middle;
  }
  return low;
}

export interface Shape {
  readonly name: string;
  readonly nodes: readonly StorageNode[];
  readonly replicas: number;
}

/** Sizes in chunks: of 1,000 to a terabyte, so 3 TB are 3,000 chunks. */
export function unevenShapes(): Shape[] {
  const bob = "bob@garage.collective.local" as GlobalName;
  const carol = "carol@office.collective.local" as GlobalName;
  const random = createSeededRandom(10);
  const ten = Array.from({ length: 10 }, () => 200 + random.int(3_800));
  return [
    { name: "3, 2 and 1.5 TB", nodes: nodesAt(home, [3_000, 2_000, 1_500]), replicas: 2 },
    { name: "3, 2 and 1.5 TB, 3 copies", nodes: nodesAt(home, [3_000, 2_000, 1_500]), replicas: 3 },
    { name: "one of 8 TB, eight of 500 GB", nodes: nodesAt(home, [8_000, ...Array.from({ length: 8 }, () => 500)]), replicas: 2 },
    { name: "10 TB, 3 TB and 2 TB", nodes: nodesAt(home, [10_000, 3_000, 2_000]), replicas: 2 },
    { name: "ten of random size", nodes: nodesAt(home, ten), replicas: 2 },
    { name: "ten of random size, 3 copies", nodes: nodesAt(home, ten), replicas: 3 },
    {
      name: "3 members of 3, 2 and 1.5 TB",
      nodes: [
        ...nodesAt(home, [1_500, 1_000, 500]),
        ...nodesAt(bob, [1_200, 800], { latencyMs: 8 }),
        ...nodesAt(carol, [1_500], { latencyMs: 30 }),
      ],
      replicas: 2,
    },
    {
      name: "the same, 3 copies",
      nodes: [
        ...nodesAt(home, [1_500, 1_000, 500]),
        ...nodesAt(bob, [1_200, 800], { latencyMs: 8 }),
        ...nodesAt(carol, [1_500], { latencyMs: 30 }),
      ],
      replicas: 3,
    },
    {
      name: "ten of random size at 3 members",
      nodes: [
        ...nodesAt(home, ten.slice(0, 4)),
        ...nodesAt(bob, ten.slice(4, 7), { latencyMs: 12 }),
        ...nodesAt(carol, ten.slice(7), { latencyMs: 12 }),
      ],
      replicas: 3,
    },
  ];
}

/** Between the fullest and the emptiest node in percentage points, each measured by the part of it that can be paired. */
export function levelSpread(shape: Shape, used: ReadonlyMap<GlobalName, number>): number {
  const usable = bound(
    shape.nodes.map((node) => node.freeBytes),
    shape.replicas,
  );
  const levels = shape.nodes.map((node) => (100 * (used.get(node.name) ?? 0)) / Math.min(node.freeBytes, usable));
  return Math.max(...levels) - Math.min(...levels);
}
