import { describe, expect, test } from "bun:test";
import { type GlobalName, parseInode } from "../../protocol/ids.ts";
import { defaultStorePolicy, type StorePolicy } from "../../protocol/schema.ts";
import { usableShown } from "../../src/client/nodes-shown.ts";
import type { StorageNode } from "../../src/cluster/candidates.ts";
import { type UsableSpace, usableSpace } from "../../src/cluster/usable.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { bound, home, nodesAt } from "../support/filling.ts";

const gib = 2 ** 30;
const bob = "bob@garage.collective.local" as GlobalName;

function usable(nodes: readonly StorageNode[], policy: Partial<StorePolicy> = {}, logicalBytes = 0): UsableSpace {
  return usableSpace({ store: { policy: { ...defaultStorePolicy, ...policy }, logicalBytes }, home, nodes });
}

describe("what fits", () => {
  const cases: readonly (readonly [string, readonly number[], number, number])[] = [
    ["one copy takes all there is", [5, 3, 2], 1, 10],
    ["equal nodes share evenly", [10, 10, 10], 2, 15],
    ["a large node helps no further than the others together", [100, 3, 4], 2, 7],
    ["as many copies as nodes: the smallest decides", [10, 7, 3], 3, 3],
    ["fewer nodes than copies hold nothing", [10], 2, 0],
    ["two large nodes and three copies: the rest decides", [50, 50, 4, 3], 3, 7],
    ["nothing free", [0, 0], 2, 0],
    ["no nodes", [], 1, 0],
  ];
  test.each(cases)("%s", (_, free, replicas, expected) => {
    expect(usable(nodesAt(home, free), { replicas }).availableBytes).toBe(expected);
    expect(usable(nodesAt(home, [...free].reverse()), { replicas }).availableBytes).toBe(expected);
  });

  test("is the most that is possible, to the byte, and the same for each strategy at one member", () => {
    const random = createSeededRandom(7);
    for (let round = 0; round < 200; round++) {
      const free = Array.from({ length: 2 + random.int(6) }, () => random.int(1e12));
      const replicas = 1 + random.int(free.length);
      for (const strategy of ["media", "backup", "hybrid"] as const) {
        const difference = usable(nodesAt(home, free), { replicas, strategy }).availableBytes - bound(free, replicas);
        expect(Math.abs(difference)).toBeLessThanOrEqual(1);
      }
    }
  });

  test("at several members: as widely as the strategy spreads, then on what is left", () => {
    const nodes = [...nodesAt(home, [10, 10]), ...nodesAt(bob, [4])];
    // 4 at both members, then 8 on the nodes at home.
    expect(usable(nodes, { strategy: "backup" }).availableBytes).toBe(12);
    expect(usable(nodes, { strategy: "backup", minMembers: 2 }).availableBytes).toBe(4);
    expect(usable(nodes, { strategy: "media", minMembers: 2 }).availableBytes).toBe(4);
    expect(usable(nodesAt(bob, [10, 10], { memberFreeBytes: 6 })).availableBytes).toBe(3);
  });
});

