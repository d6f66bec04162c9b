/** What grants add up to. Grants are written `GRANTER SUBJECT RIGHTS [until MS]`, the nearest directory first. */
import { describe, expect, test } from "bun:test";
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import { formatRights, matchesSubject, parseRights, parseSubjectPattern, type Right, rights } from "../../protocol/rights.ts";
import { heldRights, rightsInForce } from "../../src/coordinator/held-rights.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import type { AccessGrant } from "../../src/meta/people.ts";

const nowMs = 1_000;
const home = "home.collective.local";
const named = (name: string): GlobalName => (name.includes("@") ? name : `${name}@${home}`) as GlobalName;
const administrator = named("alice");

/** One list for each directory, from the one in question upward. */
function grantsOf(...levels: readonly (readonly string[])[]): AccessGrant[] {
  return levels.flatMap((level, height) =>
    level.map((line) => {
      const [granter = "", subject = "", granted = "", , untilMs] = line.split(" ");
      return {
        inode: (100 - height) as Inode,
        subject: parseSubjectPattern(named(subject)),
        rights: parseRights(granted),
        grantedBy: named(granter),
        grantedMs: 1,
        expiresMs: untilMs === undefined ? null : Number(untilMs),
      };
    }),
  );
}

/** `read+write until 2000`, the ends only where there are some. */
function held(person: string, grants: readonly AccessGrant[]): string {
  const found = heldRights({ person: named(person), administrator, grants, nowMs });
  const ends = [...found.values()].filter((end) => end !== Number.POSITIVE_INFINITY);
  return `${formatRights(found.keys())}${ends.length === 0 ? "" : ` until ${[...new Set(ends)].sort((a, b) => a - b).join(",")}`}`;
}

describe("rights", () => {
  const table: Readonly<Record<string, readonly [grants: AccessGrant[], person: string, expected: string]>> = {
    "are all the administrator's": [grantsOf([]), "alice", "read+write+delete+share"],
    "are not those of its namesake at another member": [grantsOf([]), "alice@garage.collective.local", ""],
    "are nobody's without a grant": [grantsOf(["alice dora read"]), "eve", ""],
    "are what was granted": [grantsOf(["alice dora read+write"]), "dora", "read+write"],
    "are inherited from above": [grantsOf([], ["alice dora read"]), "dora", "read"],
    "add up": [grantsOf(["alice dora write"], ["alice dora read"]), "dora", "read+write"],
    "are granted to patterns": [grantsOf([`alice *@${home} read`]), "dora", "read"],
    "are granted to patterns of sites": [grantsOf(["alice *@*.collective.local read"]), "bob@garage.collective.local", "read"],
    "end with the grant": [grantsOf(["alice dora read until 1001"]), "dora", "read until 1001"],
    "have ended when it says": [grantsOf(["alice dora read until 1000"]), "dora", ""],
    "end with the last of several grants": [
      grantsOf(["alice dora read until 1500", "alice dora read until 2000"]),
      "dora",
      "read until 2000",
    ],
    "hold for ever when one grant does": [grantsOf(["alice dora read until 1500"], ["alice dora read"]), "dora", "read"],
    "are passed on by whoever has share": [grantsOf(["alice dora read+share", "dora eve read"]), "eve", "read"],
    "are not passed on without share": [grantsOf(["alice dora read", "dora eve read"]), "eve", ""],
    "are not passed on by who has share and nothing else": [grantsOf(["alice dora share", "dora eve read"]), "eve", ""],
    "are passed on no further than they go": [grantsOf(["alice dora read+share", "dora eve read+write+delete"]), "eve", "read"],
    "are passed on for no longer": [grantsOf(["alice dora read+share until 1500", "dora eve read until 2000"]), "eve", "read until 1500"],
    "are passed on with share until share ends": [
      grantsOf(["alice dora read", "alice dora share until 1500", "dora eve read"]),
      "eve",
      "read until 1500",
    ],
    "are passed on over several": [grantsOf(["alice dora read+share", "dora eve read+share", "eve fred read"]), "fred", "read"],
    "are not passed on by who has none any more": [grantsOf(["dora eve read+share", "eve fred read"]), "fred", ""],
    "are passed on below where they were granted": [grantsOf(["dora eve read"], ["alice dora read+share"]), "eve", "read"],
    "are not passed on above where they were granted": [grantsOf(["alice dora read+share"], ["dora eve read"]), "eve", ""],
    "do not come from oneself": [grantsOf(["dora dora read+write+delete+share"]), "dora", ""],
    "do not grow in a circle": [grantsOf(["dora eve read+share", "eve dora read+share"]), "dora", ""],
    "do not last longer in a circle": [
      grantsOf(["alice dora read+share until 1500", "dora eve read+share", "eve dora read+share"]),
      "dora",
      "read+share until 1500",
    ],
    // eve may share because of dora, who may read because of eve.
    "may rest on each other crosswise": [
      grantsOf(["alice dora share", "alice eve read", "dora eve share", "eve dora read"]),
      "dora",
      "read+share",
    ],
  };
  for (const [what, [grants, person, expected]] of Object.entries(table)) test(what, () => expect(held(person, grants)).toBe(expected));

  test("of two who could only help each other do not begin", () => {
    const crossed = grantsOf(["dora eve read+share", "eve dora read+share", "alice eve write"]);
    expect(held("dora", crossed)).toBe("");
    expect(held("eve", crossed)).toBe("write");
  });

  test("of a grant are what it is worth now", () => {
    const grants = grantsOf(["alice dora read+share", "dora eve read+write", "alice fred read until 900"]);
    const worth = (index: number): string =>
      formatRights(rightsInForce(grants[index] as AccessGrant, { administrator, grants, nowMs }).keys());
    expect([worth(0), worth(1), worth(2)]).toEqual(["read+share", "read", ""]);
  });
});

