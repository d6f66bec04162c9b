/**
 * How many secrets may be guessed, from one place and from all together. Only a secret that opens nothing
 * counts: whoever holds a real code is never kept waiting by his own tries, nor a crowd that shares an address.
 */
import { isIPv6 } from "node:net";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import { createTokenBucket, createTokenBuckets } from "../core/token-bucket.ts";
import { formatDuration } from "../core/units.ts";

export interface GuessLimits {
  /** Throws `rate_limited` when there were too many wrong ones, before this one is looked at. */
  assertMayTry(source: string): void;
  wrong(source: string): void;
}

const perSource = { burst: 10, perMinute: 10, keysMax: 4_096 } as const;
/** A flood from many places shuts out honest joiners too, so it takes one to get here. */
const inTotal = { burst: 1_000, perMinute: 600 } as const;

export function createGuessLimits(clock: Clock): GuessLimits {
  const total = createTokenBucket(inTotal, clock);
  const sources = createTokenBuckets(perSource, clock);
  return {
    assertMayTry: (source) => {
      const waitMs = Math.max(total.waitMs(), sources.waitMs(sourceOf(source)));
      if (waitMs === 0) return;
      throw new CollectiveError("rate_limited", "too many wrong invite codes were tried", {
        hint: `try again in ${formatDuration(waitMs)}`,
        details: { retryAfterMs: waitMs },
      });
    },
    wrong: (source) => {
      total.take();
      sources.take(sourceOf(source));
    },
  };
}

/** An IPv6 host has a whole /64 to choose addresses from, so that is one place; an IPv4 address in IPv6 clothes is itself. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [bare = ""] = address.split("%");
  if (!isIPv6(bare)) return address;
  const [front = "", back = ""] = bare.split("::");
  const before = front === "" ? [] : front.split(":");
  const after = back === "" ? [] : back.split(":");
  const zeros = bare.includes("::") ? new Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0") : [];
  return [...before, ...zeros, ...after]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
