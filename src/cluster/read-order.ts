/**
 * In which order a reader tries the copies of a chunk: those on nodes that are likely alive first, among them those at home, and of
 * these the nearest: nobody else's disk is asked without need.
 * Which of equally near ones begins depends on the chunk, so that files spread over nodes while each chunk
 * stays in the memory of one; `turn` moves it on, for chunks that many read at once.
 */
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import type { NodeState } from "../../protocol/schema.ts";
import { latencyRing, latencyRingsMax } from "./latency.ts";

export interface HoldingNode {
  readonly name: GlobalName;
  readonly state: NodeState;
  /** From the home of the data; 0 where it is not known. */
  readonly latencyMs: number;
  /** At another member. */
  readonly isElsewhere?: boolean;
}

const stateRank: Readonly<Record<NodeState, number>> = { alive: 0, draining: 0, suspect: 1, dead: 2 };

export function readOrder(chunk: ChunkId, nodes: readonly HoldingNode[], turn = 0): GlobalName[] {
  const classes = [...Map.groupBy(nodes, classOf)].sort(([a], [b]) => a - b);
  return classes.flatMap(([, equal]) => {
    const first = (Number.parseInt(chunk.slice(0, 6), 16) + turn) % equal.length;
    return [...equal.slice(first), ...equal.slice(0, first)].map((node) => node.name);
  });
}

function classOf({ state, latencyMs, isElsewhere = false }: HoldingNode): number {
  return (stateRank[state] * 2 + (isElsewhere ? 1 : 0)) * latencyRingsMax + latencyRing(latencyMs);
}
