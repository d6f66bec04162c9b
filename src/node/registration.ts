/**
 * A node's tie to its coordinator: a heartbeat every second, which also registers it. When the
 * coordinator is gone, or does not want it, the node serves on and keeps trying, with backoff.
 */
import { type ErrorCode, toCollectiveError } from "../../protocol/errors.ts";
import { heartbeatIntervalMs } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Heartbeat } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { retryDelayMs } from "../core/retry.ts";
import type { ControlClient } from "../net/control-client.ts";

export interface Registration {
  /** Resolves at the first accepted heartbeat; rejects with `conflict` when another node has the name. */
  readonly registered: Promise<void>;
  /** Whether the last heartbeat was accepted. */
  isConnected(): boolean;
  stop(): Promise<void>;
}

export interface RegistrationOptions {
  readonly coordinator: ControlClient;
  readonly describe: () => Heartbeat;
  /** Takes the coordinator's current certificate, by whose key tickets are verified. */
  readonly onCoordinator: (certificatePem: string) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const heartbeatTimeoutMs = 5_000;
const backoff = { firstDelayMs: 250, delayMsMax: 5_000 };

export function startRegistration(options: RegistrationOptions): Registration {
  const { clock, log } = options;
  const stopping = new AbortController();
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => undefined);
  const beat = async (): Promise<void> => {
    const answer = await options.coordinator.call(routes.heartbeat, options.describe(), {
      signal: stopping.signal,
      timeoutMs: heartbeatTimeoutMs,
    });
    options.onCoordinator(answer.coordinatorCertificatePem);
  };
  let isConnected = false;
  const run = async (): Promise<void> => {
    let failures = 0;
    let lastCode: ErrorCode | undefined;
    while (!stopping.signal.aborted) {
      try {
        await beat();
        if (failures > 0) log.info("coordinator is back", { failures });
        failures = 0;
        isConnected = true;
        lastCode = undefined;
        first.resolve();
      } catch (error) {
        if (stopping.signal.aborted) return;
        const reason = toCollectiveError(error);
        if (reason.code === "conflict") first.reject(reason);
        const what = reason.retryable ? "coordinator does not answer, trying on" : "coordinator refuses this node, trying on";
        if (reason.code !== lastCode) log.warn(what, { code: reason.code, error: reason.message });
        lastCode = reason.code;
        failures++;
        isConnected = false;
      }
      const waitMs = failures === 0 ? heartbeatIntervalMs : retryDelayMs(backoff, failures - 1, options.random);
      await clock.sleep(waitMs, stopping.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    registered: first.promise,
    isConnected: () => isConnected,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
