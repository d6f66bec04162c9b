/**
 * Where the copies of a chunk go: a pure function of what is known about nodes and the chunk.
 *
 * Weighted rendezvous hashing (Thaler and Ravishankar; weights after Schindelhauer and Schomaker):
 * each node scores -weight / ln(h) with h in (0, 1) from the chunk and the node, the highest scores
 * win. Nodes fill in proportion to their free space, a chunk finds the same nodes again when an
 * upload is repeated, and a node that comes or goes moves only its own share.
 */
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import type { CopyState, NodeState } from "../../protocol/schema.ts";

export interface PlacementNode {
  readonly name: GlobalName;
  readonly state: NodeState;
  readonly freeBytes: number;
}

export interface PlacementRequest {
  readonly chunk: ChunkId;
  readonly storedBytes: number;
  readonly replicas: number;
  readonly nodes: readonly PlacementNode[];
  readonly copies: readonly { readonly node: GlobalName; readonly state: CopyState }[];
  readonly exclude: ReadonlySet<GlobalName>;
}

/** Nodes for the copies the chunk still lacks, best first; fewer than wanted when there are no more nodes. */
export function chooseNodes(request: PlacementRequest): GlobalName[] {
  const stateOf = new Map(request.nodes.map((node) => [node.name, node.state]));
  const counted = request.copies.filter(
    (copy) => copy.state === "stored" && stateOf.get(copy.node) !== "dead" && !request.exclude.has(copy.node),
  );
  const lacking = request.replicas - counted.length;
  if (lacking <= 0) return [];
  // Where a copy is stored none is needed, and where one is being deleted a new one could vanish with it.
  const taken = new Set(request.copies.filter((copy) => copy.state === "stored" || copy.state === "deleting").map((copy) => copy.node));
  return request.nodes
    .filter(
      (node) => node.state === "alive" && !taken.has(node.name) && !request.exclude.has(node.name) && node.freeBytes >= request.storedBytes,
    )
    .map((node) => ({ name: node.name, score: score(request.chunk, node) }))
    .sort((a, b) => b.score - a.score)
    .slice(0, lacking)
    .map(({ name }) => name);
}

function score(chunk: ChunkId, node: PlacementNode): number {
  const unit = (hash32(chunk.slice(0, 24) + node.name) + 0.5) / 2 ** 32;
  return -node.freeBytes / Math.log(unit);
}

/** FNV-1a with the finalizer of MurmurHash3: chunk ids are random already, names must spread. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
