import type { OwnPledge, PeerSummary } from "../../../protocol/federation-routes.ts";
import { rootInode } from "../../../protocol/ids.ts";
import { type RouteOutput, routes } from "../../../protocol/routes.ts";
import { type Command, jsonFlag } from "../command.ts";
import { printJson } from "../output/json.ts";
import { jsonPeerOfStatus } from "../output/peers.ts";
import { jsonOwnPledge } from "../output/pledges.ts";
import { renderStatus } from "../output/status.ts";
import { openSession, type Session } from "../session.ts";

const command: Command = {
  name: "status",
  description: "how the collective is: health and why, nodes, other members, datastores",
  flags: [{ name: "coordinator", description: "ask this one in place of the context's", valueHint: "HOST:PORT" }, jsonFlag],
  example: "collective status --json",
  run: async ({ io, given, on }) => {
    const session = await openSession(io, { coordinator: given("coordinator") });
    const status = await session.remote.control.call(routes.status, {}, { signal: io.signal });
    const { peers } = await session.remote.control.call(routes.listPeers, {}, { signal: io.signal });
    const pledge = await session.remote.control.call(routes.showPledge, {}, { signal: io.signal });
    const latencyMs = await measureLatency(session, () => io.clock.monotonicMs(), io.signal);
    if (on("json")) {
      printJson(jsonOf(status, { latencyMs, peers, pledge }), io.stdout);
      return;
    }
    const { stores } = await session.remote.control.call(routes.listStores, {}, { signal: io.signal });
    io.stdout.write(`${renderStatus({ status, peers, stores, latencyMs, nowMs: io.clock.wallMs() }, io.out)}\n`);
  },
};
export default command;

const latencySamples = 3;

/** The shortest of a few round trips on the connection that the first call has opened. */
async function measureLatency({ remote }: Session, nowMs: () => number, signal: AbortSignal): Promise<number> {
  let shortestMs = Number.POSITIVE_INFINITY;
  for (let sample = 0; sample < latencySamples; sample++) {
    const startedMs = nowMs();
    await remote.control.call(routes.getAttr, { inode: rootInode }, { signal });
    shortestMs = Math.min(shortestMs, nowMs() - startedMs);
  }
  return Math.round(shortestMs * 100) / 100;
}

/** The shape is part of the command-line contract. */
function jsonOf(
  status: RouteOutput<typeof routes.status>,
  { latencyMs, peers, pledge }: { readonly latencyMs: number; readonly peers: readonly PeerSummary[]; readonly pledge: OwnPledge },
): Record<string, unknown> {
  const { nodes, totals } = status;
  return {
    coordinator: {
      member: status.member,
      address: status.address,
      version: status.version,
      uptime_s: Math.floor(status.uptimeMs / 1000),
      health: status.health,
      health_score: status.healthScore,
      reasons: status.reasons,
      latency_ms: latencyMs,
    },
    local_nodes: nodes.map((node) => ({
      id: node.name,
      address: node.address,
      state: node.state,
      total_capacity: node.capacityBytes,
      used_capacity: node.usedBytes,
      chunk_count: node.chunkCount,
      last_seen: new Date(node.lastSeenMs).toISOString(),
    })),
    pledge: jsonOwnPledge(pledge),
    peers: peers.map(jsonPeerOfStatus),
    totals: {
      nodes: nodes.length,
      nodes_alive: nodes.filter((node) => node.state === "alive").length,
      capacity: nodes.reduce((sum, node) => sum + node.capacityBytes, 0),
      used: nodes.reduce((sum, node) => sum + node.usedBytes, 0),
      files: totals.files,
      chunks: totals.chunks,
      degraded_chunks: totals.degradedChunks,
      lost_chunks: totals.lostChunks,
      repair_queue: 0,
    },
  };
}
