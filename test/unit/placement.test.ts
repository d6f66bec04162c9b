import { describe, expect, test } from "bun:test";
import { type ChunkId, chunkIdFromBytes, type GlobalName } from "../../protocol/ids.ts";
import { nodeStates } from "../../protocol/schema.ts";
import { chooseNodes, type PlacementNode, type PlacementRequest } from "../../src/cluster/placement.ts";
import { usableBytes } from "../../src/cluster/usable.ts";
import { createSeededRandom } from "../../src/core/random.ts";

const gib = 2 ** 30;

function nodeName(index: number): GlobalName {
  return `node-${String(index).padStart(2, "0")}@home.collective.local` as GlobalName;
}

function nodesOf(...freeBytes: number[]): PlacementNode[] {
  return freeBytes.map((bytes, index) => ({ name: nodeName(index + 1), state: "alive", freeBytes: bytes }));
}

function chunks(count: number, seed = 1): ChunkId[] {
  const random = createSeededRandom(seed);
  return Array.from({ length: count }, () => chunkIdFromBytes(random.bytes(32)));
}

const [anyChunk] = chunks(1) as [ChunkId];

function place(request: Partial<PlacementRequest>): GlobalName[] {
  return chooseNodes({ chunk: anyChunk, storedBytes: 4 * 2 ** 20, replicas: 2, nodes: [], copies: [], exclude: new Set(), ...request });
}

describe("a chunk's nodes", () => {
  test("are as many as copies are lacking, each another one", () => {
    const nodes = nodesOf(gib, gib, gib, gib, gib);
    for (const chunk of chunks(200)) {
      for (const replicas of [1, 2, 3, 5]) {
        const chosen = place({ chunk, nodes, replicas });
        expect(new Set(chosen).size).toBe(replicas);
      }
      expect(place({ chunk, nodes, replicas: 9 })).toHaveLength(5);
    }
    expect(place({ nodes: [] })).toEqual([]);
  });

  test("are alive, have room and are not excluded", () => {
    const [alive, suspect, dead, draining] = nodeStates.map((state, index) => ({ name: nodeName(index), state, freeBytes: gib }));
    if (!alive || !suspect || !dead || !draining) throw new Error("a state is missing");
    expect(place({ nodes: [alive, suspect, dead, draining], replicas: 4 })).toEqual([alive.name]);
    const nodes = nodesOf(gib, 99, 100, 0);
    expect(new Set(place({ nodes, storedBytes: 100, replicas: 4 }))).toEqual(new Set([nodeName(1), nodeName(3)]));
    const exclude = new Set([nodeName(1)]);
    expect(place({ nodes, storedBytes: 100, replicas: 4, exclude })).toEqual([nodeName(3)]);
    expect(place({ nodes, storedBytes: 100, exclude: new Set([nodeName(1), nodeName(3)]) })).toEqual([]);
  });

  test("are the same whenever the same is asked, in whatever order nodes are listed", () => {
    const nodes = nodesOf(gib, 2 * gib, 3 * gib, 4 * gib);
    for (const chunk of chunks(100)) {
      const chosen = place({ chunk, nodes, replicas: 3 });
      expect(place({ chunk, nodes, replicas: 3 })).toEqual(chosen);
      expect(place({ chunk, nodes: [...nodes].reverse(), replicas: 3 })).toEqual(chosen);
      // Asking for more copies keeps the first ones where they are.
      expect(place({ chunk, nodes, replicas: 2 })).toEqual(chosen.slice(0, 2));
    }
  });

  test("take account of the copies that exist", () => {
    const nodes = nodesOf(gib, gib, gib, gib);
    const [one, two, three, four] = nodes.map((node) => node.name) as [GlobalName, GlobalName, GlobalName, GlobalName];
    expect(place({ nodes, copies: [one, two].map((node) => ({ node, state: "stored" })) })).toEqual([]);
    for (const chunk of chunks(50)) {
      expect(place({ chunk, nodes, copies: [{ node: one, state: "stored" }] })).not.toContain(one);
      expect(place({ chunk, nodes, copies: [{ node: one, state: "stored" }] })).toHaveLength(1);
      // What is being deleted does not count and may take a new copy with it.
      const deleting = place({ chunk, nodes, replicas: 3, copies: [{ node: one, state: "deleting" }] });
      expect(new Set(deleting)).toEqual(new Set([two, three, four]));
      // An offer may have come to nothing, a damaged copy can be written anew.
      expect(
        place({
          chunk,
          nodes,
          replicas: 4,
          copies: [
            { node: one, state: "offered" },
            { node: two, state: "damaged" },
          ],
        }),
      ).toHaveLength(4);
    }
    const withoutOne = nodes.map((node) => (node.name === one ? { ...node, state: "dead" as const } : node));
    expect(place({ nodes: withoutOne, copies: [{ node: one, state: "stored" }] })).toHaveLength(2);
    // A node that has just failed this upload is not relied upon.
    expect(place({ nodes, exclude: new Set([one]), copies: [{ node: one, state: "stored" }] })).toHaveLength(2);
  });
});

