/**
 * Metrics and health over plain HTTP, on loopback unless the person says otherwise: no name of a person or a
 * file is in them. `/health/live` answers as long as the process does; `/health/ready` is 503 when the health
 * score says that it is of no use to anybody.
 */
import { Hono } from "hono";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";
import { type Metrics, metricsContentType } from "../core/metrics.ts";
import { formatHostPort, type HostPort } from "../core/units.ts";
import { listenError } from "./control-server.ts";
import { errorResponse } from "./respond.ts";

export interface Health {
  readonly health: "healthy" | "degraded" | "unhealthy";
  /** 0 to 100. */
  readonly healthScore: number;
  /** Worst first; empty when healthy. */
  readonly reasons: readonly string[];
}

export interface ObservabilityOptions extends HostPort {
  readonly metrics: Metrics;
  readonly health: () => Promise<Health>;
  readonly log: Log;
}

export interface ObservabilityServer {
  /** `host:port` */
  readonly address: string;
  stop(): Promise<void>;
}

const readyAboveScore = 30;

/** Throws `conflict` when the address is in use. */
export function startObservabilityServer(options: ObservabilityOptions): ObservabilityServer {
  const { metrics, health, log, host, port } = options;
  const app = new Hono();
  app.onError((error, c) => errorResponse(error, { log, path: c.req.path }));
  app.notFound((c) => c.text("see /metrics, /health, /health/live and /health/ready\n", 404));
  app.get("/metrics", async (c) => c.text(await metrics.text(), 200, { "content-type": metricsContentType }));
  app.get("/health", async (c) => {
    const { health: state, healthScore, reasons } = await health();
    return c.json({ health: state, score: healthScore, reasons });
  });
  app.get("/health/live", (c) => c.text("live\n"));
  app.get("/health/ready", async (c) => {
    const { healthScore, reasons } = await health();
    return healthScore > readyAboveScore ? c.text("ready\n") : c.text(`not ready: ${reasons.join("; ")}\n`, 503);
  });
  const server = serve({ host, port }, (request) => app.fetch(request));
  return {
    address: formatHostPort({ host, port: server.port ?? port }),
    stop: () => server.stop(true),
  };
}

function serve({ host, port }: HostPort, fetch: (request: Request) => Response | Promise<Response>): Bun.Server<undefined> {
  try {
    return Bun.serve({ hostname: host, port, fetch });
  } catch (error) {
    const failure = listenError(error, { host, port });
    throw new CollectiveError(failure.code, failure.message, {
      cause: error,
      hint: "choose another one with --metrics-address, or turn it off",
    });
  }
}
