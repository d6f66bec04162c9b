/** When to try again: exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter"). */
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

export interface RetryPolicy {
  readonly attemptsMax: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
}

/** Before attempt number `attempt + 1`, counted from 0: between half and all of the exponential delay. */
export function retryDelayMs(policy: Pick<RetryPolicy, "firstDelayMs" | "delayMsMax">, attempt: number, random: Random): number {
  const ceilingMs = Math.min(policy.delayMsMax, policy.firstDelayMs * 2 ** Math.min(attempt, 30));
  return ceilingMs * (0.5 + random.next() / 2);
}

export interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  readonly retryable: (error: unknown) => boolean;
}

/** Runs `attempt` until it succeeds, fails for good, or has been tried often enough; then its last error. */
export async function retry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (failures + 1 >= options.policy.attemptsMax || options.signal?.aborted || !options.retryable(error)) throw error;
      await options.clock.sleep(retryDelayMs(options.policy, failures, options.random), options.signal);
    }
  }
}