describe("over many chunks", () => {
  const count = 10_000;

  function shares(nodes: readonly PlacementNode[], replicas: number): Map<GlobalName, number> {
    const perNode = new Map<GlobalName, number>();
    for (const chunk of chunks(count)) {
      for (const node of place({ chunk, nodes, replicas })) perNode.set(node, (perNode.get(node) ?? 0) + 1);
    }
    return new Map([...perNode].map(([node, taken]) => [node, (100 * taken) / (count * replicas)]));
  }

  test("nodes fill in proportion to their free space", () => {
    const free = [1, 2, 3, 4, 10].map((factor) => factor * 100 * gib);
    const total = free.reduce((sum, bytes) => sum + bytes, 0);
    const taken = shares(nodesOf(...free), 1);
    for (const [index, bytes] of free.entries()) {
      expect(Math.abs((taken.get(nodeName(index + 1)) ?? 0) - (100 * bytes) / total)).toBeLessThan(5);
    }
    for (const share of shares(nodesOf(gib, gib, gib), 2).values()) expect(Math.abs(share - 100 / 3)).toBeLessThan(2);
  });

  test("a new node takes its share and moves nothing else", () => {
    const before = nodesOf(gib, gib, gib, gib);
    const after = nodesOf(gib, gib, gib, gib, gib);
    let moved = 0;
    for (const chunk of chunks(count)) {
      const [old, fresh] = [place({ chunk, nodes: before }), place({ chunk, nodes: after })];
      const added = fresh.filter((node) => !old.includes(node));
      expect(added.every((node) => node === nodeName(5))).toBe(true);
      moved += added.length;
    }
    expect(Math.abs((100 * moved) / (count * 2) - 20)).toBeLessThan(3);
  });

  test("a node that goes away moves only what it had", () => {
    const nodes = nodesOf(gib, gib, gib, gib);
    const without = nodes.slice(1);
    for (const chunk of chunks(2_000)) {
      const kept = place({ chunk, nodes }).filter((node) => node !== nodeName(1));
      expect(place({ chunk, nodes: without })).toEqual(expect.arrayContaining(kept));
    }
  });
});

describe("usable space", () => {
  test("is what fits with every copy on a node of its own", () => {
    expect(usableBytes([10, 10], 2)).toBe(10);
    expect(usableBytes([10, 100], 2)).toBe(10);
    expect(usableBytes([10, 10, 10], 2)).toBe(15);
    expect(usableBytes([100, 10, 10], 2)).toBe(20);
    expect(usableBytes([5, 6, 7], 1)).toBe(18);
    expect(usableBytes([5, 6, 7], 3)).toBe(5);
    expect(usableBytes([5, 6], 3)).toBe(0);
    expect(usableBytes([], 1)).toBe(0);
  });

  test("is never more than placing chunk by chunk really reaches", () => {
    const random = createSeededRandom(7);
    for (let round = 0; round < 50; round++) {
      const free = Array.from({ length: 2 + random.int(4) }, () => random.int(40));
      const replicas = 1 + random.int(free.length);
      // Filling the emptiest first is the best that can be done with pieces of 1.
      const rest = [...free];
      let placed = 0;
      for (;;) {
        const order = [...rest.keys()].sort((a, b) => (rest[b] ?? 0) - (rest[a] ?? 0)).slice(0, replicas);
        if (order.some((index) => (rest[index] ?? 0) < 1)) break;
        for (const index of order) rest[index] = (rest[index] ?? 0) - 1;
        placed++;
      }
      expect(usableBytes(free, replicas)).toBe(placed);
    }
  });
});
