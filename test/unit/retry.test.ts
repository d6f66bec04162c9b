import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { type RetryOptions, retry, retryDelayMs } from "../../src/core/retry.ts";
import { failureOf } from "../support/metadata.ts";
import { handClock } from "../support/pki.ts";

const policy = { attemptsMax: 4, firstDelayMs: 100, delayMsMax: 1_000 };

function setUp(change: Partial<RetryOptions> = {}) {
  const delaysMs: number[] = [];
  const clock = { ...handClock(), sleep: async (ms: number) => void delaysMs.push(ms) };
  const options: RetryOptions = { policy, clock, random: createSeededRandom(1), retryable: () => true, ...change };
  return { delaysMs, options };
}

function failing(times: number, error: unknown = new CollectiveError("unavailable", "away")) {
  let calls = 0;
  return {
    calls: () => calls,
    attempt: async () => {
      calls++;
      if (calls <= times) throw error;
      return "done";
    },
  };
}

describe("retrying", () => {
  test("goes on until it succeeds", async () => {
    const { delaysMs, options } = setUp();
    const call = failing(3);
    expect(await retry(call.attempt, options)).toBe("done");
    expect(call.calls()).toBe(4);
    expect(delaysMs).toHaveLength(3);
  });

  test("gives up after the attempts it has, with the last error", async () => {
    const { delaysMs, options } = setUp();
    const call = failing(99);
    expect((await failureOf(retry(call.attempt, options))).message).toBe("away");
    expect(call.calls()).toBe(4);
    expect(delaysMs).toHaveLength(3);
  });

  test("does not repeat what must not be repeated, nor what nobody waits for any more", async () => {
    const final = failing(99);
    await failureOf(retry(final.attempt, setUp({ retryable: () => false }).options));
    expect(final.calls()).toBe(1);
    const stop = new AbortController();
    stop.abort();
    const cancelled = failing(99);
    await failureOf(retry(cancelled.attempt, setUp({ signal: stop.signal }).options));
    expect(cancelled.calls()).toBe(1);
  });

  test("stops waiting when it is told to", async () => {
    const stop = new AbortController();
    const sleep = async () => {
      stop.abort();
      throw new CollectiveError("cancelled", "cancelled while waiting");
    };
    const call = failing(99);
    const { options } = setUp({ clock: { ...handClock(), sleep }, signal: stop.signal });
    expect((await failureOf(retry(call.attempt, options))).code).toBe("cancelled");
    expect(call.calls()).toBe(1);
  });
});

test("delays double up to a ceiling and never come together", () => {
  const random = createSeededRandom(2);
  for (let attempt = 0; attempt < 2_000; attempt++) {
    const ceilingMs = Math.min(1_000, 100 * 2 ** attempt);
    const delayMs = retryDelayMs(policy, attempt, random);
    expect(delayMs).toBeGreaterThanOrEqual(ceilingMs / 2);
    expect(delayMs).toBeLessThanOrEqual(ceilingMs);
  }
  expect(new Set(Array.from({ length: 50 }, () => retryDelayMs(policy, 3, random))).size).toBeGreaterThan(40);
});