describe("whatever is granted to whomever", () => {
  const people = ["alice", "dora", "eve", "fred", "bob@garage.collective.local"].map(named);
  const patterns = [...people, `*@${home}`, "*@*.collective.local"];
  const pick = <T>(random: Random, from: readonly T[]): T => from[random.int(from.length)] as T;

  function someGrants(random: Random): AccessGrant[] {
    const levels = Array.from({ length: 1 + random.int(3) }, () =>
      Array.from({ length: random.int(5) }, () => {
        const granted = rights.filter(() => random.int(2) === 0);
        const until = random.int(2) === 0 ? "" : ` until ${nowMs - 1 + random.int(5)}`;
        return `${pick(random, people)} ${pick(random, patterns)} ${formatRights(granted.length === 0 ? ["share"] : granted)}${until}`;
      }),
    );
    return grantsOf(...levels);
  }

  /** The same by brute force, for one moment: everything that follows from what is known, until nothing more does. */
  function holdsAt(grants: readonly AccessGrant[], atMs: number): (person: GlobalName, right: Right) => boolean {
    const known = new Set<string>();
    const holds = (person: GlobalName, right: Right, from: number): boolean =>
      person === administrator || grants.some((grant, at) => grant.inode <= from && known.has(`${at} ${right} ${person}`));
    for (let before = -1; before !== known.size; ) {
      before = known.size;
      for (const [at, { inode, subject, rights: granted, grantedBy, expiresMs }] of grants.entries()) {
        if ((expiresMs !== null && expiresMs <= atMs) || !holds(grantedBy, "share", inode)) continue;
        for (const right of granted.filter((one) => holds(grantedBy, one, inode))) {
          for (const person of people) if (matchesSubject(subject, person)) known.add(`${at} ${right} ${person}`);
        }
      }
    }
    return (person, right) => holds(person, right, Number.POSITIVE_INFINITY);
  }

  test("everybody has exactly what can be followed back to the administrator, for as long as that", () => {
    const random = createSeededRandom(20_260_418);
    let heldCount = 0;
    for (let round = 0; round < 2_000; round++) {
      const grants = someGrants(random);
      const found = new Map(people.map((person) => [person, heldRights({ person, administrator, grants, nowMs })]));
      for (let atMs = nowMs; atMs < nowMs + 5; atMs++) {
        const holds = holdsAt(grants, atMs);
        for (const person of people) {
          for (const right of rights) {
            const isHeld = (found.get(person)?.get(right) ?? 0) > atMs;
            if (isHeld !== holds(person, right))
              throw new Error(`round ${round}: ${person} ${right} at ${atMs}: ${JSON.stringify(grants)}`);
            if (isHeld && person !== administrator) heldCount++;
          }
        }
      }
    }
    expect(heldCount).toBeGreaterThan(10_000);
  });

  test("a grant less never gives anybody more", () => {
    const random = createSeededRandom(7);
    for (let round = 0; round < 500; round++) {
      const grants = someGrants(random);
      const gone = random.int(Math.max(1, grants.length));
      const fewer = grants.filter((_, index) => index !== gone);
      for (const person of people) {
        const before = heldRights({ person, administrator, grants, nowMs });
        for (const [right, untilMs] of heldRights({ person, administrator, grants: fewer, nowMs })) {
          expect(before.get(right) ?? 0).toBeGreaterThanOrEqual(untilMs);
        }
      }
    }
  });
});
