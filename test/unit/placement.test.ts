import { describe, expect, test } from "bun:test";
import { type ChunkId, chunkIdFromBytes, type GlobalName } from "../../protocol/ids.ts";
import { nodeStates, strategies } from "../../protocol/schema.ts";
import type { StorageNode } from "../../src/cluster/candidates.ts";
import { chooseNodes, type PlacementRequest } from "../../src/cluster/placement.ts";
import { type PlacementPolicy, sharesOf } from "../../src/cluster/shares.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import { home, nodesAt, policyOf } from "../support/filling.ts";

const gib = 2 ** 30;
const mib = 2 ** 20;
const bob = "bob@garage.collective.local" as GlobalName;
const carol = "carol@office.collective.local" as GlobalName;

function nodeName(index: number): GlobalName {
  return `node-${String(index).padStart(2, "0")}@home.collective.local` as GlobalName;
}

function nodesOf(...freeBytes: number[]): StorageNode[] {
  return nodesAt(home, freeBytes);
}

function chunks(count: number, seed = 1): ChunkId[] {
  const random = createSeededRandom(seed);
  return Array.from({ length: count }, () => chunkIdFromBytes(random.bytes(32)));
}

const [anyChunk] = chunks(1) as [ChunkId];

interface Given extends Partial<Omit<PlacementRequest, "policy">>, Partial<PlacementPolicy> {}

function ask({ strategy = "hybrid", replicas = 2, minMembers = 1, ...request }: Given) {
  const policy = { strategy, replicas, minMembers };
  return chooseNodes({ chunk: anyChunk, storedBytes: 4 * mib, policy, home, nodes: [], copies: [], exclude: new Set(), ...request });
}

function place(given: Given): readonly GlobalName[] {
  return ask(given).nodes;
}

function stored(...nodes: (GlobalName | undefined)[]): PlacementRequest["copies"] {
  return nodes.flatMap((node) => (node === undefined ? [] : [{ node, state: "stored" as const }]));
}

