/**
 * A token bucket as a value: how much somebody may still cause, refilled with time up to a burst. The value
 * is the time at which the bucket is full again, so one that is full needs not be kept.
 */

export type Bucket = number;

export interface BucketRate {
  readonly burst: number;
  /** Time for one token. */
  readonly refillMs: number;
}

export const fullBucket: Bucket = Number.NEGATIVE_INFINITY;

export function emptyBucket(rate: BucketRate, nowMs: number): Bucket {
  return nowMs + rate.burst * rate.refillMs;
}

/** The bucket after `cost` was taken, or undefined when it does not hold that much. */
export function takeFrom(bucket: Bucket, rate: BucketRate, nowMs: number, cost = 1): Bucket | undefined {
  const fullAtMs = Math.max(bucket, nowMs) + cost * rate.refillMs;
  return fullAtMs > emptyBucket(rate, nowMs) ? undefined : fullAtMs;
}
