/** How well a member is, in the words of what a person can still do. */
import type { NodeSummary } from "../../protocol/schema.ts";
import type { ChunkTotals } from "../meta/store.ts";
import type { Health } from "../net/observability-server.ts";
import type { CoordinatorService } from "./service.ts";

export interface ObservedHealth extends Health {
  readonly reasons: string[];
  readonly nodes: NodeSummary[];
  readonly totals: ChunkTotals;
}

/** Of the own nodes; of those of other members only what their copies do for the own chunks. */
export async function observeHealth({
  directory,
  allNodes,
  metadata,
}: Pick<CoordinatorService, "directory" | "allNodes" | "metadata">): Promise<ObservedHealth> {
  const nodes = directory.list();
  const totals = await metadata.totals(allNodes.dead());
  return { ...judgeHealth(nodes, totals), nodes, totals };
}

/** By what a user can still do: unhealthy when something cannot be read or written, degraded when one more loss could make it so. */
export function judgeHealth(
  nodes: readonly Pick<NodeSummary, "name" | "state">[],
  totals: ChunkTotals,
): Health & { readonly reasons: string[] } {
  const down = nodes.filter((node) => node.state !== "alive");
  const unhealthy: string[] = [];
  const degraded: string[] = [];
  if (nodes.length > 0 && down.length === nodes.length) unhealthy.push("no node is alive: nothing can be read or written");
  else if (down.length > 0) degraded.push(`${down.map((node) => `${node.name} is ${node.state}`).join(", ")}`);
  if (nodes.length === 0) degraded.push("no node has joined yet: nothing can be stored");
  const chunks = (count: number): string => (count === 1 ? "1 chunk has" : `${count} chunks have`);
  if (totals.lostChunks > 0) unhealthy.push(`${chunks(totals.lostChunks)} no readable copy`);
  if (totals.degradedChunks > totals.lostChunks)
    degraded.push(`${chunks(totals.degradedChunks - totals.lostChunks)} fewer copies than their store asks for`);
  const score = unhealthy.length > 0 ? 20 : Math.max(40, 100 - 20 * degraded.length);
  return {
    health: unhealthy.length > 0 ? "unhealthy" : degraded.length > 0 ? "degraded" : "healthy",
    healthScore: score,
    reasons: [...unhealthy, ...degraded],
  };
}
