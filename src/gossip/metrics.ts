/** What gossip shows to Prometheus. */
import type { Metrics } from "../core/metrics.ts";
import type { GossipAgent } from "./agent.ts";
import { opinions } from "./state.ts";

export function registerGossipMetrics(metrics: Metrics, agent: Pick<GossipAgent, "snapshot">): void {
  metrics.gauge("collective_peers", "Other members known, by state.", {
    labels: ["state"],
    read: () => {
      const { members } = agent.snapshot();
      return opinions.map((state) => ({ labels: { state }, value: members.filter((member) => member.state === state).length }));
    },
  });
  metrics.gauge("collective_gossip_health", "Local health multiplier; 0 is well.", { read: () => [{ value: agent.snapshot().health }] });
  metrics.counted("collective_gossip_messages_total", "Gossip messages sent, requests and answers.", {
    labels: ["kind"],
    read: () => Object.entries(agent.snapshot().messagesSent).map(([kind, value]) => ({ labels: { kind }, value })),
  });
  metrics.counted("collective_gossip_bytes_total", "Bytes of gossip messages.", {
    labels: ["direction"],
    read: () => {
      const { bytesSent, bytesReceived } = agent.snapshot();
      return [
        { labels: { direction: "sent" }, value: bytesSent },
        { labels: { direction: "received" }, value: bytesReceived },
      ];
    },
  });
  metrics.counted("collective_gossip_rejected_total", "Statements of others left out: author not trusted, malformed, forged.", {
    labels: ["reason"],
    read: () => Object.entries(agent.snapshot().rejected).map(([reason, value]) => ({ labels: { reason }, value })),
  });
}
