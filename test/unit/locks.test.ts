/** Locks on files: which exclude which, who waits for whom, and what becomes of them when clients or the coordinator go. */
import { describe, expect, test } from "bun:test";
import { parseInode } from "../../protocol/ids.ts";
import { lockGraceMs, sessionSilentMsMax } from "../../protocol/limits.ts";
import { createLocks } from "../../src/coordinator/locks.ts";
import { createLockTable, type LockChange } from "../../src/core/lock-table.ts";
import { expectCode } from "../support/metadata.ts";
import { handClock } from "../support/pki.ts";

const lock = (owner: string, type: LockChange["type"], startByte = 0, endByte = Number.POSITIVE_INFINITY): LockChange => ({
  ...{ style: "posix", owner, type, startByte, endByte, pid: 1 },
});
const [file, other] = [parseInode(7), parseInode(8)];
const [ann, ben] = ["session-of-ann-x", "session-of-ben-x"];
const wait = { monotonicMs: Number.POSITIVE_INFINITY, signal: new AbortController().signal };

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
    expect(await locks.set(file, ann, lock("1", "write"), undefined)).toBe(true);
    await expectCode("locked", locks.set(file, ben, lock("1", "write"), undefined));
    expect(locks.test(file, ben, lock("1", "read"))).toMatchObject({ type: "write", pid: 1 });
    expect(locks.test(other, ben, lock("1", "read"))).toBeUndefined();
    const waiting = locks.set(file, ben, lock("1", "write"), wait);
    await locks.set(file, ann, lock("1", "none"), undefined);
    expect(await waiting).toBe(true);
    await expectCode("locked", locks.set(file, ann, lock("1", "read"), undefined));
  });

  test("answers who waits that it could not be had in time", async () => {
    const { clock, locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), undefined);
    const waiting = locks.set(file, ben, lock("1", "write"), { ...wait, monotonicMs: clock.nowMs + 10 });
    clock.nowMs += 10;
    clock.tick();
    expect(await waiting).toBe(false);
  });

  test("refuses whoever would close a circle of waiting", async () => {
    const { locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), undefined);
    await locks.set(other, ben, lock("1", "write"), undefined);
    const waiting = locks.set(other, ann, lock("1", "write"), wait);
    await expectCode("deadlock", locks.set(file, ben, lock("1", "write"), wait));
    locks.release(ben, "all");
    expect(await waiting).toBe(true);
  });

  test("frees what a client had that has not been heard of for too long", async () => {
    const { clock, locks } = locksOf();
    await locks.set(file, ann, lock("1", "write"), undefined);
    clock.nowMs += sessionSilentMsMax;
    await expectCode("locked", locks.set(file, ben, lock("1", "write"), undefined));
    clock.nowMs++;
    expect(await locks.set(file, ben, lock("1", "write"), undefined)).toBe(true);
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
    const asked = locks.set(file, ben, lock("1", "write"), undefined);
    expect(sleptMs).toBe(lockGraceMs);
    expect(locks.claim(file, ann, [lock("1", "write")])).toBe(true);
    clock.nowMs += lockGraceMs;
    sleeping.resolve();
    await expectCode("locked", asked);
  });
});
