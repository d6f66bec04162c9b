/** Two small ways of waiting for one's turn. Both are first come, first served. */
import { CollectiveError } from "../../protocol/errors.ts";

/** One at a time per key; different keys do not wait for each other. */
export interface KeyedTurns<K> {
  run<T>(key: K, fn: () => Promise<T>): Promise<T>;
  busy(key: K): boolean;
  /** Resolves when nothing is running or waiting. */
  idle(): Promise<void>;
}

export function createKeyedTurns<K>(): KeyedTurns<K> {
  const tails = new Map<K, Promise<unknown>>();
  return {
    run(key, fn) {
      const before = tails.get(key);
      const turn = before ? before.then(fn, fn) : fn();
      const tail = turn
        .catch(() => undefined)
        .then(() => {
          if (tails.get(key) === tail) tails.delete(key);
        });
      tails.set(key, tail);
      return turn;
    },
    busy: (key) => tails.has(key),
    async idle() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}

/** At most `runningMax` at once; beyond `waitingMax` more the caller is told `rate_limited`. */
export interface LimitedTurns {
  run<T>(fn: () => Promise<T>): Promise<T>;
}

export function createLimitedTurns(limits: { readonly runningMax: number; readonly waitingMax: number }): LimitedTurns {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async run(fn) {
      if (running >= limits.runningMax) {
        if (waiting.length >= limits.waitingMax)
          throw new CollectiveError("rate_limited", `${waiting.length} operations are waiting for the disk already`);
        // Whoever finishes hands its place over, so `running` stays as it is.
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else {
        running++;
      }
      try {
        return await fn();
      } finally {
        const next = waiting.shift();
        if (next) next();
        else running--;
      }
    },
  };
}
