/** Counting reads, what they earn, and which copies go again: the pure parts, by tables and by chance. */
import { describe, expect, test } from "bun:test";
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import { parseInode } from "../../protocol/ids.ts";
import type { NodeState } from "../../protocol/schema.ts";
import { ownNodes, type StorageNode } from "../../src/cluster/candidates.ts";
import { copiesToRelease, extraCopiesFor, extraCopiesMax, readsForCopy, readsToKeep } from "../../src/cluster/extra-copies.ts";
import { createPopularity, type ReadChunk } from "../../src/cluster/popularity.ts";
import { readOrder } from "../../src/cluster/read-order.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { chunkId } from "../support/metadata.ts";
import { alice, bob } from "../support/pki.ts";

const halfLifeMs = 1_000;
const store = parseInode(2);
const read = (text: string): ReadChunk => ({ id: chunkId(text), storedBytes: 100, codec: "none", store });
const seed = Number(process.env.SEED ?? Date.now() & 0xffff);

describe("the count of reads", () => {
  test("loses half of itself in each half-life", () => {
    const popularity = createPopularity({ halfLifeMs, entriesMax: 10 });
    for (let i = 1; i <= 8; i++) expect(popularity.note(read("a"), 0)).toBe(i);
    expect(popularity.readsOf(chunkId("a"), halfLifeMs)).toBe(4);
    expect(popularity.note(read("a"), 2 * halfLifeMs)).toBe(3);
    expect(popularity.readsOf(chunkId("b"), 0)).toBe(0);
    // A clock that stands a little behind is no reason for more.
    expect(popularity.readsOf(chunkId("a"), halfLifeMs)).toBe(3);
  });

  test("names what is read often, as it was read last, and forgets what nobody reads", () => {
    const popularity = createPopularity({ halfLifeMs, entriesMax: 10 });
    for (let i = 0; i < 4; i++) popularity.note(read("a"), 0);
    popularity.note(read("b"), 0);
    const other = { ...read("a"), store: parseInode(3) };
    popularity.note(other, 0);
    expect(popularity.readAtLeast(5, 0)).toEqual([{ chunk: other, reads: 5 }]);
    expect(popularity.readAtLeast(5, 1)).toEqual([]);
    expect(popularity.size).toBe(2);
    expect(popularity.readAtLeast(5, 4 * halfLifeMs)).toEqual([]);
    expect(popularity.size).toBe(1);
    popularity.readAtLeast(5, 10 * halfLifeMs);
    expect(popularity.size).toBe(0);
  });

  test(`is bounded, never too high, and right for what is read again and again (SEED=${seed})`, () => {
    const random = createSeededRandom(seed);
    const entriesMax = 64;
    const popularity = createPopularity({ halfLifeMs, entriesMax });
    const hot = Array.from({ length: 10 }, (_, index) => read(`hot-${index}`));
    const truth = new Map<ChunkId, { reads: number; atMs: number }>();
    const trueReads = (id: ChunkId, nowMs: number): number => {
      const known = truth.get(id);
      return known ? known.reads * 2 ** ((known.atMs - nowMs) / halfLifeMs) : 0;
    };
    for (let nowMs = 0; nowMs < 20_000; nowMs++) {
      // Mostly a long scan of chunks that are read once, and in between a few that many want.
      const favourite = hot[random.int(hot.length)];
      const chunk = random.next() < 0.2 && favourite ? favourite : read(`once-${nowMs}`);
      truth.set(chunk.id, { reads: trueReads(chunk.id, nowMs) + 1, atMs: nowMs });
      expect(popularity.note(chunk, nowMs)).toBeLessThanOrEqual(trueReads(chunk.id, nowMs) + 1e-6);
      expect(popularity.size).toBeLessThanOrEqual(entriesMax);
    }
    for (const { id } of hot) expect(popularity.readsOf(id, 20_000)).toBeGreaterThan(trueReads(id, 20_000) * 0.9);
    const named = popularity.readAtLeast(readsForCopy, 20_000).map(({ chunk }) => chunk.id);
    expect(named.sort()).toEqual(hot.map(({ id }) => id).sort());
  });
});

describe("extra copies", () => {
  test("are earned by reads, one more for each doubling, and kept until hardly anybody reads", () => {
    const table: readonly (readonly [reads: number, extras: number, wanted: number])[] = [
      ...([
        [0, 0, 0],
        [readsForCopy - 0.1, 0, 0],
        [readsForCopy, 0, 1],
        [2 * readsForCopy - 0.1, 0, 1],
      ] as const),
      ...([
        [2 * readsForCopy, 0, 2],
        [1e9, 0, extraCopiesMax],
        [1e9, 9, extraCopiesMax],
      ] as const),
      ...([
        [readsToKeep, 1, 1],
        [readsToKeep, 2, 2],
        [readsToKeep, 5, extraCopiesMax],
        [readsToKeep - 0.1, 2, 0],
      ] as const),
    ];
    for (const [reads, extras, wanted] of table)
      expect([reads, extras, extraCopiesFor({ reads, extras })]).toEqual([reads, extras, wanted]);
  });

  test("settle: what was made for a number of reads is not removed for it", () => {
    for (let reads = 0; reads < 100; reads += 0.5) {
      for (let extras = 0; extras <= extraCopiesMax; extras++) {
        const wanted = extraCopiesFor({ reads, extras });
        expect(wanted).toBeLessThanOrEqual(extraCopiesMax);
        expect(extraCopiesFor({ reads, extras: wanted })).toBe(wanted);
      }
    }
  });
});