describe("why, and what would raise it", () => {
  const cases: readonly (readonly [string, () => UsableSpace, readonly string[], readonly string[]])[] = [
    [
      "all space can be used",
      () => usable(nodesAt(home, [3 * gib, 2 * gib, 1.5 * gib])),
      ["all 6.5 GiB free on 3 nodes can be used, for 2 copies of everything"],
      ["add a node: each 1.0 GiB of it makes room for 512 MiB"],
    ],
    [
      "one node is too large for the others",
      () => usable(nodesAt(home, [2 * gib, 3 * gib, 10 * gib])),
      ["node-03 has 5.0 GiB that nothing can pair with"],
      ["add 5.0 GiB on other nodes"],
    ],
    [
      "two are, with three copies",
      () => usable(nodesAt(home, [9 * gib, 9 * gib, 2 * gib]), { replicas: 3 }),
      ["node-01 has 7.0 GiB that nothing can pair with", "node-02 has 7.0 GiB that nothing can pair with"],
      ["add 7.0 GiB on other nodes"],
    ],
    [
      "too few nodes",
      () => usable(nodesAt(home, [gib])),
      ["2 copies need 2 nodes, and one is alive"],
      ["add a node, or ask for fewer copies"],
    ],
    ["no node", () => usable([], { replicas: 1 }), ["one copy needs a node, and none is alive"], ["add a node"]],
    [
      "all are full",
      () => usable(nodesAt(home, [0, 0])),
      ["every node is full"],
      ["remove files, raise a node's --capacity, or add a node"],
    ],
    [
      "the quota is smaller",
      () => usable(nodesAt(home, [gib, gib]), { quotaBytes: 3 * 2 ** 20 }, 2 ** 20),
      [
        "the quota has 2.0 MiB left, the nodes have room for 1.0 GiB",
        "all 2.0 GiB free on 2 nodes can be used, for 2 copies of everything",
      ],
      ["raise the quota with: collective store set NAME --quota SIZE", "add a node: each 1.0 GiB of it makes room for 512 MiB"],
    ],
    [
      "a node is away, another is being emptied",
      () => {
        const [one, two, ...rest] = nodesAt(home, [gib, 2 * gib, gib, gib]) as [StorageNode, StorageNode, ...StorageNode[]];
        return usable([{ ...one, state: "dead" }, { ...two, state: "draining" }, ...rest]);
      },
      [
        "all 2.0 GiB free on 2 nodes can be used, for 2 copies of everything",
        "node-01 is dead: its 1.0 GiB free do not count",
        "node-02 is draining: its 2.0 GiB free do not count",
      ],
      ["add a node: each 1.0 GiB of it makes room for 512 MiB", "bring node-01 back"],
    ],
    [
      "another member has too little",
      () => usable([...nodesAt(home, [3 * gib, 3 * gib]), ...nodesAt(bob, [gib])], { minMembers: 2 }),
      ["node-01 has 2.5 GiB that nothing can pair with", "node-02 has 2.5 GiB that nothing can pair with"],
      ["add space at other members"],
    ],
    [
      "there is no other member",
      () => usable(nodesAt(home, [gib, gib]), { minMembers: 2 }),
      ["all 2.0 GiB free on 2 nodes can be used, for 2 copies of everything", "copies should be at 2 members, and only one has nodes"],
      ["add a node: each 1.0 GiB of it makes room for 512 MiB", "add nodes of another member"],
    ],
  ];
  test.each(cases)("%s", (_, space, limits, raise) => {
    expect(space()).toMatchObject({ limits, raise });
  });

  test("what it says to add really makes the large node usable whole", () => {
    const { raise } = usable(nodesAt(home, [2 * gib, 3 * gib, 10 * gib]));
    expect(raise).toEqual(["add 5.0 GiB on other nodes"]);
    expect(usable(nodesAt(home, [2 * gib, 3 * gib, 10 * gib, 5 * gib])).availableBytes).toBe(10 * gib);
    expect(usable(nodesAt(home, [9 * gib, 9 * gib, 2 * gib, 7 * gib]), { replicas: 3 }).availableBytes).toBe(9 * gib);
  });
});

test("who may not see the nodes, or how full the store is, is told nothing", () => {
  const unread = { files: null, logicalBytes: null, chunks: null, storedBytes: null, degradedChunks: null };
  const store = {
    ...unread,
    inode: parseInode(2),
    name: "s",
    owner: home,
    createdMs: 0,
    policy: { ...defaultStorePolicy, quotaBytes: gib },
  };
  expect(usableShown(store, home, undefined)).toBeUndefined();
  const none = { nodes: [], elsewhere: { nodes: [], limits: [] } };
  expect(usableShown(store, home, none)).toBeUndefined();
  expect(usableShown({ ...store, policy: defaultStorePolicy }, home, none)).toMatchObject({ availableBytes: 0 });
});
