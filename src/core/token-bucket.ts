/**
 * Token buckets: `burst` events at once, and `perMinute` for as long as it lasts. An event that has happened
 * is taken whether or not there was a token for it: what is counted afterwards cannot be refused any more,
 * but the debt it leaves keeps the next ones waiting.
 */
import type { Clock } from "./clock.ts";

export interface Rate {
  readonly burst: number;
  readonly perMinute: number;
}

export interface TokenBucket {
  /** 0 when there is a token. */
  waitMs(): number;
  take(): void;
  readonly isFull: boolean;
}

export function createTokenBucket({ burst, perMinute }: Rate, clock: Clock): TokenBucket {
  const perMs = perMinute / 60_000;
  let tokens = burst;
  let atMs = clock.monotonicMs();
  const refill = (): number => {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(burst, tokens + (nowMs - atMs) * perMs);
    atMs = nowMs;
    return tokens;
  };
  return {
    waitMs: () => Math.max(0, Math.ceil((1 - refill()) / perMs)),
    take: () => {
      tokens = refill() - 1;
    },
    get isFull() {
      return refill() >= burst;
    },
  };
}

/** One bucket for each key, at most `keysMax`: beyond that full ones are forgotten, then those that were used longest ago. */
export interface TokenBuckets {
  waitMs(key: string): number;
  take(key: string): void;
  readonly size: number;
}

export function createTokenBuckets(rate: Rate & { readonly keysMax: number }, clock: Clock): TokenBuckets {
  const buckets = new Map<string, TokenBucket>();
  const makeRoom = (): void => {
    for (const [key, bucket] of buckets) {
      if (buckets.size < rate.keysMax) return;
      if (bucket.isFull) buckets.delete(key);
    }
    for (const key of buckets.keys()) {
      if (buckets.size < rate.keysMax) return;
      buckets.delete(key);
    }
  };
  return {
    waitMs: (key) => buckets.get(key)?.waitMs() ?? 0,
    take: (key) => {
      const known = buckets.get(key);
      if (!known) makeRoom();
      const bucket = known ?? createTokenBucket(rate, clock);
      bucket.take();
      // Last in the order of use.
      buckets.delete(key);
      buckets.set(key, bucket);
    },
    get size() {
      return buckets.size;
    },
  };
}
