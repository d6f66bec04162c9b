/** Bounds how much of something is under way at once, in whatever unit `permits` has. First come, first served. */
import { CollectiveError } from "../../protocol/errors.ts";

export interface Limiter {
  readonly inUse: number;
  /** Runs `task` once `permits` are free; a request for more than all waits until it is alone. */
  run<T>(task: () => Promise<T>, options?: { readonly permits?: number; readonly signal?: AbortSignal | undefined }): Promise<T>;
}

interface Waiter {
  readonly permits: number;
  readonly grant: () => void;
}

export function createLimiter(permitsMax: number): Limiter {
  let inUse = 0;
  const queue: Waiter[] = [];
  const fits = (permits: number): boolean => inUse === 0 || inUse + permits <= permitsMax;
  const grantNext = (): void => {
    for (let next = queue[0]; next && fits(next.permits); next = queue[0]) {
      queue.shift();
      inUse += next.permits;
      next.grant();
    }
  };
  const acquire = (permits: number, signal: AbortSignal | undefined): Promise<void> => {
    if (queue.length === 0 && fits(permits)) {
      inUse += permits;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        permits,
        grant: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        const at = queue.indexOf(waiter);
        if (at >= 0) queue.splice(at, 1);
        // It may have been all that kept smaller ones waiting.
        grantNext();
        reject(new CollectiveError("cancelled", "cancelled while waiting"));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      queue.push(waiter);
    });
  };
  return {
    get inUse() {
      return inUse;
    },
    run: async (task, options = {}) => {
      const permits = options.permits ?? 1;
      if (options.signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
      await acquire(permits, options.signal);
      try {
        return await task();
      } finally {
        inUse -= permits;
        grantNext();
      }
    },
  };
}

/** Runs `task` over `items`, at most `concurrency` at once; the first failure stops what has not begun and is thrown. */
export async function forEachLimited<T>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  let failed = false;
  let failure: unknown;
  const running = new Set<Promise<void>>();
  try {
    for await (const item of items) {
      if (failed) break;
      const run = task(item)
        .catch((error: unknown) => {
          if (!failed) failure = error;
          failed = true;
        })
        .finally(() => running.delete(run));
      running.add(run);
      if (running.size >= concurrency) await Promise.race(running);
    }
  } finally {
    // Also when the items themselves come to a bad end: nothing goes on behind the caller's back.
    await Promise.all(running);
  }
  if (failed) throw failure;
}
