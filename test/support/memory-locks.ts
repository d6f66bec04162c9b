/** `fcntl` and `flock` locks of one file of a file system in memory, with waiters in the order they came. */
import { CollectiveError } from "../../protocol/errors.ts";
import { createLockTable, type HeldLock, type LockChange, type WaitGraph } from "../../src/core/lock-table.ts";
import type { LockRange, LockRequest } from "../../src/vfs/file-system.ts";

export interface MemoryLocks {
  test(lock: LockRequest): LockRange | undefined;
  set(lock: LockRequest, options: { readonly wait: boolean; readonly signal: () => AbortSignal }): void | Promise<void>;
  release(style: LockRequest["style"], owner: bigint): void;
}

/** `graph` is of all files. */
export function createMemoryLocks(graph: WaitGraph): MemoryLocks {
  const table = createLockTable();
  let waiters: { readonly lock: LockChange; readonly resolve: () => void }[] = [];

  const wake = (): void => {
    const ready = waiters.filter(({ lock }) => !table.obstacle(lock));
    waiters = waiters.filter((one) => !ready.includes(one));
    for (const { resolve } of ready) resolve();
  };
  const take = (lock: LockChange): void => {
    table.apply(lock);
    wake();
  };
  const waitFor = async (lock: LockChange, signal: AbortSignal): Promise<void> => {
    for (let other = table.obstacle(lock); other; other = table.obstacle(lock)) {
      using _ = lock.style === "posix" ? waitingIn(graph, lock, other) : undefined;
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
      }
    }
    take(lock);
  };

  return {
    test: (lock) => table.obstacle(changeOf(lock)),
    set: (request, { wait, signal }) => {
      const lock = changeOf(request);
      if (!table.obstacle(lock)) return take(lock);
      if (!wait) throw new CollectiveError("locked", "somebody else has a lock there");
      // A lock that is changed is given back first: two that hold it to read and both want to write would wait for each other.
      if (lock.style === "flock") take({ ...lock, type: "none" });
      return waitFor(lock, signal());
    },
    release: (style, owner) => {
      table.release((lock) => lock.style === style && lock.owner === `${owner}`);
      wake();
    },
  };
}

function changeOf({ owner, ...lock }: LockRequest): LockChange {
  return { ...lock, owner: `${owner}` };
}

function waitingIn(graph: WaitGraph, { owner }: LockChange, other: HeldLock): Disposable {
  if (graph.closesCircle(owner, other.owner)) throw new CollectiveError("deadlock", "each waits for the other");
  return graph.wait(owner, other.owner);
}
