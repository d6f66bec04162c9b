import { describe, expect, test } from "bun:test";
import { emptyBucket, fullBucket, takeFrom } from "../../src/gossip/bucket.ts";
import {
  chanceOfSilence,
  failuresToAccuse,
  isBeyondChance,
  lanProfile,
  lossShareAfter,
  lossShareAtFirst,
  probeTimes,
  retransmissions,
  suspicionTimeoutMs,
  wanProfile,
} from "../../src/gossip/profile.ts";

describe("the time from suspicion to death", () => {
  test.each([
    // members, confirmations beside the first accuser, expected in the LAN profile
    [2, 0, 5_000],
    [3, 0, 10_000],
    [3, 1, 5_000],
    [10, 0, 10_000],
    [10, 1, 7_500],
    [10, 2, 6_038],
    [10, 3, 5_000],
    [10, 9, 5_000],
    [5_000, 0, 10_000],
    [5_000, 3, 5_000],
  ])("of %d members, %d confirm: %d ms", (members, confirmations, expected) => {
    expect(Math.round(suspicionTimeoutMs(lanProfile, confirmations, members))).toBe(expected);
  });

  test.each([lanProfile, wanProfile])("never goes below its least nor above its most, profile %#", (profile) => {
    for (let members = 1; members < 200; members++) {
      for (let confirmations = 0; confirmations < 6; confirmations++) {
        const timeoutMs = suspicionTimeoutMs(profile, confirmations, members);
        expect(timeoutMs).toBeGreaterThanOrEqual(profile.suspicionMinMs);
        expect(timeoutMs).toBeLessThanOrEqual(profile.suspicionMaxMs);
        expect(suspicionTimeoutMs(profile, confirmations + 1, members)).toBeLessThanOrEqual(timeoutMs);
      }
    }
  });
});

test.each([
  [2, 4],
  [9, 4],
  [10, 8],
  [50, 8],
  [500, 12],
  [5_000, 16],
])("news among %d members is sent %d times", (members, times) => {
  expect(retransmissions(lanProfile, members)).toBe(times);
});

test("bad health makes probing slower and accusing harder", () => {
  expect(probeTimes(lanProfile, 0)).toEqual({ directMs: 200, intervalMs: 500 });
  expect(probeTimes(lanProfile, 4)).toEqual({ directMs: 1_000, intervalMs: 2_500 });
  expect([0, 1, 2, 3, 4].map((health) => failuresToAccuse(lanProfile, health))).toEqual([2, 3, 3, 4, 4]);
});

describe("what silence says", () => {
  const probesToAccuse = (lossShare: number, members: number) => {
    let chance = 1;
    for (let probes = 1; ; probes++) {
      chance *= chanceOfSilence(lossShare, 3, 3);
      if (isBeyondChance(chance, members)) return probes;
    }
  };

  test.each([
    // round trips lost, members, probes without any answer
    [0, 5_000, 1],
    [0.19, 50, 2],
    [0.19, 5_000, 2],
    [0.51, 50, 4],
    [0.51, 5_000, 6],
    [1, 5_000, 8],
  ])("with a share of %d lost, and %d members", (lossShare, members, probes) => {
    expect(probesToAccuse(lossShare, members)).toBe(probes);
  });

  test("what is lost shows in what was answered late", () => {
    let lossShare = lossShareAtFirst;
    for (let ping = 0; ping < 1_000; ping++) lossShare = lossShareAfter(lossShare, ping % 2 === 0);
    expect(lossShare).toBeCloseTo(0.5, 1);
    for (let ping = 0; ping < 1_000; ping++) lossShare = lossShareAfter(lossShare, true);
    expect(lossShare).toBeCloseTo(0, 1);
  });
});

describe("a token bucket", () => {
  const rate = { burst: 3, refillMs: 100 };

  test("holds a burst, then refills with time", () => {
    let bucket = fullBucket;
    for (let i = 0; i < 3; i++) bucket = takeFrom(bucket, rate, 0) ?? expect.unreachable();
    expect(takeFrom(bucket, rate, 99)).toBeUndefined();
    expect(takeFrom(bucket, rate, 100)).toBe(emptyBucket(rate, 100));
    expect(takeFrom(bucket, rate, 1_000_000, 4)).toBeUndefined();
    expect(takeFrom(bucket, rate, 1_000_000, 3)).toBe(emptyBucket(rate, 1_000_000));
  });
});
