/** Patience with a node that is silent while another could give the same. */
import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { watchStall } from "../../src/core/stall-watch.ts";
import { handClock } from "../support/pki.ts";

describe("a connection", () => {
  test("that is slow but not silent is not given up", () => {
    const clock = handClock(0);
    using watch = watchStall(clock, { stallMs: 2_000 });
    for (let i = 0; i < 100; i++) {
      clock.nowMs += 1_900;
      clock.tick();
      watch.moved();
    }
    expect(watch.signal.aborted).toBe(false);
  });

  test("that is silent is given up, and the reason is silence", () => {
    const clock = handClock(0);
    using watch = watchStall(clock, { stallMs: 2_000 });
    clock.nowMs += 2_000;
    clock.tick();
    expect(watch.signal.aborted).toBe(true);
    expect(watch.reasonFor(new CollectiveError("cancelled", "cancelled"))).toMatchObject({
      code: "timed_out",
      message: "nothing came for 2 s",
    });
  });

  test("that its caller gives up is cancelled, and is not the node's fault", () => {
    const clock = handClock(0);
    const caller = new AbortController();
    using watch = watchStall(clock, { stallMs: 2_000, signal: caller.signal });
    caller.abort();
    expect(watch.signal.aborted).toBe(true);
    const thrown = new CollectiveError("cancelled", "cancelled");
    expect(watch.reasonFor(thrown)).toBe(thrown);
  });
});
