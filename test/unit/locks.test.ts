/** Locks on files: which exclude which, who waits for whom, and what becomes of them when clients or the coordinator go. */
import { describe, expect, test } from "bun:test";
import { parseInode } from "../../protocol/ids.ts";
import { lockedFilesPerSessionMax, lockGraceMs, locksPerFileMax, sessionSilentMsMax } from "../../protocol/limits.ts";
import { createLocks } from "../../src/coordinator/locks.ts";
import { createLockTable, type LockChange } from "../../src/core/lock-table.ts";
import { expectCode } from "../support/metadata.ts";
import { handClock } from "../support/pki.ts";

const lock = (owner: string, type: LockChange["type"], startByte = 0, endByte = Number.POSITIVE_INFINITY): LockChange => ({
  ...{ style: "posix", owner, type, startByte, endByte, pid: 1 },
});
const [file, other] = [parseInode(7), parseInode(8)];
const [ann, ben] = ["session-of-ann-x", "session-of-ben-x"];
const { signal } = new AbortController();
const atOnce = { untilMs: undefined, signal };
const wait = { untilMs: Number.POSITIVE_INFINITY, signal };

describe("a table", () => {
  test("lets readers in together, and a writer alone, where their ranges meet", () => {
    const table = createLockTable();
    table.apply(lock("a", "read", 10, 19));
    expect(table.obstacle(lock("b", "read"))).toBeUndefined();
    expect(table.obstacle(lock("b", "write", 19, 19))?.owner).toBe("a");
    expect(table.obstacle(lock("b", "write", 20))).toBeUndefined();
    expect(table.obstacle(lock("a", "write"))).toBeUndefined();
    expect(table.obstacle({ ...lock("b", "write"), style: "flock" })).toBeUndefined();
    expect(table.obstacle(lock("b", "none"))).toBeUndefined();
  });

  test("splits what an owner has, changes a part and gives a part back", () => {
    const table = createLockTable();
    table.apply(lock("a", "read", 0, 99));
    table.apply(lock("a", "write", 40, 49));
    table.apply(lock("a", "none", 10, 19));
    const ranges = table.held.map(({ type, startByte, endByte }) => `${type} ${startByte}-${endByte}`);
    expect(ranges.sort()).toEqual(["read 0-9", "read 20-39", "read 50-99", "write 40-49"]);
    table.release(({ owner }) => owner === "a");
    expect(table.held).toEqual([]);
  });
});

describe("the coordinator", () => {
  const locksOf = (hasSessions = false) => {
    const clock = handClock();
    return { clock, locks: createLocks({ clock, hasSessions }) };
  };

  test("tells owners of different clients apart, and gives a lock to who waits as soon as it is free", async () => {
    const { locks } = locksOf();
    expect(await locks.set(file, ann, lock("1", "write"), atOnce)).toBe(true);
    await expectCode("locked", locks.set(file, ben, lock("1", "write"), atOnce));
    expect(locks.test(file, ben, lock("1", "read"))).toMatchObject({ type: "write", pid: 1 });
    expect(locks.test(other, ben, lock("1", "read"))).toBeUndefined();
    const waiting = locks.set(file, ben, lock("1", "write"), wait);
    await locks.set(file, ann, lock("1", "none"), atOnce);
    expect(await waiting).toBe(true);
    await expectCode("locked", locks.set(file, ann, lock("1", "read"), atOnce));
  });

  test("answers who waits that it could not be had in time", async () => {
    const { clock, locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), atOnce);
    const waiting = locks.set(file, ben, lock("1", "write"), { ...wait, untilMs: clock.nowMs + 10 });
    clock.nowMs += 10;
    clock.tick();
    expect(await waiting).toBe(false);
  });

  test("refuses whoever would close a circle of waiting", async () => {
    const { locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), atOnce);
    await locks.set(other, ben, lock("1", "write"), atOnce);
    const waiting = locks.set(other, ann, lock("1", "write"), wait);
    await expectCode("deadlock", locks.set(file, ben, lock("1", "write"), wait));
    locks.release(ben, "all");
    expect(await waiting).toBe(true);
  });

  test("frees what a client had that has not been heard of for too long", async () => {
    const { clock, locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), atOnce);
    clock.nowMs += sessionSilentMsMax;
    await expectCode("locked", locks.set(file, ben, lock("1", "write"), atOnce));
    clock.nowMs++;
    expect(await locks.set(file, ben, lock("1", "write"), atOnce)).toBe(true);
    expect(locks.claim(file, ann, [lock("1", "write")])).toBe(false);
  });

  test("that has just started lets clients claim what they had before anybody gets a new one", async () => {
    const { clock, locks } = locksOf(true);
    const sleeping = Promise.withResolvers<void>();
    let sleptMs = 0;
    clock.sleep = (ms) => {
      sleptMs = ms;
      return sleeping.promise;
    };
    const asked = locks.set(file, ben, lock("1", "write"), atOnce);
    expect(sleptMs).toBe(lockGraceMs);
    expect(locks.claim(file, ann, [lock("1", "write")])).toBe(true);
    clock.nowMs += lockGraceMs;
    sleeping.resolve();
    await expectCode("locked", asked);
  });

  test("gives no lock to who has gone, however it is asked for", async () => {
    const { clock, locks } = locksOf();
    const gone = AbortSignal.abort();
    for (const untilMs of [undefined, clock.nowMs + 10]) {
      await expectCode("cancelled", locks.set(file, ann, lock("1", "write"), { untilMs, signal: gone }));
    }
    const going = new AbortController();
    await locks.set(file, ann, lock("1", "write"), atOnce);
    const waiting = expectCode("cancelled", locks.set(file, ben, lock("1", "write"), { ...wait, signal: going.signal }));
    going.abort();
    await locks.set(file, ann, lock("1", "none"), { ...atOnce, signal: gone });
    await waiting;
    expect(locks.test(file, ann, lock("1", "write"))).toBeUndefined();
  });

  test("keeps nothing of what a client claims when some of it is another's", async () => {
    const { locks } = locksOf();
    await locks.set(file, ann, lock("1", "write", 0, 9), atOnce);
    expect(locks.claim(file, ben, [lock("1", "write", 10, 19), lock("1", "write", 5, 5)])).toBe(false);
    expect(locks.test(file, ann, lock("1", "write"))).toBeUndefined();
    expect(locks.lockedBy(ben)).toEqual([]);
  });

  test("has a limit to what one client locks, also by giving parts back and by claiming", async () => {
    const { locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), atOnce);
    for (let count = 1; count < locksPerFileMax; count++) {
      await locks.set(file, ann, lock("1", "none", 2 * count, 2 * count), atOnce);
    }
    await expectCode("too_large", locks.set(file, ann, lock("1", "none", 1_000_000, 1_000_000), atOnce));
    await expectCode("too_large", async () => locks.claim(file, ben, [{ ...lock("1", "write"), style: "flock" }]));
    expect(locks.lockedBy(ann)).toEqual([file]);
    for (let count = 1; count < lockedFilesPerSessionMax; count++) {
      await locks.set(parseInode(100 + count), ann, lock("1", "read"), atOnce);
    }
    await expectCode("too_large", locks.set(other, ann, lock("1", "read"), atOnce));
    expect(locks.claim(other, ann, [lock("1", "read")])).toBe(false);
    locks.release(ann, [file]);
    expect(await locks.set(other, ann, lock("1", "read"), atOnce)).toBe(true);
  });
});
