/**
 * Latencies: measured often, believed when there are some, compared in rings. Within a ring they are as good as equal, so that
 * noise of the measurement moves no data and no reader.
 */

const samplesMin = 4;
const samplesMax = 16;

/** The latest, newest last. */
export function withSample(samplesMs: readonly number[], sampleMs: number): readonly number[] {
  return [...samplesMs, sampleMs].slice(-samplesMax);
}

/**
 * The least of the latest samples: a first connection or a busy machine makes some longer, and nothing makes one shorter than
 * the way is. Undefined before there are enough.
 */
export function latencyOf(samplesMs: readonly number[]): number | undefined {
  return samplesMs.length < samplesMin ? undefined : Math.min(...samplesMs);
}

/** Up to here a node is as near as can be; further out each ring reaches twice as far. */
const nearLatencyMs = 4;
export const latencyRingsMax = 32;

export function latencyRing(latencyMs: number): number {
  return latencyMs <= nearLatencyMs ? 0 : Math.min(latencyRingsMax - 1, Math.ceil(Math.log2(latencyMs / nearLatencyMs)));
}
