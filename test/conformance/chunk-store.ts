/** What every chunk store has to do. Call it with a way to make one. */
import { describe, expect, test } from "bun:test";
import type { CollectiveError, ErrorCode } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdFromBytes } from "../../protocol/ids.ts";
import { inlineStoredBytesMax, mebibyte, storedChunkBytesMax } from "../../protocol/limits.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { createSeededRandom } from "../../src/core/random.ts";

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ChunkStore;
  /** Changes one bit of the stored bytes behind the store's back. */
  damage(id: ChunkId): void | Promise<void>;
}

export interface ChunkStoreSuiteOptions {
  readonly name: string;
  readonly create: (options: { readonly capacityBytes: number }) => Promise<StoreUnderTest>;
  readonly skip?: readonly { readonly test: string; readonly reason: string }[];
}

export interface TestChunk {
  readonly id: ChunkId;
  readonly data: Uint8Array;
}

/** Different for each seed; incompressible enough for tests. */
export function testChunk(bytes: number, seed = 1): TestChunk {
  const data = new Uint8Array(bytes);
  data.set(createSeededRandom(seed).bytes(Math.min(bytes, 64)));
  return { id: chunkIdFromBytes(new Bun.CryptoHasher("sha256").update(data).digest()), data };
}

/** The code of the error that `promise` must fail with. */
export async function failure(promise: Promise<unknown>): Promise<CollectiveError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error && error.name === "CollectiveError") return error as CollectiveError;
    throw error;
  }
  throw new Error("it should have failed and did not");
}

const roomy = 64 * mebibyte;
const small = 1_000;
const large = inlineStoredBytesMax + 1;

export function chunkStoreSuite(options: ChunkStoreSuiteOptions): void {
  const skipped = new Map((options.skip ?? []).map((entry) => [entry.test, entry.reason]));

  function check(name: string, fn: (under: StoreUnderTest) => Promise<void>, capacityBytes = roomy): void {
    const reason = skipped.get(name);
    if (reason !== undefined) {
      test.skip(`${name} (${reason})`, () => {});
      return;
    }
    test(name, async () => {
      await using under = await options.create({ capacityBytes });
      await fn(under);
    });
  }

  describe(`chunk store: ${options.name}`, () => {
    for (const bytes of [1, small, inlineStoredBytesMax - 1, inlineStoredBytesMax, large, mebibyte, storedChunkBytesMax]) {
      check(`gives back ${bytes} bytes as they were`, async ({ store }) => {
        const { id, data } = testChunk(bytes);
        await store.put(id, data);
        expect(Buffer.compare(await store.get(id), data)).toBe(0);
        expect(Buffer.compare(await store.get(id, { verify: false }), data)).toBe(0);
        expect(await store.has([id])).toEqual([true]);
        expect(await store.verify([id])).toEqual(["ok"]);
        expect(store.usage()).toMatchObject({ usedBytes: bytes, chunkCount: 1, quarantinedCount: 0 });
        expect((await store.delete([id])).deletedBytes).toBe(bytes);
        expect(await store.has([id])).toEqual([false]);
        expect(store.usage()).toMatchObject({ usedBytes: 0, chunkCount: 0 });
      });
    }

    check("refuses lengths that no chunk has", async ({ store }) => {
      const empty = testChunk(0);
      const huge = testChunk(storedChunkBytesMax + 1);
      expect((await failure(store.put(empty.id, empty.data))).code).toBe("invalid_argument");
      expect((await failure(store.put(huge.id, huge.data))).code).toBe("too_large");
      expect(store.usage().usedBytes).toBe(0);
    });

    for (const bytes of [small, large]) {
      describe(`${bytes} bytes`, () => {
        byteSizeSuite(check, bytes);
      });
    }

    check("stores many and lists them in order, page by page", async ({ store }) => {
      const chunks = Array.from({ length: 23 }, (_, i) => testChunk(i % 5 === 0 ? large : 10 + i, i));
      await store.putMany(chunks);
      const sorted = chunks.map(({ id, data }) => ({ id, bytes: data.length })).sort((a, b) => (a.id < b.id ? -1 : 1));
      const listed: { id: ChunkId; bytes: number }[] = [];
      for (let page = await store.list({ limit: 5 }); page.length > 0; page = await store.list({ limit: 5, after: listed.at(-1)?.id })) {
        expect(page.length).toBeLessThanOrEqual(5);
        listed.push(...page);
      }
      expect(listed).toEqual(sorted);
      expect(store.usage().chunkCount).toBe(23);
    });

    check("answers in the order asked", async ({ store }) => {
      const [a, b, missing] = [testChunk(small, 1), testChunk(large, 2), testChunk(small, 3)];
      await store.putMany([a, b]);
      expect(await store.has([missing.id, b.id, a.id])).toEqual([false, true, true]);
      expect(await store.verify([b.id, missing.id, a.id])).toEqual(["ok", "missing", "ok"]);
      expect((await store.delete([missing.id, a.id, b.id, a.id])).deletedBytes).toBe(small + large);
    });

    check(
      "never holds more than its capacity, however many put at once",
      async ({ store }) => {
        const chunks = Array.from({ length: 20 }, (_, i) => testChunk(i % 2 === 0 ? large : 40_000, i));
        const results = await Promise.allSettled(chunks.map(({ id, data }) => store.put(id, data)));
        const usage = store.usage();
        expect(usage.usedBytes).toBeLessThanOrEqual(500_000);
        const stored = chunks.filter((_, i) => results[i]?.status === "fulfilled");
        expect(usage.usedBytes).toBe(stored.reduce((sum, chunk) => sum + chunk.data.length, 0));
        expect(usage.freeBytes).toBe(500_000 - usage.usedBytes);
        expect((await store.has(chunks.map(({ id }) => id))).filter((has) => has)).toHaveLength(stored.length);
        for (const result of results) if (result.status === "rejected") expect(result.reason.code).toBe("no_space" satisfies ErrorCode);
        const refused = testChunk(large, 99);
        const error = await failure(store.put(refused.id, refused.data));
        expect(error.details).toEqual({ usedBytes: usage.usedBytes, capacityBytes: 500_000, neededBytes: large });
        await store.delete(stored.map(({ id }) => id));
        await store.put(refused.id, refused.data);
        expect(store.usage().usedBytes).toBe(large);
      },
      500_000,
    );

    check("refuses everything once closed, and closing twice is fine", async ({ store }) => {
      const { id, data } = testChunk(small);
      await store.put(id, data);
      await Promise.all([store.close(), store.close()]);
      for (const attempt of [
        store.put(id, data),
        store.get(id),
        store.has([id]),
        store.delete([id]),
        store.verify([id]),
        store.list({ limit: 1 }),
      ]) {
        expect((await failure(attempt)).code).toBe("unavailable");
      }
    });
  });
}

