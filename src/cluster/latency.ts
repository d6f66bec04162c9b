/** Latencies in rings: within one they are as good as equal, so that noise of the measurement moves no data and no reader. */

/** Up to here a node is as near as can be; further out each ring reaches twice as far. */
const nearLatencyMs = 4;
export const latencyRingsMax = 32;

export function latencyRing(latencyMs: number): number {
  return latencyMs <= nearLatencyMs ? 0 : Math.min(latencyRingsMax - 1, Math.ceil(Math.log2(latencyMs / nearLatencyMs)));
}
