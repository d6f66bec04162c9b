/** What the mount does, for Prometheus. */
import type { Metrics } from "../core/metrics.ts";

export interface Statistics {
  /** `outcome` is `ok` or the name of an errno. */
  observe(operation: string, outcome: string, seconds: number): void;
}

export const noStatistics: Statistics = { observe() {} };

export function createStatistics(metrics: Metrics): Statistics {
  const operations = metrics.counter("collective_fuse_operations_total", "Requests of the kernel that were answered.", [
    "operation",
    "outcome",
  ]);
  const durations = metrics.histogram("collective_fuse_operation_seconds", "From a request of the kernel to its answer.", ["operation"]);
  const counters = new Map<string, (by?: number) => void>();
  const timers = new Map<string, (seconds: number) => void>();
  return {
    observe: (operation, outcome, seconds) => {
      const key = `${operation} ${outcome}`;
      const count = counters.get(key) ?? operations.with({ operation, outcome });
      counters.set(key, count);
      const time = timers.get(operation) ?? durations.with({ operation });
      timers.set(operation, time);
      count();
      time(seconds);
    },
  };
}
