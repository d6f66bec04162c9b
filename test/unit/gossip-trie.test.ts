import { describe, expect, test } from "bun:test";
import { createSeededRandom } from "../../src/core/random.ts";
import { permuted } from "../../src/gossip/permutation.ts";
import {
  type Digest,
  emptyTrie,
  entriesOf,
  entryAt,
  type Keyed,
  kept,
  lookUp,
  partAt,
  sameDigest,
  slotOf,
  type Trie,
  withEntry,
  withoutKey,
  zeroDigest,
} from "../../src/gossip/trie.ts";

const seeds = Array.from({ length: 20 }, (_, index) => index + 1);

interface Numbered extends Keyed {
  readonly value: number;
}

function entry(key: string, value: number): Numbered {
  return { key, slot: slotOf(key), digest: digest(value), value };
}

function digest(number: number): Digest {
  return { high: Math.imul(number, 0x9e3779b1) >>> 0, low: Math.imul(number, 0x85ebca6b) >>> 0 };
}

describe("the trie", () => {
  test.each(seeds)("does what a Map does, seed %d", (seed) => {
    const random = createSeededRandom(seed);
    const model = new Map<string, number>();
    let trie: Trie<Numbered> = emptyTrie();
    for (let turn = 0; turn < 600; turn++) {
      const key = `m${random.int(30)}@s.local ${random.int(12)}`;
      if (random.int(4) === 0) {
        model.delete(key);
        trie = withoutKey(trie, key);
      } else {
        model.set(key, turn);
        trie = withEntry(trie, entry(key, turn));
      }
      expect(trie.count).toBe(model.size);
    }
    for (const [key, value] of model) expect(lookUp(trie, key)?.value).toBe(value);
    expect(lookUp(trie, "nobody@s.local 1")).toBeUndefined();
    const found = new Map([...entriesOf(trie)].map(({ key, value }) => [key, value]));
    expect(found).toEqual(model);
    const numbered = Array.from({ length: trie.count }, (_, index) => entryAt(trie, index)?.key ?? "");
    expect(new Set(numbered)).toEqual(new Set(model.keys()));
    expect(entryAt(trie, trie.count)).toBeUndefined();
  });

  test("has one digest for one content, whatever the way to it", () => {
    const keys = Array.from({ length: 500 }, (_, index) => `m${index}@s.local`);
    const build = (order: readonly string[]) =>
      order.reduce((trie, key) => withEntry(trie, entry(key, slotOf(key).owner)), emptyTrie<Numbered>());
    const detour = withEntry(build(keys.toReversed()), entry("visitor@s.local", 7));
    expect(sameDigest(build(keys).digest, withoutKey(detour, "visitor@s.local").digest)).toBe(true);
    expect(sameDigest(build(keys).digest, detour.digest)).toBe(false);
    const emptied = keys.reduce((trie, key) => withoutKey(trie, key), build(keys));
    expect(emptied.digest).toEqual(zeroDigest);
    expect(emptied.count).toBe(0);
  });

  test("leaves out what is not to be kept, as if it had never been there", () => {
    const keys = Array.from({ length: 300 }, (_, index) => `m${index}@s.local`);
    const build = (some: readonly string[]) => some.reduce((trie, key, index) => withEntry(trie, entry(key, index)), emptyTrie<Numbered>());
    const half = kept(build(keys), ({ value }) => value < 150);
    expect(half.count).toBe(150);
    expect(half.digest).toEqual(build(keys.slice(0, 150)).digest);
    expect(kept(half, () => false)).toEqual(emptyTrie());
  });

  test("keeps the earlier version as it was", () => {
    const before = withEntry(emptyTrie<Numbered>(), entry("a@s.local", 1));
    withEntry(before, entry("a@s.local", 2));
    withoutKey(before, "a@s.local");
    expect(lookUp(before, "a@s.local")?.value).toBe(1);
  });

  test("parts of a divided and of an undivided trie compare alike", () => {
    const keys = Array.from({ length: 10 }, (_, index) => `m${index}@s.local`);
    const small = keys.reduce((trie, key) => withEntry(trie, entry(key, slotOf(key).owner)), emptyTrie<Numbered>());
    // Once divided, it stays so.
    const extra = Array.from({ length: 40 }, (_, index) => `x${index}@s.local`);
    const grown = extra.reduce((trie, key) => withEntry(trie, entry(key, 1)), small);
    const divided = extra.reduce((trie, key) => withoutKey(trie, key), grown);
    for (const path of ["", ..."0123456789abcdef"]) {
      expect(sameDigest(partAt(small, path).digest, partAt(divided, path).digest)).toBe(true);
      expect(partAt(small, path).count).toBe(partAt(divided, path).count);
    }
  });

  test("keeps what one member may choose out of another's place", () => {
    const alices = slotOf("alice@home.collective.local profile ");
    const mallorys = slotOf("mallory@shed.collective.local introduction x@y.collective.local");
    expect(slotOf("alice@home.collective.local").owner).toBe(alices.owner);
    expect(slotOf("mallory@shed.collective.local").owner).toBe(mallorys.owner);
    expect(alices.owner).not.toBe(mallorys.owner);
  });
});

describe("the order of a round", () => {
  test.each([1, 2, 3, 4, 5, 16, 17, 50, 1000, 4097])("meets each of %d members once", (count) => {
    for (const key of [0, 1, 123_456]) {
      const met = new Set(Array.from({ length: count }, (_, index) => permuted(index, count, key)));
      expect(met.size).toBe(count);
      expect(Math.max(...met)).toBeLessThan(count);
    }
  });

  test("differs from round to round", () => {
    const order = (key: number) => Array.from({ length: 50 }, (_, index) => permuted(index, 50, key)).join();
    expect(new Set([1, 2, 3, 4, 5, 6, 7, 8].map(order)).size).toBe(8);
  });
});
