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
  return {
    observe: (operation, outcome, seconds) => {
      operations.add({ operation, outcome });
      durations.observe({ operation }, seconds);
    },
  };
}