type Check = (name: string, fn: (under: StoreUnderTest) => Promise<void>, capacityBytes?: number) => void;

/** What holds for small and large chunks alike, though they may be kept differently. */
function byteSizeSuite(check: Check, bytes: number): void {
  const { id, data } = testChunk(bytes);

  check("a second put changes nothing", async ({ store }) => {
    await store.put(id, data);
    await store.put(id, data, { verified: true });
    await store.putMany([{ id, data }]);
    expect(store.usage()).toMatchObject({ usedBytes: bytes, chunkCount: 1 });
  });

  check("equal puts at once store it once", async ({ store }) => {
    await Promise.all(Array.from({ length: 10 }, () => store.put(id, data.slice())));
    expect(store.usage()).toMatchObject({ usedBytes: bytes, chunkCount: 1 });
    expect(Buffer.compare(await store.get(id), data)).toBe(0);
  });

  check("bytes that are not the id's are refused, also next to good ones", async ({ store }) => {
    const wrong = data.slice();
    wrong[bytes - 1] = 7;
    expect((await failure(store.put(id, wrong))).code).toBe("corrupt");
    expect(await store.has([id])).toEqual([false]);
    const [good, bad] = await Promise.allSettled([store.put(id, data), store.put(id, wrong)]);
    expect([good.status, bad.status]).toEqual(["fulfilled", "rejected"]);
    expect(Buffer.compare(await store.get(id), data)).toBe(0);
  });

  check("the bytes it took and gave are not shared with the caller", async ({ store }) => {
    const mine = data.slice();
    await store.put(id, mine);
    mine.fill(9);
    (await store.get(id)).fill(9);
    expect(Buffer.compare(await store.get(id), data)).toBe(0);
  });

  check("what is missing is not found, and deleting it is fine", async ({ store }) => {
    expect((await failure(store.get(id))).code).toBe("not_found");
    expect(store.locate(id)).toBeUndefined();
    expect(await store.verify([id])).toEqual(["missing"]);
    expect((await store.delete([id])).deletedBytes).toBe(0);
  });

  check("an aborted put or get does nothing", async ({ store }) => {
    const signal = AbortSignal.abort();
    expect((await failure(store.put(id, data, { signal }))).code).toBe("cancelled");
    expect(await store.has([id])).toEqual([false]);
    await store.put(id, data);
    expect((await failure(store.get(id, { signal }))).code).toBe("cancelled");
    expect((await failure(store.verify([id], { signal }))).code).toBe("cancelled");
  });

  check("a put after a delete stores it again", async ({ store }) => {
    await store.put(id, data);
    await Promise.all([store.delete([id]), store.put(id, data)]);
    await store.put(id, data);
    expect(await store.verify([id])).toEqual(["ok"]);
    expect(store.usage()).toMatchObject({ usedBytes: bytes, chunkCount: 1 });
  });

  for (const way of ["get", "verify"] as const) {
    check(`damage is found by ${way}, put aside, counted and replaced by a good copy`, async ({ store, damage }) => {
      await store.put(id, data);
      await damage(id);
      if (way === "get") expect((await failure(store.get(id))).code).toBe("corrupt");
      else expect(await store.verify([id])).toEqual(["damaged"]);
      expect(await store.has([id])).toEqual([false]);
      expect(await store.list({ limit: 10 })).toEqual([]);
      expect(store.locate(id)).toBeUndefined();
      expect((await failure(store.get(id))).code).toBe("not_found");
      expect(await store.verify([id])).toEqual(["damaged"]);
      expect(store.usage()).toMatchObject({ usedBytes: bytes, chunkCount: 0, quarantinedCount: 1 });
      await store.put(id, data);
      expect(Buffer.compare(await store.get(id), data)).toBe(0);
      expect(store.usage()).toMatchObject({ usedBytes: bytes, chunkCount: 1, quarantinedCount: 0 });
    });
  }

  check("a quarantined chunk can be deleted", async ({ store, damage }) => {
    await store.put(id, data);
    await damage(id);
    await store.verify([id]);
    expect((await store.delete([id])).deletedBytes).toBe(bytes);
    expect(store.usage()).toMatchObject({ usedBytes: 0, quarantinedCount: 0 });
  });

  check(
    "a good copy of a quarantined chunk fits into a full store",
    async ({ store, damage }) => {
      await store.put(id, data);
      await damage(id);
      await store.verify([id]);
      await store.put(id, data);
      expect(await store.has([id])).toEqual([true]);
    },
    bytes,
  );
}