const node = (name: string, { freeBytes = 100, latencyMs = 0, member = alice, state = "alive" as NodeState } = {}): StorageNode => {
  const [own] = ownNodes(member, [{ name: `${name}@home.collective.local` as GlobalName, state, freeBytes, latencyMs }]);
  if (!own) throw new Error("no node");
  return own;
};
const short = (names: readonly GlobalName[]) => names.map((name) => name.split("@")[0]);

describe("copies that are too many", () => {
  test("go from far nodes first, then from full ones, and never so that a policy lacks a member", () => {
    const nodes = [
      node("full", { freeBytes: 1 }),
      node("far", { latencyMs: 80 }),
      node("near"),
      node("other", { freeBytes: 0, member: bob }),
    ];
    const release = (copies: number, minMembers = 1) => short(copiesToRelease(nodes, { copies, minMembers }).dropped);
    expect(release(4)).toEqual([]);
    expect(release(9)).toEqual([]);
    expect(release(3)).toEqual(["far"]);
    expect(release(2)).toEqual(["far", "other"]);
    expect(release(2, 2)).toEqual(["far", "full"]);
    expect(release(1, 2)).toEqual(["far", "full"]);
    expect(release(1, 3)).toEqual(["far", "full"]);
  });

  test(`leave as many as are wanted, each once (SEED=${seed})`, () => {
    const random = createSeededRandom(seed);
    for (let i = 0; i < 500; i++) {
      const members = [alice, bob];
      const nodes = Array.from({ length: random.int(7) }, (_, index) =>
        node(`n${index}`, { freeBytes: random.int(5), latencyMs: random.int(50), member: members[random.int(2)] ?? alice }),
      );
      const [copies, minMembers] = [random.int(6), 1 + random.int(2)];
      const { dropped, kept } = copiesToRelease(nodes, { copies, minMembers });
      expect([...dropped, ...kept].sort()).toEqual(nodes.map(({ name }) => name).sort());
      expect(kept.length).toBeGreaterThanOrEqual(Math.min(copies, nodes.length));
      const membersOf = (names: readonly GlobalName[]) =>
        new Set(nodes.filter(({ name }) => names.includes(name)).map((n) => n.member)).size;
      expect(membersOf(kept)).toBeGreaterThanOrEqual(kept.length === 0 ? 0 : Math.min(minMembers, membersOf([...kept, ...dropped])));
    }
  });
});

describe("readers try", () => {
  test("nodes that are alive first, among them the nearest; a suspect one is better than a dead one", () => {
    const nodes = [
      node("dead", { state: "dead" }),
      node("far", { latencyMs: 50 }),
      node("suspect", { state: "suspect" }),
      node("near", { latencyMs: 1 }),
      node("further", { latencyMs: 500 }),
    ];
    for (let turn = 0; turn < 5; turn++) {
      expect(short(readOrder(chunkId("a"), nodes, turn))).toEqual(["near", "far", "further", "suspect", "dead"]);
    }
    expect(readOrder(chunkId("a"), [])).toEqual([]);
  });

  test("those at home before those at other members, however far, as long as they are alive", () => {
    const nodes = [
      { ...node("lent", { latencyMs: 0 }), isElsewhere: true },
      node("suspect", { state: "suspect" }),
      { ...node("gone", { state: "dead" }), isElsewhere: true },
      node("dead", { state: "dead" }),
      node("far", { latencyMs: 500 }),
    ];
    expect(short(readOrder(chunkId("a"), nodes))).toEqual(["far", "lent", "suspect", "dead", "gone"]);
  });

  test("equally near ones in turns: by the chunk, and by reader where many want it", () => {
    const nodes = [node("n1", { latencyMs: 1 }), node("n2", { latencyMs: 3 }), node("n3")];
    const firsts = (orders: readonly GlobalName[][]) => {
      const counts = new Map<string, number>();
      for (const [first] of orders) counts.set(String(first), (counts.get(String(first)) ?? 0) + 1);
      return [...counts.values()].sort((a, b) => a - b);
    };
    const byChunk = firsts(Array.from({ length: 300 }, (_, index) => readOrder(chunkId(`chunk-${index}`), nodes)));
    expect(byChunk).toHaveLength(3);
    expect(byChunk[0]).toBeGreaterThan(60);
    expect(readOrder(chunkId("a"), nodes)).toEqual(readOrder(chunkId("a"), nodes));
    expect(firsts([0, 1, 2].map((turn) => readOrder(chunkId("a"), nodes, turn)))).toEqual([1, 1, 1]);
  });
});
