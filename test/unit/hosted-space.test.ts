import { expect, test } from "bun:test";
import type { ChunkId, Site } from "../../protocol/ids.ts";
import { clockSkewMsMax, guestTicketLifetimeMs, nodeSuspectAfterMs } from "../../protocol/limits.ts";
import type { Guest, NodeSummary } from "../../protocol/schema.ts";
import { createHostedSpace } from "../../src/coordinator/hosted-space.ts";
import { nameAt } from "../support/member.ts";
import { chunkId } from "../support/metadata.ts";
import { garage, handClock } from "../support/pki.ts";

const office = "office.collective.local" as Site;
const [one, two] = [nameAt("node-01"), nameAt("node-02")];

function setUp(guests: Record<string, Guest[] | undefined> = { [one]: [], [two]: [] }) {
  const clock = handClock(0);
  const common = {
    address: "",
    capacityBytes: 1e9,
    freeBytes: 1e9,
    usedBytes: 0,
    chunkCount: 0,
    version: "",
    lastSeenMs: 0,
    state: "alive" as const,
  };
  const nodes = (): NodeSummary[] => [one, two].map((name) => ({ ...common, name, guests: guests[name] }));
  const hosted = createHostedSpace({ directory: { list: nodes }, clock });
  return {
    clock,
    hosted,
    of: (owner: Site) => hosted.bySite().get(owner) ?? 0,
    promise: (owner: Site, node: typeof one, chunks: Record<string, number>) =>
      hosted.promise(
        { owner, node },
        Object.entries(chunks).map(([text, storedBytes]) => ({ id: chunkId(text) as ChunkId, storedBytes })),
      ),
    report: (node: typeof one, site: Site, usedBytes: number) => {
      const others = (guests[node] ?? []).filter((guest) => guest.site !== site);
      guests[node] = [...others, { site, usedBytes, chunkCount: 1 }];
    },
  };
}

test("a promise counts until its chunk is reported, and then the chunk does", () => {
  const { of, promise, report } = setUp();
  promise(garage, one, { a: 100, b: 200 });
  promise(garage, two, { a: 100 });
  promise(office, one, { a: 50 });
  expect([of(garage), of(office)]).toEqual([400, 50]);
  report(one, garage, 100);
  expect([of(garage), of(office)]).toEqual([400, 50]);
  report(one, garage, 300);
  report(two, garage, 100);
  report(one, office, 50);
  expect([of(garage), of(office)]).toEqual([400, 50]);
  // What is deleted is free at once.
  report(one, garage, 0);
  expect(of(garage)).toBe(100);
});

test("chunks that arrive in another order than promised count once", () => {
  const { of, promise, report } = setUp();
  promise(garage, one, { large: 1_000, small: 10 });
  report(one, garage, 10);
  expect(of(garage)).toBeGreaterThanOrEqual(1_010);
  report(one, garage, 1_010);
  expect(of(garage)).toBe(1_010);
});

test("tickets that are kept for later count as long as they can be used", () => {
  const { clock, of, promise, hosted } = setUp();
  promise(garage, one, { a: 100 });
  clock.nowMs += guestTicketLifetimeMs + clockSkewMsMax - 1;
  promise(garage, one, { b: 100 });
  expect([of(garage), hosted.outstanding(garage)]).toEqual([200, 2]);
  clock.nowMs += 1;
  expect([of(garage), hosted.outstanding(garage)]).toEqual([100, 1]);
});

test("who asks again for the same chunk has it promised once", () => {
  const { of, promise } = setUp();
  promise(garage, one, { a: 100, b: 1 });
  promise(garage, one, { a: 100 });
  expect(of(garage)).toBe(101);
});

test("what nodes keep is not known before they have said it, unless they are silent", () => {
  const guests: Record<string, Guest[] | undefined> = { [one]: [], [two]: undefined };
  const { hosted, clock } = setUp(guests);
  expect(hosted.isKnown()).toBe(false);
  clock.nowMs += nodeSuspectAfterMs;
  expect(hosted.isKnown()).toBe(true);
  const told = setUp(guests);
  guests[two] = [];
  expect(told.hosted.isKnown()).toBe(true);
});
