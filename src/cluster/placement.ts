/**
 * Where the copies of a chunk go: a pure function of the policy, the nodes, the chunk and the copies there are.
 *
 * - No node gets two copies, and none gets one that it has no room for.
 * - `backup` spreads: as many members as there are copies, inside each as many sites, then nodes.
 *   `hybrid` does the same, with one copy at home always. Spread comes before space: when a member that
 *   every chunk used is full, later chunks share the members that are left.
 *   `media` stays at home, then near, as long as no node further away is left with space that nothing
 *   else could be paired with: space comes before nearness.
 * - The nodes of many chunks add up to the shares of src/cluster/shares.ts, exactly: the shares are laid
 *   end to end on a line, and a comb with teeth 1 apart picks what they fall on. Where the comb begins
 *   and the order on the line come from a hash of the chunk, so any two nodes share chunks and a repair finds many
 *   sources. (Systematic sampling with unequal probabilities: Madow 1949; in random order: Hartley and Rao 1962.)
 *   Nodes of a member lie together: one whose shares add up to at most 1 is picked at most once, at least 1 at least once.
 *
 * The same request has the same answer, and a slightly different one mostly the same; but when nodes come or go,
 * more chunks would go elsewhere than the change asks for. That costs nothing, because the metadata knows where each copy is.
 */
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import type { CopyState } from "../../protocol/schema.ts";
import { nodesWithRoom, type StorageNode } from "./candidates.ts";
import { latencyRing, latencyRingsMax } from "./latency.ts";
import { membersLacking, type PlacementPolicy, type ShareRequest, sharesOf } from "./shares.ts";

export interface PlacementRequest {
  readonly chunk: ChunkId;
  readonly storedBytes: number;
  readonly policy: PlacementPolicy;
  /** The member whose data it is. */
  readonly home: GlobalName;
  readonly nodes: readonly StorageNode[];
  readonly copies: readonly { readonly node: GlobalName; readonly state: CopyState }[];
  readonly exclude: ReadonlySet<GlobalName>;
}

export interface Placement {
  /** For the copies the chunk still lacks; fewer than wanted when there are no more nodes. */
  readonly nodes: readonly GlobalName[];
  /** What the policy asks for and cannot have now, in words. */
  readonly unmet: readonly string[];
}

export function chooseNodes(request: PlacementRequest): Placement {
  const { policy, home, exclude } = request;
  const byName = new Map(request.nodes.map((node) => [node.name, node]));
  const counted = request.copies.filter(
    (copy) => copy.state === "stored" && byName.get(copy.node)?.state !== "dead" && !exclude.has(copy.node),
  );
  const covered = counted.flatMap((copy) => byName.get(copy.node) ?? []);
  // Where a copy is stored none is needed, and where one is being deleted a new one could vanish with it.
  const taken = new Set(request.copies.filter((copy) => copy.state === "stored" || copy.state === "deleting").map((copy) => copy.node));
  const open = request.nodes.filter((node) => node.state === "alive" && !taken.has(node.name) && !exclude.has(node.name));
  const candidates = nodesWithRoom(open, request.storedBytes);
  const copies = Math.max(0, Math.min(policy.replicas - counted.length, candidates.length));
  const chosen = copies === 0 ? [] : choose(request.chunk, candidates, { policy, home, copies, covered });
  return {
    nodes: chosen.map((node) => node.name),
    unmet: unmetBy({ copies: counted.length + chosen.length, members: membersOf([...covered, ...chosen]), policy }),
  };
}

function choose(chunk: ChunkId, candidates: readonly StorageNode[], request: ShareRequest): StorageNode[] {
  const nodes = request.policy.strategy === "media" ? nearEnough(candidates, request) : candidates;
  return pick(chunk, nodes, { copies: request.copies, shares: sharesOf(nodes, request) });
}

/** A share this near to 1 means that the node has to have a copy of everything from now on, or its space is wasted. */
const everyChunk = 1 - 1e-9;

/** The smallest circle around home that can take the chunk and wastes no space outside. */
function nearEnough(candidates: readonly StorageNode[], request: ShareRequest): readonly StorageNode[] {
  const { home, copies, covered } = request;
  const rings = [...new Set(candidates.map((node) => ringOf(node, home)))].sort((a, b) => a - b);
  if (rings.length === 1) return candidates;
  const lacking = Math.min(membersLacking(request), membersOf(candidates, covered));
  const shares = sharesOf(candidates, request);
  const suffices = (ring: number): boolean => {
    const inside = candidates.filter((node) => ringOf(node, home) <= ring);
    const takesAll = inside.length >= copies && membersOf(inside, covered) >= lacking;
    return takesAll && candidates.every((node) => ringOf(node, home) <= ring || (shares.get(node.name) ?? 0) < everyChunk);
  };
  const outermost = rings.find(suffices) ?? Number.POSITIVE_INFINITY;
  return candidates.filter((node) => ringOf(node, home) <= outermost);
}

/** Own nodes come first, whatever their latency; equally near ones share the load. */
function ringOf({ member, latencyMs }: StorageNode, home: GlobalName): number {
  const ring = latencyRing(latencyMs);
  return member === home ? ring : latencyRingsMax + ring;
}

function pick(
  chunk: ChunkId,
  nodes: readonly StorageNode[],
  { copies, shares }: { readonly copies: number; readonly shares: ReadonlyMap<GlobalName, number> },
): StorageNode[] {
  if (copies === nodes.length) return [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const seed = hashOn(hashStart, chunk.slice(0, 24));
  const line = nodes
    .map((node) => ({ node, member: hash32(seed, node.member), site: hash32(seed, node.site), own: hash32(seed, node.name) }))
    .sort((a, b) => a.member - b.member || a.site - b.site || a.own - b.own || (a.node.name < b.node.name ? -1 : 1));
  const firstTooth = (hash32(seed, "") + 0.5) / 2 ** 32;
  let end = 0;
  return line.flatMap(({ node }) => {
    const begin = end;
    end += shares.get(node.name) ?? 0;
    return Math.ceil(end - firstTooth) > Math.ceil(begin - firstTooth) ? [node] : [];
  });
}

function unmetBy({ copies, members, policy }: { copies: number; members: number; policy: PlacementPolicy }): string[] {
  const membersMin = Math.min(policy.minMembers, policy.replicas);
  return [
    ...(copies < policy.replicas ? [`${copies} of ${policy.replicas} copies`] : []),
    ...(members < membersMin ? [`copies at ${members} of ${membersMin} members`] : []),
  ];
}

/** How many there are of them beyond those that are covered. */
function membersOf(nodes: readonly StorageNode[], covered: ShareRequest["covered"] = []): number {
  const known = new Set(covered.map((node) => node.member));
  return new Set(nodes.map((node) => node.member)).difference(known).size;
}

const hashStart = 0x811c9dc5;

/** FNV-1a. */
function hashOn(start: number, text: string): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** With the finalizer of MurmurHash3: chunk ids are random already, names must spread. */
function hash32(seed: number, text: string): number {
  let hash = hashOn(seed, text);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
