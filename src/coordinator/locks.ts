/**
 * Locks that clients hold on files, in memory. A client that loses its session loses them; one that outlives a restart of this process
 * claims its own again, and until it has had time to, nobody gets a new one.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { lockGraceMs, locksPerFileMax, sessionSilentMsMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import { createLockTable, createWaitGraph, type HeldLock, type LockChange, type LockTable } from "../core/lock-table.ts";

export interface LockWait {
  readonly monotonicMs: number;
  readonly signal: AbortSignal;
}

export interface Locks {
  /** False when it could not be had until then; `locked` at once where nobody waits; `deadlock`. */
  set(inode: Inode, session: string, lock: LockChange, wait: LockWait | undefined): Promise<boolean>;
  test(inode: Inode, session: string, lock: LockChange): HeldLock | undefined;
  /** What the client has already. Answers whether none of it was in another's way. */
  claim(inode: Inode, session: string, held: readonly LockChange[]): boolean;
  release(session: string, inodes: readonly Inode[] | "all"): void;
  /** It shows that it is there. */
  touch(session: string): void;
}

export interface LocksOptions {
  readonly clock: Clock;
  /** Clients were there before this process. */
  readonly hasSessions: boolean;
}

export function createLocks({ clock, hasSessions }: LocksOptions): Locks {
  const tables = new Map<Inode, LockTable>();
  const waiting = new Set<() => void>();
  const touchedMs = new Map<string, number>();
  const graph = createWaitGraph();
  const graceEndsMs = hasSessions ? clock.monotonicMs() + lockGraceMs : Number.NEGATIVE_INFINITY;
  const ownedBy = (session: string, lock: LockChange): LockChange => ({ ...lock, owner: `${session} ${lock.owner}` });
  const isOf = (session: string) => (lock: HeldLock) => lock.owner.startsWith(`${session} `);
  const tableOf = (inode: Inode): LockTable => {
    const table = tables.get(inode) ?? createLockTable();
    tables.set(inode, table);
    return table;
  };
  const wake = (): void => {
    for (const look of [...waiting]) look();
  };
  const changed = (inode: Inode): void => {
    if (tables.get(inode)?.held.length === 0) tables.delete(inode);
    wake();
  };
  const untilChanged = async ({ monotonicMs, signal }: LockWait): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = clock.every(Math.max(1, monotonicMs - clock.monotonicMs()), resolve);
    const look = (): void => resolve();
    waiting.add(look);
    signal.addEventListener("abort", look);
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", look);
      waiting.delete(look);
      timer[Symbol.dispose]();
    }
  };
  const release: Locks["release"] = (session, inodes) => {
    for (const inode of inodes === "all" ? [...tables.keys()] : inodes) {
      tables.get(inode)?.release(isOf(session));
      changed(inode);
    }
  };
  const touch = (session: string): void => {
    const nowMs = clock.monotonicMs();
    touchedMs.set(session, nowMs);
    for (const [other, ms] of touchedMs) {
      if (nowMs - ms <= sessionSilentMsMax) continue;
      touchedMs.delete(other);
      release(other, "all");
    }
  };
  return {
    set: async (inode, session, given, wait) => {
      const lock = ownedBy(session, given);
      touch(session);
      if (lock.type !== "none" && clock.monotonicMs() < graceEndsMs) await clock.sleep(graceEndsMs - clock.monotonicMs());
      for (;;) {
        const other = tables.get(inode)?.obstacle(lock);
        if (!other) {
          const table = tableOf(inode);
          if (lock.type !== "none" && table.held.length >= locksPerFileMax)
            throw new CollectiveError("too_large", `a file has at most ${locksPerFileMax} locks`);
          table.apply(lock);
          changed(inode);
          return true;
        }
        if (!wait) throw new CollectiveError("locked", "somebody else has a lock there");
        if (lock.style === "posix" && graph.closesCircle(lock.owner, other.owner))
          throw new CollectiveError("deadlock", "each waits for the other");
        if (wait.signal.aborted || clock.monotonicMs() >= wait.monotonicMs) return false;
        using _ = lock.style === "posix" ? graph.wait(lock.owner, other.owner) : undefined;
        await untilChanged(wait);
      }
    },
    test: (inode, session, lock) => tables.get(inode)?.obstacle(ownedBy(session, lock)),
    claim: (inode, session, held) => {
      touch(session);
      const table = tableOf(inode);
      let isWhole = true;
      for (const lock of held.map((one) => ownedBy(session, one))) {
        if (table.obstacle(lock)) isWhole = false;
        else table.apply(lock);
      }
      changed(inode);
      return isWhole;
    },
    release,
    touch,
  };
}
