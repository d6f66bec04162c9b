/** What every composition root takes and gives. */

import type { Clock } from "../core/clock.ts";
import { isAnyHost } from "../core/config-values.ts";
import type { Log } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { Random } from "../core/random.ts";
import { formatHostPort, type HostPort } from "../core/units.ts";
import type { Health } from "../net/observability-server.ts";

export interface Surroundings {
  /** `$COLLECTIVE_HOME`. */
  readonly home: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How to run this same program once more. */
  readonly program: readonly string[];
}

export interface RunningRole {
  readonly name: string;
  /** Where others reach it. */
  readonly address: string;
  health(): Promise<Health>;
  /** Finishes what is under way. Idempotent. */
  stop(): Promise<void>;
}

/** What others are told: what was configured, or where it listens; a server on all interfaces is told as this machine. */
export function advertisedAddress(options: {
  readonly advertise: string | undefined;
  readonly listen: HostPort;
  readonly port: number;
}): string {
  if (options.advertise !== undefined) return options.advertise;
  const host = isAnyHost(options.listen) ? "127.0.0.1" : options.listen.host;
  return formatHostPort({ host, port: options.port });
}
