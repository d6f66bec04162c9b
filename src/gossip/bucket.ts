/** A token bucket as a value: how much somebody may still cause, refilled with time up to a burst. */

export interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

export interface BucketRate {
  readonly burst: number;
  /** Time for one token. */
  readonly refillMs: number;
}

export function fullBucket(rate: BucketRate, nowMs: number): Bucket {
  return { tokens: rate.burst, atMs: nowMs };
}

/** The bucket after `cost` was taken, or undefined when it does not hold that much. */
export function takeFrom(bucket: Bucket, rate: BucketRate, nowMs: number, cost = 1): Bucket | undefined {
  const tokens = Math.min(rate.burst, bucket.tokens + Math.max(0, nowMs - bucket.atMs) / rate.refillMs);
  return tokens < cost ? undefined : { tokens: tokens - cost, atMs: nowMs };
}
