/**
 * Locks that clients hold on files, in memory. A client that loses its session loses them; one that outlives a restart of this process
 * claims its own again, and until it has had time to, nobody gets a new one.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { lockedFilesPerSessionMax, lockGraceMs, sessionSilentMsMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import { createLockTable, createWaitGraph, type HeldLock, type LockChange, type LockTable } from "../core/lock-table.ts";

export interface LockPatience {
  /** Undefined where nobody waits. */
  readonly untilMs: number | undefined;
  /** Of whoever asks: nobody gets a lock who has gone. */
  readonly signal: AbortSignal;
}

export interface Locks {
  /** False when it could not be had until then; `locked` at once where nobody waits; `deadlock`. */
  set(inode: Inode, session: string, lock: LockChange, patience: LockPatience): Promise<boolean>;
  test(inode: Inode, session: string, lock: LockChange): HeldLock | undefined;
  /** What the client has already. False when some of it is in another's way: then it has none on the file any more. */
  claim(inode: Inode, session: string, held: readonly LockChange[]): boolean;
  release(session: string, inodes: readonly Inode[] | "all"): void;
  /** On which the client has some. */
  lockedBy(session: string): readonly Inode[];
  /** It shows that it is there. True until it is counted among the sessions of its caller, and again from time to time. */
  touch(session: string): boolean;
  noteCounted(session: string): void;
}

export interface LocksOptions {
  readonly clock: Clock;
  /** Clients were there before this process. */
  readonly hasSessions: boolean;
}

export function createLocks({ clock, hasSessions }: LocksOptions): Locks {
  const tables = new Map<Inode, LockTable>();
  const filesOf = new Map<string, Set<Inode>>();
  const waiting = new Set<() => void>();
  /** The longest silent first. */
  const sessions = new Map<string, { readonly touchedMs: number; readonly countedMs: number }>();
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
  const changed = (inode: Inode, session: string): void => {
    const table = tables.get(inode);
    if (table?.held.length === 0) tables.delete(inode);
    const files = filesOf.get(session) ?? new Set();
    if (table?.held.some(isOf(session))) filesOf.set(session, files.add(inode));
    else files.delete(inode);
    if (files.size === 0) filesOf.delete(session);
    wake();
  };
  const hasRoom = (session: string, inode: Inode): boolean => {
    const files = filesOf.get(session);
    return !files || files.has(inode) || files.size < lockedFilesPerSessionMax;
  };
  const untilChanged = async (monotonicMs: number, signal: AbortSignal): Promise<void> => {
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
    for (const inode of inodes === "all" ? [...(filesOf.get(session) ?? [])] : inodes) {
      tables.get(inode)?.release(isOf(session));
      changed(inode, session);
    }
  };
  const touch = (session: string): boolean => {
    const nowMs = clock.monotonicMs();
    const countedMs = sessions.get(session)?.countedMs ?? Number.NEGATIVE_INFINITY;
    const isDue = nowMs - countedMs > sessionSilentMsMax / 3;
    sessions.delete(session);
    sessions.set(session, { touchedMs: nowMs, countedMs });
    for (const [other, { touchedMs }] of sessions) {
      if (nowMs - touchedMs <= sessionSilentMsMax) break;
      sessions.delete(other);
      release(other, "all");
    }
    return isDue;
  };
  return {
    set: async (inode, session, given, { untilMs, signal }) => {
      const lock = ownedBy(session, given);
      touch(session);
      if (lock.type !== "none" && clock.monotonicMs() < graceEndsMs) await clock.sleep(graceEndsMs - clock.monotonicMs(), signal);
      for (;;) {
        if (lock.type !== "none" && signal.aborted) throw new CollectiveError("cancelled", "whoever asked for the lock has gone");
        const other = tables.get(inode)?.obstacle(lock);
        if (!other) {
          if (lock.type !== "none" && !hasRoom(session, inode))
            throw new CollectiveError("too_large", `one client has locks on at most ${lockedFilesPerSessionMax} files`);
          tableOf(inode).apply(lock);
          changed(inode, session);
          return true;
        }
        if (untilMs === undefined) throw new CollectiveError("locked", "somebody else has a lock there");
        if (lock.style === "posix" && graph.closesCircle(lock.owner, other.owner))
          throw new CollectiveError("deadlock", "each waits for the other");
        if (clock.monotonicMs() >= untilMs) return false;
        using _ = lock.style === "posix" ? graph.wait(lock.owner, other.owner) : undefined;
        await untilChanged(untilMs, signal);
      }
    },
    test: (inode, session, lock) => tables.get(inode)?.obstacle(ownedBy(session, lock)),
    claim: (inode, session, held) => {
      touch(session);
      const table = tableOf(inode);
      let isWhole = false;
      try {
        isWhole =
          (held.length === 0 || hasRoom(session, inode)) &&
          held.every((one) => {
            const lock = ownedBy(session, one);
            if (table.obstacle(lock)) return false;
            table.apply(lock);
            return true;
          });
      } finally {
        if (!isWhole) table.release(isOf(session));
        changed(inode, session);
      }
      return isWhole;
    },
    release,
    lockedBy: (session) => [...(filesOf.get(session) ?? [])],
    touch,
    noteCounted: (session) => {
      const nowMs = clock.monotonicMs();
      if (sessions.has(session)) sessions.set(session, { touchedMs: nowMs, countedMs: nowMs });
    },
  };
}
