/** What a coordinator shows to Prometheus; the names are those of the command line's contract. */
import { toCollectiveError } from "../../protocol/errors.ts";
import { type RouteName, routes } from "../../protocol/routes.ts";
import type { Clock } from "../core/clock.ts";
import type { Metrics } from "../core/metrics.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { observeHealth } from "./health.ts";
import type { CoordinatorService } from "./service.ts";

export function registerCoordinatorMetrics(metrics: Metrics, service: CoordinatorService): void {
  const { directory } = service;
  metrics.setMember(service.member);
  metrics.gauge("collective_cluster_health", "Health score, 0 to 100.", {
    read: async () => [{ value: (await observeHealth(service)).healthScore }],
  });
  metrics.gauge("collective_degraded_chunks", "Chunks with fewer copies than asked for.", {
    read: async () => [{ value: (await observeHealth(service)).totals.degradedChunks }],
  });
  metrics.gauge("collective_lost_chunks", "Chunks without any readable copy.", {
    read: async () => [{ value: (await observeHealth(service)).totals.lostChunks }],
  });
  metrics.gauge("collective_nodes_total", "Storage nodes known.", { read: () => [{ value: directory.list().length }] });
  metrics.gauge("collective_nodes_alive", "Storage nodes alive.", {
    read: () => [{ value: directory.list().filter((node) => node.state === "alive").length }],
  });
  metrics.gauge("collective_node_health", "1 alive, 0.5 suspect or draining, 0 dead.", {
    labels: ["node"],
    read: () => directory.list().map(({ name, state }) => ({ labels: { node: name }, value: nodeHealth[state] })),
  });
  metrics.gauge("collective_storage_capacity_bytes", "Capacity of all nodes.", {
    read: () => [{ value: sumOf(service, "capacityBytes") }],
  });
  metrics.gauge("collective_storage_used_bytes", "Bytes used on all nodes.", { read: () => [{ value: sumOf(service, "usedBytes") }] });
  metrics.counted("collective_invite_attempts_total", "Codes that were shown to the bootstrap port, by what came of it.", {
    labels: ["result"],
    read: () => Object.entries(service.redemptions).map(([result, value]) => ({ labels: { result }, value })),
  });
  metrics.gauge("collective_certificate_expiry_seconds", "Time until the certificate expires.", {
    labels: ["name"],
    read: () => {
      const { info, identity } = service.credentials();
      return [{ labels: { name: identity.name }, value: (info.notAfterMs - service.clock.wallMs()) / 1000 }];
    },
  });
}

const nodeHealth = { alive: 1, suspect: 0.5, draining: 0.5, dead: 0 } as const;

function sumOf({ directory }: CoordinatorService, field: "capacityBytes" | "usedBytes"): number {
  return directory.list().reduce((sum, node) => sum + node[field], 0);
}

/** The same handlers, counted and timed. */
export function observedHandlers(
  handlers: ControlHandlers,
  { metrics, clock }: { readonly metrics: Metrics; readonly clock: Clock },
): ControlHandlers {
  const operations = metrics.counter("collective_file_operations_total", "Operations on names and files, by result.", ["op", "result"]);
  const durations = metrics.histogram("collective_operation_duration_seconds", "Time to answer, by operation.", ["op"]);
  type Handler = (input: unknown, context: unknown) => Promise<unknown>;
  const observed = (op: RouteName, handler: Handler): Handler => {
    const isOnFiles = /^\/v1\/(?:fs|files|uploads)\//.test(routes[op].path);
    return async (input, context) => {
      const startedMs = clock.monotonicMs();
      let result = "ok";
      try {
        return await handler(input, context);
      } catch (error) {
        result = toCollectiveError(error).code;
        throw error;
      } finally {
        durations.observe({ op }, (clock.monotonicMs() - startedMs) / 1000);
        if (isOnFiles) operations.add({ op, result });
      }
    };
  };
  const wrapped = Object.entries(handlers).map(([op, handler]) => [op, observed(op as RouteName, handler as Handler)]);
  return Object.fromEntries(wrapped) as ControlHandlers;
}
