/** Leases on files: one client at a time keeps what it has closed in hand, and gives it up before another looks. */
import { expect, test } from "bun:test";
import { parseInode } from "../../protocol/ids.ts";
import { createLeases } from "../../src/coordinator/leases.ts";
import { handClock } from "../support/pki.ts";

const [file, other] = [parseInode(7), parseInode(8)];
const [ann, ben] = ["session-of-ann-x", "session-of-ben-x"];

function world() {
  const clock = handClock();
  let recalls = 0;
  const leases = createLeases({
    clock,
    onRecall: () => {
      recalls++;
    },
  });
  return { clock, leases, recalls: () => recalls };
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
}

test("nobody waits for files of which nobody has a lease, nor for its own", async () => {
  const { leases, recalls } = world();
  using _ = leases.watches(ann);
  expect(await leases.settle([file], ben)).toBe(false);
  expect(leases.grant(file, ann)).toBe(true);
  expect(await leases.settle([file, other], ann)).toBe(false);
  expect(await leases.settle([other], ben)).toBe(false);
  expect(recalls()).toBe(0);
});

test("a client that does not watch gets none", () => {
  const { leases } = world();
  expect(leases.grant(file, ann)).toBe(false);
  expect(leases.grant(file, undefined)).toBe(false);
});

test("who looks waits until the holder, told once, has yielded", async () => {
  const { leases, recalls } = world();
  using _ = leases.watches(ann);
  leases.grant(file, ann);
  const looks = [leases.settle([file], ben), leases.settle([file], undefined)];
  expect(recalls()).toBe(1);
  expect(leases.takeRecalled(ann)).toEqual([file]);
  expect(leases.takeRecalled(ann)).toEqual([]);
  expect(await isSettled(Promise.all(looks))).toBe(false);
  leases.yield([file], ben);
  expect(await isSettled(Promise.all(looks))).toBe(false);
  leases.yield([file], ann);
  expect(await Promise.all(looks)).toEqual([true, true]);
  expect(await leases.settle([file], ben)).toBe(false);
});

test("a holder that does not answer in time loses it", async () => {
  const { clock, leases } = world();
  using _ = leases.watches(ann);
  leases.grant(file, ann);
  const look = leases.settle([file], ben);
  expect(await isSettled(look)).toBe(false);
  clock.tick();
  expect(await look).toBe(true);
});

test("a holder that is gone loses it at once", async () => {
  const { clock, leases } = world();
  const watching = leases.watches(ann);
  leases.grant(file, ann);
  watching[Symbol.dispose]();
  clock.nowMs += 1_001;
  expect(await isSettled(leases.settle([file], ben))).toBe(true);
  expect(leases.grant(file, ann)).toBe(false);
});

test("a holder that opens the file again while it is recalled has to store what it closed, and gets no lease meanwhile", async () => {
  const { leases } = world();
  using _ = leases.watches(ann);
  leases.grant(file, ann);
  const look = leases.settle([file], ben);
  expect(leases.grant(file, ann)).toBe(false);
  expect(await isSettled(look)).toBe(false);
  leases.yield([file], ann);
  expect(await look).toBe(true);
  expect(leases.grant(file, ann)).toBe(true);
});

test("nobody gets the lease that another has", () => {
  const { leases } = world();
  using _ann = leases.watches(ann);
  using _ben = leases.watches(ben);
  expect(leases.grant(file, ann)).toBe(true);
  expect(leases.grant(file, ben)).toBe(false);
  expect(leases.grant(file, ann)).toBe(true);
});

test("nobody waits for a client that has said that it goes", async () => {
  const { leases } = world();
  using _ = leases.watches(ann);
  leases.grant(file, ann);
  const look = leases.settle([file], ben);
  leases.forget(ann);
  expect(await isSettled(look)).toBe(true);
  expect(leases.grant(file, ann)).toBe(false);
});
