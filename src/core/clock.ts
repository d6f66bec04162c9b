/** Time comes in through this interface; the real clock below is the only place that asks the system for it. */
import { CollectiveError } from "../../protocol/errors.ts";

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since 1970 by the machine's calendar; may jump. */
  wallMs(): number;
  /** Rejects with `cancelled` when the signal aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` every `ms` until disposed; does not keep the process alive. */
  every(ms: number, fn: () => void): Disposable;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise<void>((resolve, reject) => {
      const cancelled = () => new CollectiveError("cancelled", "cancelled while waiting");
      if (signal?.aborted) return reject(cancelled());
      const onAbort = () => {
        clearTimeout(timer);
        reject(cancelled());
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  every: (ms, fn) => {
    const timer = setInterval(fn, ms);
    timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};