describe("a chunk's nodes", () => {
  test("are as many as copies are lacking, each another one", () => {
    const nodes = nodesOf(gib, gib, gib, gib, gib);
    for (const chunk of chunks(200)) {
      for (const replicas of [1, 2, 3, 5]) expect(new Set(place({ chunk, nodes, replicas })).size).toBe(replicas);
      expect(place({ chunk, nodes, replicas: 9 })).toHaveLength(5);
    }
    expect(place({ nodes: [] })).toEqual([]);
  });

  test("are alive, have room and are not excluded", () => {
    const inEachState = nodeStates.flatMap((state, index) => nodesAt(home, [gib], { name: nodeName(index), state }));
    expect(place({ nodes: inEachState, replicas: 4 })).toEqual([nodeName(nodeStates.indexOf("alive"))]);
    const nodes = nodesOf(gib, 99, 100, 0);
    expect(new Set(place({ nodes, storedBytes: 100, replicas: 4 }))).toEqual(new Set([nodeName(1), nodeName(3)]));
    const exclude = new Set([nodeName(1)]);
    expect(place({ nodes, storedBytes: 100, replicas: 4, exclude })).toEqual([nodeName(3)]);
    expect(place({ nodes, storedBytes: 100, exclude: new Set([nodeName(1), nodeName(3)]) })).toEqual([]);
  });

  test("take account of the copies that exist", () => {
    const nodes = nodesOf(gib, gib, gib, gib);
    const [one, two, three, four] = nodes.map((node) => node.name);
    expect(place({ nodes, copies: stored(one, two) })).toEqual([]);
    for (const chunk of chunks(50)) {
      const second = place({ chunk, nodes, copies: stored(one) });
      expect(second).toHaveLength(1);
      expect(second).not.toContain(one as GlobalName);
      // What is being deleted does not count and may take a new copy with it.
      const deleting = place({ chunk, nodes, replicas: 3, copies: [{ node: nodeName(1), state: "deleting" }] });
      expect(new Set<GlobalName | undefined>(deleting)).toEqual(new Set([two, three, four]));
      // An offer may have come to nothing, a damaged copy can be written anew.
      const unsure: PlacementRequest["copies"] = [
        { node: nodeName(1), state: "offered" },
        { node: nodeName(2), state: "damaged" },
      ];
      expect(place({ chunk, nodes, replicas: 4, copies: unsure })).toHaveLength(4);
    }
    const withoutOne = nodes.map((node) => (node.name === one ? { ...node, state: "dead" as const } : node));
    expect(place({ nodes: withoutOne, copies: stored(one) })).toHaveLength(2);
    // A node that has just failed this upload is not relied upon.
    expect(place({ nodes, exclude: new Set([nodeName(1)]), copies: stored(one) })).toHaveLength(2);
  });

  test("are any pair of nodes sooner or later, so that a repair reads from many", () => {
    const pairs = new Set(chunks(2_000).map((chunk) => place({ chunk, nodes: nodesOf(...Array.from({ length: 8 }, () => gib)) }).join()));
    expect(pairs.size).toBeGreaterThanOrEqual((8 * 7) / 2);
  });

  test("are by their shares: free space counts, and a node larger than all others has a copy of everything", () => {
    const count = 10_000;
    const cases: readonly (readonly [number, readonly number[], readonly number[]])[] = [
      [1, [1, 2, 3, 4, 10], [0.05, 0.1, 0.15, 0.2, 0.5]],
      [2, [3, 2, 1.5], [3 / 3.25, 2 / 3.25, 1.5 / 3.25]],
      [2, [10, 3, 2], [1, 0.6, 0.4]],
      [3, [9, 9, 2, 2, 4], [1, 1, 0.25, 0.25, 0.5]],
    ];
    for (const [replicas, free, shares] of cases) {
      const nodes = nodesOf(...free.map((factor) => factor * 100 * gib));
      const taken = new Map<GlobalName, number>();
      for (const chunk of chunks(count)) for (const node of place({ chunk, nodes, replicas })) taken.set(node, (taken.get(node) ?? 0) + 1);
      for (const [index, share] of shares.entries())
        expect((taken.get(nodeName(index + 1)) ?? 0) / count).toBeWithin(share - 0.02, share + 0.02);
    }
  });
});

