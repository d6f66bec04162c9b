/**
 * How quickly nodes answer this client. The coordinator says which copies are near from where it stands; who is elsewhere, or
 * finds a node busy, learns better by asking, and remembers it for a while.
 *
 * What was never measured keeps its place: only of two nodes that were measured the clearly slower one goes behind the other.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import { latencyOf, latencyRing, withSample } from "../cluster/latency.ts";
import type { Clock } from "../core/clock.ts";

export interface NodeLatencies {
  /** From a request to the first bytes of its answer. */
  note(node: GlobalName, latencyMs: number): void;
  inOrder<N extends { readonly node: GlobalName }>(nodes: readonly N[]): N[];
}

/** Afterwards a slow node is given another chance. */
const rememberedMs = 30_000;
/** Each ring reaches twice as far as the one before: one more is noise, two are not. */
const ringsApartMin = 2;

export function createNodeLatencies(clock: Clock): NodeLatencies {
  const known = new Map<GlobalName, { readonly samplesMs: readonly number[]; readonly atMs: number }>();
  const samplesOf = (node: GlobalName): readonly number[] => {
    const measured = known.get(node);
    return measured && clock.monotonicMs() - measured.atMs <= rememberedMs ? measured.samplesMs : [];
  };
  return {
    note: (node, latencyMs) => void known.set(node, { samplesMs: withSample(samplesOf(node), latencyMs), atMs: clock.monotonicMs() }),
    inOrder: (nodes) => {
      const latencies = new Map(nodes.map(({ node }) => [node, latencyOf(samplesOf(node))] as const));
      const best = Math.min(...[...latencies.values()].map((latencyMs) => latencyRing(latencyMs ?? Number.POSITIVE_INFINITY)));
      const isSlow = ({ node }: { readonly node: GlobalName }): boolean => latencyRing(latencies.get(node) ?? 0) >= best + ringsApartMin;
      return [...nodes.filter((node) => !isSlow(node)), ...nodes.filter(isSlow)];
    },
  };
}
