/** What a mount does and how well it is, for whoever watches it. */
import type { Log } from "../../core/log.ts";
import { createMetrics } from "../../core/metrics.ts";
import type { HostPort } from "../../core/units.ts";
import { createStatistics, type Statistics } from "../../fuse/statistics.ts";
import { type Health, startObservabilityServer } from "../../net/observability-server.ts";
import type { CollectiveFileSystem } from "../../vfs/collective-file-system.ts";

export interface ObservedMount {
  readonly statistics: Statistics;
  /** `host:port` */
  readonly address: string;
  stop(): Promise<void>;
}

export interface ObservedMountOptions extends HostPort {
  readonly member: string;
  readonly log: Log;
}

/** Throws `conflict` when the address is in use. */
export function observeMount(fs: Pick<CollectiveFileSystem, "unsaved">, options: ObservedMountOptions): ObservedMount {
  const { member, log, host, port } = options;
  const metrics = createMetrics();
  metrics.setMember(member);
  metrics.gauge("collective_mount_unsaved_bytes", "Written and not stored yet.", { read: () => [{ value: fs.unsaved().bytes }] });
  metrics.gauge("collective_mount_failed_files", "Files that could not be stored and are tried again.", {
    read: () => [{ value: fs.unsaved().failed }],
  });
  const server = startObservabilityServer({ host, port, metrics, health: async () => healthOf(fs.unsaved().failed), log });
  return { statistics: createStatistics(metrics), address: server.address, stop: server.stop };
}

function healthOf(failedFiles: number): Health {
  if (failedFiles === 0) return { health: "healthy", healthScore: 100, reasons: [] };
  const files = failedFiles === 1 ? "1 file" : `${failedFiles} files`;
  return { health: "unhealthy", healthScore: 20, reasons: [`${files} could not be stored`] };
}
