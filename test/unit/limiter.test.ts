import { describe, expect, test } from "bun:test";
import { createLimiter, forEachLimited } from "../../src/core/limiter.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { failureOf } from "../support/metadata.ts";

/** Lets everything happen that can happen without anybody doing anything. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

function gate() {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  return { promise, open: resolve, fail: reject };
}

describe("a limiter", () => {
  test("lets no more through than it has permits, in the order they came", async () => {
    const limiter = createLimiter(3);
    const gates = Array.from({ length: 6 }, gate);
    const started: number[] = [];
    const runs = gates.map((one, index) =>
      limiter.run(() => {
        started.push(index);
        return one.promise;
      }),
    );
    await settle();
    expect(started).toEqual([0, 1, 2]);
    expect(limiter.inUse).toBe(3);
    gates[1]?.open();
    await settle();
    expect(started).toEqual([0, 1, 2, 3]);
    for (const one of gates) one.open();
    await Promise.all(runs);
    expect(started).toEqual([0, 1, 2, 3, 4, 5]);
    expect(limiter.inUse).toBe(0);
  });

  test("lets a large one wait for room, and small ones behind it wait for their turn", async () => {
    const limiter = createLimiter(10);
    const [small, large, behind] = [gate(), gate(), gate()];
    const started: string[] = [];
    const run = (name: string, permits: number, until: Promise<void>) =>
      limiter.run(
        () => {
          started.push(name);
          return until;
        },
        { permits },
      );
    const runs = [run("small", 2, small.promise), run("large", 9, large.promise), run("behind", 1, behind.promise)];
    await settle();
    expect(started).toEqual(["small"]);
    small.open();
    await settle();
    expect(started).toEqual(["small", "large", "behind"]);
    large.open();
    behind.open();
    await Promise.all(runs);
  });

  test("runs one that asks for more than there is when it is alone", async () => {
    const limiter = createLimiter(2);
    const first = gate();
    const order: string[] = [];
    const runs = [
      limiter.run(() => first.promise),
      limiter.run(async () => void order.push("huge"), { permits: 100 }),
      limiter.run(async () => void order.push("next")),
    ];
    await settle();
    expect(order).toEqual([]);
    first.open();
    await Promise.all(runs);
    expect(order).toEqual(["huge", "next"]);
    expect(limiter.inUse).toBe(0);
  });

  test("gives permits back when a task fails", async () => {
    const limiter = createLimiter(1);
    await expect(limiter.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(
      limiter.run(() => {
        throw new Error("at once");
      }),
    ).rejects.toThrow("at once");
    expect(await limiter.run(async () => 7)).toBe(7);
    expect(limiter.inUse).toBe(0);
  });

  test("lets go of who gives up waiting, and of those who waited behind it", async () => {
    const limiter = createLimiter(10);
    const held = gate();
    const stop = new AbortController();
    const holding = limiter.run(() => held.promise, { permits: 5 });
    const large = failureOf(limiter.run(async () => undefined, { permits: 8, signal: stop.signal }));
    let ran = false;
    const behind = limiter.run(
      async () => {
        ran = true;
      },
      { permits: 4 },
    );
    await settle();
    expect(ran).toBe(false);
    stop.abort();
    expect((await large).code).toBe("cancelled");
    await behind;
    expect(limiter.inUse).toBe(5);
    held.open();
    await holding;
    expect((await failureOf(limiter.run(async () => undefined, { signal: stop.signal }))).code).toBe("cancelled");
    expect(limiter.inUse).toBe(0);
  });

  test("keeps its count whatever happens", async () => {
    const random = createSeededRandom(3);
    const limiter = createLimiter(7);
    let inside = 0;
    let highest = 0;
    const runs = Array.from({ length: 300 }, async () => {
      const permits = 1 + random.int(7);
      const stop = new AbortController();
      const run = limiter
        .run(
          async () => {
            inside += permits;
            highest = Math.max(highest, inside);
            for (let turn = random.int(6); turn > 0; turn--) await Promise.resolve();
            inside -= permits;
            if (random.int(5) === 0) throw new Error("task");
          },
          { permits, signal: stop.signal },
        )
        .catch(() => undefined);
      if (random.int(3) === 0) stop.abort();
      await run;
    });
    await Promise.all(runs);
    expect(highest).toBe(7);
    expect(limiter.inUse).toBe(0);
  });
});

describe("forEachLimited", () => {
  test("does all, so many at once", async () => {
    let inside = 0;
    let highest = 0;
    const done: number[] = [];
    await forEachLimited(
      Array.from({ length: 20 }, (_, index) => index),
      4,
      async (item) => {
        highest = Math.max(highest, ++inside);
        await settle();
        inside--;
        done.push(item);
      },
    );
    expect(highest).toBe(4);
    expect(done.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  test("throws the first failure after what had begun is done", async () => {
    const slow = gate();
    const begun: number[] = [];
    let finished = false;
    const all = forEachLimited([0, 1, 2, 3, 4], 2, async (item) => {
      begun.push(item);
      if (item === 0) {
        await slow.promise;
        finished = true;
      }
      if (item === 1) throw new Error("first");
    });
    await settle();
    slow.open();
    await expect(all).rejects.toThrow("first");
    expect(finished).toBe(true);
    expect(begun).toEqual([0, 1]);
  });

  test("waits for what had begun when the items themselves come to a bad end", async () => {
    async function* items(): AsyncGenerator<number> {
      yield 1;
      throw new Error("no more items");
    }
    const slow = gate();
    let finished = false;
    const all = forEachLimited(items(), 5, async () => {
      await slow.promise;
      finished = true;
    });
    const outcome = all.then(
      () => "done",
      (error: Error) => `${error.message}, finished ${finished}`,
    );
    await settle();
    slow.open();
    expect(await outcome).toBe("no more items, finished true");
  });
});
