/** When the serving thread reads, when it looks out for more, and when it sleeps. */
import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import type { Clock } from "../../src/core/clock.ts";
import type { RequestBuffer } from "../../src/fuse/request.ts";
import { createTransport } from "../../src/fuse/transport.ts";

const { EAGAIN, EINTR, EIO, ENODEV, ENOENT } = constants.errno;

/** Each look at the time takes 10 µs, so looking out ends. */
function createBusyClock(): Clock {
  let nowMs = 0;
  return {
    monotonicMs: () => {
      nowMs += 0.01;
      return nowMs;
    },
    wallMs: () => nowMs,
    sleep: async () => undefined,
    every: () => ({ [Symbol.dispose]: () => undefined }),
  };
}

function createBench() {
  /** What the device says next: bytes of a request, or an errno as a negative number; EAGAIN when nothing is left. */
  const queue: number[] = [];
  const seen = {
    reads: 0,
    handled: 0,
    armed: 0,
    pending: 0,
    lent: undefined as Promise<void> | undefined,
    buffers: new Set<RequestBuffer>(),
  };
  const transport = createTransport({
    clock: createBusyClock(),
    device: {
      read: () => {
        seen.reads += 1;
        return queue.shift() ?? -EAGAIN;
      },
      write: () => 0,
    },
    session: {
      agreed: Promise.resolve(),
      pendingCount: () => seen.pending,
      handle: (buffer) => {
        seen.handled += 1;
        seen.buffers.add(buffer);
        return seen.lent;
      },
      end: () => undefined,
    },
    waiter: {
      arm: () => {
        seen.armed += 1;
      },
    },
  });
  return { queue, seen, transport };
}

describe("the transport", () => {
  test("reads all there is, passes over what was aborted, and then sleeps", () => {
    const { queue, seen, transport } = createBench();
    queue.push(100, -EINTR, 200, -ENOENT, 300);
    transport.readable();
    expect([seen.handled, seen.armed]).toEqual([3, 1]);
  });

  test("looks out for more before it sleeps, for as long as that pays", () => {
    const { seen, transport } = createBench();
    const readsOf = (): number => {
      const before = seen.reads;
      transport.readable();
      return seen.reads - before;
    };
    expect(readsOf()).toBeGreaterThan(3);
    for (let times = 0; times < 50; times++) readsOf();
    // Now and then it tries again; most times it looks once.
    const later = Array.from({ length: 32 }, readsOf);
    expect(later.filter((reads) => reads === 1).length).toBe(30);
    expect(later.filter((reads) => reads > 3).length).toBe(2);
  });

  test("does not keep answers waiting by looking out", () => {
    const { queue, seen, transport } = createBench();
    seen.pending = 1;
    transport.readable();
    expect([seen.reads, seen.armed]).toEqual([1, 1]);
    queue.push(100);
    transport.readable();
    // What was asked just now may be answered in this turn of the event loop; it comes back without being woken.
    expect([seen.handled, seen.armed]).toEqual([1, 1]);
  });

  test("leaves a buffer alone that is lent", async () => {
    const { queue, seen, transport } = createBench();
    const { promise, resolve } = Promise.withResolvers<void>();
    seen.lent = promise;
    queue.push(100, 100);
    transport.readable();
    expect(seen.buffers.size).toBe(2);
    resolve();
    await promise;
    queue.push(100);
    transport.readable();
    expect(seen.buffers.size).toBe(3);
    queue.push(100);
    transport.readable();
    expect(seen.buffers.size).toBe(3);
  });

  test("ends when it is unmounted, and says when the device fails", async () => {
    const unmounted = createBench();
    unmounted.queue.push(-ENODEV);
    unmounted.transport.readable();
    expect(await unmounted.transport.ended).toBeUndefined();
    expect(unmounted.seen.armed).toBe(0);
    const broken = createBench();
    broken.queue.push(-EIO);
    broken.transport.readable();
    expect(await broken.transport.ended.catch((error) => error)).toMatchObject({ code: "unavailable" });
  });
});