describe("strategies, over several members", () => {
  const own = nodesAt(home, [gib, gib, gib]);
  const near = nodesAt(bob, [gib, gib], { latencyMs: 6 });
  const far = nodesAt(carol, [gib], { latencyMs: 60 });
  const nodes = [...own, ...near, ...far];
  const memberOf = new Map(nodes.map((node) => [node.name, node.member]));
  const membersOf = (names: readonly GlobalName[]): GlobalName[] => names.flatMap((name) => memberOf.get(name) ?? []);

  test("backup: at as many members as there are copies, then on as many nodes", () => {
    for (const chunk of chunks(300)) {
      expect(new Set(membersOf(place({ chunk, nodes, strategy: "backup", replicas: 2 }))).size).toBe(2);
      expect(new Set(membersOf(place({ chunk, nodes, strategy: "backup", replicas: 3 }))).size).toBe(3);
      const five = place({ chunk, nodes, strategy: "backup", replicas: 5 });
      expect(new Set(membersOf(five)).size).toBe(3);
      expect(new Set(five).size).toBe(5);
    }
  });

  test("backup: inside a member at as many sites as possible", () => {
    const elsewhere = nodesAt(home, [gib], { site: "barn.collective.local" as StorageNode["site"], name: nodeName(9) });
    for (const chunk of chunks(100)) {
      expect(place({ chunk, nodes: [...own, ...elsewhere], strategy: "backup" })).toContain(nodeName(9));
    }
  });

  test("hybrid: one copy at home, the others at as many other members as possible", () => {
    for (const chunk of chunks(300)) {
      for (const replicas of [2, 3]) {
        const members = membersOf(place({ chunk, nodes, replicas }));
        expect(members.filter((member) => member === home)).toHaveLength(1);
        expect(new Set(members).size).toBe(replicas);
      }
    }
    const others = new Set(chunks(300).flatMap((chunk) => membersOf(place({ chunk, nodes }))));
    expect(others).toEqual(new Set([home, bob, carol]));
  });

  test("media: at home while that wastes nothing elsewhere, then as near as possible", () => {
    for (const chunk of chunks(300)) {
      expect(new Set(membersOf(place({ chunk, nodes, strategy: "media" })))).toEqual(new Set([home]));
      const withoutOwn = [...near, ...far];
      expect(new Set(membersOf(place({ chunk, nodes: withoutOwn, strategy: "media" })))).toEqual(new Set([bob]));
      // The near ones are two: a third copy has to go further.
      expect(new Set(membersOf(place({ chunk, nodes: withoutOwn, strategy: "media", replicas: 3 })))).toEqual(new Set([bob, carol]));
    }
    // All that is left at home has to be paired with what is left at the other member.
    const mostAtBob = [...nodesAt(home, [5 * gib, gib]), ...nodesAt(bob, [6 * gib], { latencyMs: 6 })];
    for (const chunk of chunks(50))
      expect(place({ chunk, nodes: mostAtBob, strategy: "media" })).toContain("node-01@garage.collective.local" as GlobalName);
  });

  test("a near node is near, whether it takes 0.2 or 3 ms", () => {
    const [one, two] = nodesAt(home, [gib, gib]) as [StorageNode, StorageNode];
    const slower = [
      { ...one, latencyMs: 0.2 },
      { ...two, latencyMs: 3 },
    ];
    const used = new Set(chunks(100).flatMap((chunk) => place({ chunk, nodes: slower, strategy: "media", replicas: 1 })));
    expect(used.size).toBe(2);
  });

  test("min-members: at so many members when there are so many, and else it says what is lacking", () => {
    for (const strategy of strategies) {
      for (const chunk of chunks(100)) {
        for (const [replicas, minMembers] of [
          [2, 2],
          [3, 2],
          [3, 3],
          [4, 2],
          [4, 3],
        ] as const) {
          const answer = ask({ chunk, nodes, strategy, replicas, minMembers });
          expect(new Set(membersOf(answer.nodes)).size).toBeGreaterThanOrEqual(minMembers);
          expect(answer.nodes).toHaveLength(replicas);
          expect(answer.unmet).toEqual([]);
        }
      }
      expect(ask({ nodes: own, strategy, minMembers: 2 })).toMatchObject({ nodes: { length: 2 }, unmet: ["copies at 1 of 2 members"] });
    }
    // Media is as near as that allows.
    expect(new Set(membersOf(place({ nodes, strategy: "media", minMembers: 2 })))).toEqual(new Set([home, bob]));
    expect(ask({ nodes: nodesOf(gib), minMembers: 2 }).unmet).toEqual(["1 of 2 copies", "copies at 1 of 2 members"]);
    expect(ask({ nodes: nodesOf(gib), copies: stored(nodeName(1)) })).toEqual({ nodes: [], unmet: ["1 of 2 copies"] });
  });

  test("copies that exist count: the lacking ones go to other members", () => {
    const [at] = near;
    for (const strategy of ["backup", "hybrid"] as const) {
      for (const chunk of chunks(100)) {
        expect(membersOf(place({ chunk, nodes, strategy, replicas: 2, copies: stored(at?.name) }))).not.toContain(bob);
        expect(new Set(membersOf(place({ chunk, nodes, strategy, replicas: 3, copies: stored(at?.name) })))).toEqual(
          new Set([home, carol]),
        );
      }
    }
    // Of media the one that min-members still demands.
    expect(membersOf(place({ nodes, strategy: "media", minMembers: 2, copies: stored(own[0]?.name) }))).toEqual([bob]);
    expect(membersOf(place({ nodes, strategy: "media", copies: stored(own[0]?.name) }))).toEqual([home]);
  });

  test("a member never gets more than it allows", () => {
    const allowing = (memberFreeBytes: number): StorageNode[] => [...own.slice(0, 1), ...nodesAt(bob, [gib, gib], { memberFreeBytes })];
    for (const strategy of strategies) {
      for (const chunk of chunks(100)) {
        const atBob = (allowedBytes: number): number => {
          const names = place({ chunk, nodes: allowing(allowedBytes), strategy, replicas: 3, storedBytes: mib });
          return names.filter((name) => name.endsWith("garage.collective.local")).length;
        };
        expect(atBob(mib - 1)).toBe(0);
        expect(atBob(2 * mib - 1)).toBe(1);
        expect(atBob(2 * mib)).toBe(2);
      }
    }
  });
});

