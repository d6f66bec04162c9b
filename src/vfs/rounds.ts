/** Work that can wait a moment, so that what comes within that time is done together. */
import type { Clock } from "../core/clock.ts";

export interface Rounds {
  /** That have not ended. */
  readonly tasks: number;
  /** In the next round, with all others of it. */
  join(task: () => Promise<void>): Promise<void>;
  /** What waits is not to wait any longer. */
  begin(): void;
}

export function createRounds(clock: Clock, intervalMs: number): Rounds {
  let next: PromiseWithResolvers<void> | undefined;
  let tasks = 0;
  const begin = (): void => {
    next?.resolve();
    next = undefined;
  };
  return {
    get tasks() {
      return tasks;
    },
    join: async (task) => {
      if (!next) {
        const round = Promise.withResolvers<void>();
        next = round;
        void clock.sleep(intervalMs).then(() => (round === next ? begin() : undefined));
      }
      tasks++;
      try {
        await next.promise;
        await task();
      } finally {
        tasks--;
      }
    },
    begin,
  };
}
