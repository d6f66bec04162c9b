/** What a node shows to Prometheus, and how well it is. */
import type { GlobalName } from "../../protocol/ids.ts";
import type { ChunkStores } from "../chunk/stores.ts";
import type { Clock } from "../core/clock.ts";
import type { Metrics } from "../core/metrics.ts";
import type { Health } from "../net/observability-server.ts";
import type { Credentials } from "../pki/credentials.ts";

export interface ObservedNode {
  readonly member: GlobalName;
  readonly stores: Pick<ChunkStores, "usage" | "guests" | "unusable">;
  /** Whether its coordinator has answered the last heartbeat. */
  readonly isRegistered: () => boolean;
}

export function registerNodeMetrics(
  metrics: Metrics,
  { member, stores, credentials, clock }: ObservedNode & { readonly credentials: () => Credentials; readonly clock: Clock },
): void {
  metrics.setMember(member);
  metrics.gauge("collective_node_capacity_bytes", "What this node may store.", { read: () => [{ value: stores.usage().capacityBytes }] });
  metrics.gauge("collective_node_used_bytes", "What this node stores.", { read: () => [{ value: stores.usage().usedBytes }] });
  metrics.gauge("collective_node_free_bytes", "What can still be written: the rest of the capacity or of the disk.", {
    read: () => [{ value: stores.usage().freeBytes }],
  });
  metrics.gauge("collective_node_chunks", "Chunks stored.", { read: () => [{ value: stores.usage().chunkCount }] });
  metrics.gauge("collective_node_guest_bytes", "Of what this node stores, what it keeps for another member.", {
    labels: ["guest"],
    read: () => stores.guests().map(({ site, usedBytes }) => ({ labels: { guest: site }, value: usedBytes })),
  });
  metrics.gauge("collective_certificate_expiry_seconds", "Time until the certificate expires.", {
    labels: ["name"],
    read: () => {
      const { info, identity } = credentials();
      return [{ labels: { name: identity.name }, value: (info.notAfterMs - clock.wallMs()) / 1000 }];
    },
  });
}

/** Enough to be called ready. */
const servingScore = 40;

/** A node that is cut off from its coordinator still serves what it holds; a full one still reads, and one guest's trouble is not the others'. */
export function nodeHealth({ stores, isRegistered }: ObservedNode): Health {
  const { freeBytes, capacityBytes } = stores.usage();
  const reasons: string[] = [];
  if (!isRegistered()) reasons.push("the coordinator does not answer: what is stored is served, nothing new is placed here");
  if (freeBytes < capacityBytes / 100) reasons.push(`full: ${freeBytes} bytes are left`);
  if (stores.unusable().length > 0) reasons.push(`the chunks of ${stores.unusable().join(", ")} cannot be opened`);
  return { health: reasons.length === 0 ? "healthy" : "degraded", healthScore: Math.max(servingScore, 100 - 30 * reasons.length), reasons };
}
