import { describe, expect, test } from "bun:test";
import type { GlobalName } from "../../protocol/ids.ts";
import { barrierTo, type Lending, pledgeLeft, refusalFor, shareLeft, shareOf, toldBytes } from "../../src/cluster/pledges.ts";
import { createSeededRandom } from "../../src/core/random.ts";

const gib = 2 ** 30;
const alice = "alice@home.collective.local" as GlobalName;
const bob = "bob@garage.collective.local" as GlobalName;

interface Figures {
  readonly lends?: number;
  readonly hosted?: number;
  readonly pledged?: number;
  readonly capacity?: number;
  readonly used?: number;
  readonly ratio?: number;
}

function lending({ lends = 10 * gib, hosted = 0, pledged = 10 * gib, capacity = 100 * gib, used = 0, ratio = 1 }: Figures = {}): Lending {
  return {
    host: { member: bob, pledgedBytes: lends, hostedBytes: hosted },
    owner: { member: alice, pledgedBytes: pledged, capacityBytes: capacity, usedBytes: used },
    giveToGet: ratio,
  };
}

describe("a limit says who, which and how much", () => {
  const table: readonly (readonly [string, Figures, number, string | undefined])[] = [
    ["there is room", {}, 10 * gib, undefined],
    ["the last byte fits", { used: 9 * gib, hosted: 9 * gib }, gib, undefined],
    ["nothing is lent", { lends: 0 }, 1, `${bob} lends nothing to others`],
    ["the host is full", { lends: gib, hosted: gib }, 1, `${bob} takes no more: 1.0 GiB used of the 1.0 GiB that it pledged to others`],
    [
      "the host is nearly full",
      { lends: gib, hosted: gib - 1 },
      2,
      `${bob} takes no 2 B more: 1.0 GiB used of the 1.0 GiB that it pledged to others`,
    ],
    ["the owner lends nothing", { pledged: 0 }, 1, `${alice} may store nothing at others: it lends them nothing`],
    [
      "the owner has its share",
      { pledged: 2 * gib, used: 2 * gib },
      1,
      `${alice} may store no more at others: 2.0 GiB used of the 2.0 GiB that it may (it pledged 2.0 GiB)`,
    ],
    [
      "a pledge without disks behind it",
      { pledged: 100 * gib, capacity: gib, used: gib },
      1,
      `${alice} may store no more at others: 1.0 GiB used of the 1.0 GiB that it may (it pledged 100 GiB, of which its nodes have 1.0 GiB)`,
    ],
    ["a ratio above one", { pledged: gib, used: gib, ratio: 2 }, gib, undefined],
    [
      "a ratio below one",
      { pledged: 2 * gib, used: gib, ratio: 0.5 },
      1,
      `${alice} may store no more at others: 1.0 GiB used of the 1.0 GiB that it may (it pledged 2.0 GiB)`,
    ],
    ["both limits, and the own one is named", { lends: 0, pledged: 0 }, 1, `${alice} may store nothing at others: it lends them nothing`],
  ];
  for (const [what, figures, neededBytes, limit] of table) {
    test(what, () => {
      const barrier = barrierTo(neededBytes, lending(figures));
      expect(barrier?.limit).toBe(limit as string);
      if (!barrier) return;
      expect(barrier.raise).toMatch(/collective federation pledge SIZE|add nodes/);
      expect(refusalFor(barrier)).toMatchObject({ code: "quota_exceeded", details: { neededBytes } });
    });
  }
});

test("whatever is granted, nobody keeps more than it pledged and nobody has more than its share", () => {
  const random = createSeededRandom(7);
  for (let round = 0; round < 50; round++) {
    const giveToGet = [0, 0.5, 1, 3][random.int(4)] ?? 1;
    const members = Array.from({ length: 2 + random.int(5) }, (_, index) => ({
      member: `m${index}@s${index}.collective.local` as GlobalName,
      pledgedBytes: random.int(2_000),
      capacityBytes: random.int(2_000),
      hostedBytes: 0,
      usedBytes: 0,
    }));
    for (let step = 0; step < 300; step++) {
      const [host, owner] = [members[random.int(members.length)], members[random.int(members.length)]];
      if (!host || !owner || host === owner) continue;
      const neededBytes = 1 + random.int(300);
      const before = { host: pledgeLeft(host), owner: shareLeft(owner, giveToGet) };
      const barrier = barrierTo(neededBytes, { host, owner, giveToGet });
      // A refusal is never for nothing.
      expect(barrier === undefined).toBe(neededBytes <= Math.min(before.host, before.owner));
      if (barrier) continue;
      host.hostedBytes += neededBytes;
      owner.usedBytes += neededBytes;
    }
    for (const one of members) {
      expect(one.hostedBytes).toBeLessThanOrEqual(one.pledgedBytes);
      expect(one.usedBytes).toBeLessThanOrEqual(shareOf(one, giveToGet));
      expect(one.usedBytes).toBeLessThanOrEqual(one.capacityBytes * giveToGet);
    }
  }
});

test("what is told of a use is never more than it is, little less, and seldom another", () => {
  const random = createSeededRandom(9);
  for (let i = 0; i < 2_000; i++) {
    const bytes = random.int(2 ** (1 + random.int(50)));
    const told = toldBytes(bytes);
    expect(told).toBeLessThanOrEqual(bytes);
    expect(told).toBeGreaterThan(bytes * (1 - 1 / 64) - 1);
    expect(toldBytes(told)).toBe(told);
  }
  const seen = new Set(Array.from({ length: 100_000 }, (_, index) => toldBytes(index * 1_000)));
  expect(seen.size).toBeLessThan(1_200);
});
