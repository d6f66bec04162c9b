/** `fcntl` and `flock` locks of one file, as POSIX and Linux have them: ranges of owners, and waiters in the order they came. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { LockRange, LockRequest } from "../../src/vfs/file-system.ts";

export interface MemoryLocks {
  test(lock: LockRequest): LockRange | undefined;
  set(lock: LockRequest, options: { readonly wait: boolean; readonly signal: () => AbortSignal }): void | Promise<void>;
  release(style: LockRequest["style"], owner: bigint): void;
}

interface Waiter {
  readonly lock: LockRequest;
  readonly resolve: () => void;
}

/** Whom each owner waits for, over all files: a circle in it would wait for ever. */
export type WaitGraph = Map<bigint, bigint>;

export function createMemoryLocks(graph: WaitGraph): MemoryLocks {
  let held: LockRequest[] = [];
  let waiters: Waiter[] = [];

  const overlaps = (a: LockRange, b: LockRange): boolean => a.startByte <= b.endByte && b.startByte <= a.endByte;
  const obstacle = (lock: LockRequest): LockRequest | undefined =>
    held.find(
      (other) =>
        other.style === lock.style &&
        other.owner !== lock.owner &&
        overlaps(other, lock) &&
        (other.type === "write" || lock.type === "write"),
    );
  const take = (lock: LockRequest): void => {
    held = held.flatMap((other) => {
      if (other.style !== lock.style || other.owner !== lock.owner || !overlaps(other, lock)) return [other];
      const before = other.startByte < lock.startByte ? [{ ...other, endByte: lock.startByte - 1 }] : [];
      const after = other.endByte > lock.endByte ? [{ ...other, startByte: lock.endByte + 1 }] : [];
      return [...before, ...after];
    });
    if (lock.type !== "none") held.push(lock);
    wake();
  };
  const wake = (): void => {
    const ready = waiters.filter(({ lock }) => !obstacle(lock));
    waiters = waiters.filter((one) => !ready.includes(one));
    for (const { resolve } of ready) resolve();
  };
  const assertNoCircle = (owner: bigint, blocker: bigint): void => {
    for (let next: bigint | undefined = blocker; next !== undefined; next = graph.get(next)) {
      if (next === owner) throw new CollectiveError("deadlock", "each waits for the other");
    }
  };
  const waitFor = async (lock: LockRequest, signal: AbortSignal): Promise<void> => {
    for (let other = obstacle(lock); other; other = obstacle(lock)) {
      if (lock.style === "posix") {
        assertNoCircle(lock.owner, other.owner);
        graph.set(lock.owner, other.owner);
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiter = { lock, resolve };
      const onAbort = (): void => reject(signal.reason);
      waiters.push(waiter);
      signal.addEventListener("abort", onAbort);
      try {
        await promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
        waiters = waiters.filter((one) => one !== waiter);
        graph.delete(lock.owner);
      }
    }
    take(lock);
  };

  return {
    test: (lock) => {
      const other = obstacle(lock);
      return other && { type: other.type, startByte: other.startByte, endByte: other.endByte, pid: other.pid };
    },
    set: (lock, { wait, signal }) => {
      if (lock.type === "none" || !obstacle(lock)) return take(lock);
      if (!wait) throw new CollectiveError("locked", "somebody else has a lock there");
      // A lock that is changed is given back first: two that hold it to read and both want to write would wait for each other.
      if (lock.style === "flock") take({ ...lock, type: "none" });
      return waitFor(lock, signal());
    },
    release: (style, owner) => {
      held = held.filter((lock) => lock.style !== style || lock.owner !== owner);
      wake();
    },
  };
}
