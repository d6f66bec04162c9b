/** What a node shows to Prometheus, and how well it is. */
import type { GlobalName } from "../../protocol/ids.ts";
import type { ChunkStore } from "../chunk/store.ts";
import type { Clock } from "../core/clock.ts";
import type { Metrics } from "../core/metrics.ts";
import type { Health } from "../net/observability-server.ts";
import type { Credentials } from "../pki/credentials.ts";

export interface ObservedNode {
  readonly member: GlobalName;
  readonly store: Pick<ChunkStore, "usage">;
  /** Whether its coordinator has answered the last heartbeat. */
  readonly isRegistered: () => boolean;
}

export function registerNodeMetrics(
  metrics: Metrics,
  { member, store, credentials, clock }: ObservedNode & { readonly credentials: () => Credentials; readonly clock: Clock },
): void {
  metrics.setMember(member);
  metrics.gauge("collective_node_capacity_bytes", "What this node may store.", { read: () => [{ value: store.usage().capacityBytes }] });
  metrics.gauge("collective_node_used_bytes", "What this node stores.", { read: () => [{ value: store.usage().usedBytes }] });
  metrics.gauge("collective_node_free_bytes", "What can still be written: the rest of the capacity or of the disk.", {
    read: () => [{ value: store.usage().freeBytes }],
  });
  metrics.gauge("collective_node_chunks", "Chunks stored.", { read: () => [{ value: store.usage().chunkCount }] });
  metrics.gauge("collective_certificate_expiry_seconds", "Time until the certificate expires.", {
    labels: ["name"],
    read: () => {
      const { info, identity } = credentials();
      return [{ labels: { name: identity.name }, value: (info.notAfterMs - clock.wallMs()) / 1000 }];
    },
  });
}

/** A node that is cut off from its coordinator still serves what it holds; a full one still reads. */
export function nodeHealth({ store, isRegistered }: ObservedNode): Health {
  const { freeBytes, capacityBytes } = store.usage();
  const reasons: string[] = [];
  if (!isRegistered()) reasons.push("the coordinator does not answer: what is stored is served, nothing new is placed here");
  if (freeBytes < capacityBytes / 100) reasons.push(`full: ${freeBytes} bytes are left`);
  return { health: reasons.length === 0 ? "healthy" : "degraded", healthScore: 100 - 30 * reasons.length, reasons };
}