describe("whatever the nodes", () => {
  function anyNodes(random: Random): StorageNode[] {
    const state = () => (random.int(5) === 0 ? (nodeStates[random.int(nodeStates.length)] ?? "alive") : "alive");
    return [home, bob, carol].slice(0, 1 + random.int(3)).flatMap((member) => {
      const sizes = Array.from({ length: random.int(5) }, () => (random.int(4) === 0 ? random.int(200) : random.int(1e12)));
      const allowed = { memberFreeBytes: random.int(3) === 0 ? random.int(2_000) : Number.POSITIVE_INFINITY, latencyMs: random.int(100) };
      return nodesAt(member, sizes, allowed).map((node) => ({ ...node, state: state() }));
    });
  }

  test("no node twice, none without room, none excluded, as many as possible, and the same in any order", () => {
    const random = createSeededRandom(4);
    for (const chunk of chunks(3_000)) {
      const nodes = anyNodes(random);
      const strategy = strategies[random.int(3)] ?? "hybrid";
      const [replicas, minMembers, storedBytes] = [1 + random.int(5), 1 + random.int(3), 1 + random.int(150)];
      const copies = nodes.filter(() => random.int(6) === 0).map(({ name }) => ({ node: name, state: "stored" as const }));
      const exclude = new Set(nodes.filter(() => random.int(8) === 0).map(({ name }) => name));
      const request = { chunk, nodes, strategy, replicas, minMembers, storedBytes, copies, exclude };
      const chosen = place(request);

      const byName = new Map(nodes.map((node) => [node.name, node]));
      expect(new Set(chosen).size).toBe(chosen.length);
      for (const name of chosen) {
        expect(byName.get(name)).toMatchObject({ state: "alive" });
        expect(byName.get(name)?.freeBytes).toBeGreaterThanOrEqual(storedBytes);
        expect(exclude.has(name)).toBe(false);
        expect(copies.some(({ node }) => node === name)).toBe(false);
      }
      const possible = [...Map.groupBy(nodes, ({ member }) => member).values()].reduce((sum, ofMember) => {
        const open = ofMember.filter(
          ({ name, state, freeBytes }) =>
            state === "alive" && freeBytes >= storedBytes && !exclude.has(name) && !copies.some(({ node }) => node === name),
        );
        const allowed = Math.min(open.length, Math.floor((open[0]?.memberFreeBytes ?? 0) / storedBytes));
        expect(chosen.filter((name) => open.some((node) => node.name === name)).length).toBeLessThanOrEqual(allowed);
        return sum + allowed;
      }, 0);
      const counted = copies.filter(({ node }) => !exclude.has(node) && byName.get(node)?.state !== "dead").length;
      expect(chosen).toHaveLength(Math.max(0, Math.min(replicas - counted, possible)));

      const shuffled = [...nodes].sort((a, b) => Number(a.freeBytes % 7 > b.freeBytes % 7) - 0.5);
      expect(new Set(place({ ...request, nodes: shuffled }))).toEqual(new Set(chosen));
    }
  });

  test("shares are at most 1 and add up to the copies", () => {
    const random = createSeededRandom(5);
    for (let round = 0; round < 3_000; round++) {
      const nodes = anyNodes(random).filter((node) => node.freeBytes > 0);
      if (nodes.length === 0) continue;
      const copies = 1 + random.int(nodes.length);
      const policy = policyOf({ strategy: strategies[random.int(3)] ?? "hybrid", replicas: copies, minMembers: 1 + random.int(3) });
      const covered = nodes.slice(0, random.int(3));
      const shares = [...sharesOf(nodes, { policy, home, copies, covered }).values()];
      for (const share of shares) expect(share).toBeWithin(0, 1 + 1e-12);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(copies, 9);
    }
  });
});
