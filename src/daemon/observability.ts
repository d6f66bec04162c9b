/** Metrics and health of all roles of a process, at one address. */
import { toCollectiveError } from "../../protocol/errors.ts";
import type { ServeConfig } from "../core/config.ts";
import { type Health, type ObservabilityServer, startObservabilityServer } from "../net/observability-server.ts";
import type { RunningRole, Surroundings } from "./role.ts";

/** Undefined when it is turned off, or when nobody asked for the address and it is taken. Throws `conflict` when somebody did. */
export function startObservability(
  roles: readonly RunningRole[],
  config: Pick<ServeConfig, "metricsAddress" | "isMetricsAddressDefault">,
  { metrics, log }: Surroundings,
): ObservabilityServer | undefined {
  const { metricsAddress, isMetricsAddressDefault } = config;
  if (!metricsAddress) return undefined;
  const health = async (): Promise<Health> => worstOf(await Promise.all(roles.map((role) => role.health())));
  try {
    const server = startObservabilityServer({ ...metricsAddress, metrics, health, log: log.tagged("observability") });
    log.info("metrics and health are served", { address: server.address });
    return server;
  } catch (error) {
    if (!isMetricsAddressDefault) throw error;
    log.info("metrics and health are not served", { error: toCollectiveError(error).message, hint: "set --metrics-address" });
    return undefined;
  }
}

/** A process is as well as its worst role. */
function worstOf(healths: readonly Health[]): Health {
  const sorted = healths.toSorted((a, b) => a.healthScore - b.healthScore);
  const [worst] = sorted;
  return { health: worst?.health ?? "healthy", healthScore: worst?.healthScore ?? 100, reasons: sorted.flatMap((one) => one.reasons) };
}
