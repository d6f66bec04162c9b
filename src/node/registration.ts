/**
 * A node's tie to its coordinator: a heartbeat every second, which also registers it. When the
 * coordinator is gone, or does not want it, the node serves on and keeps trying, with backoff.
 */
import { type CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { heartbeatIntervalMs } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Heartbeat, NodeTrust } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { retryDelayMs } from "../core/retry.ts";
import { clockSkewText } from "../net/clock-skew.ts";
import type { ControlClient } from "../net/control-client.ts";
import type { Withdrawals } from "./withdrawals.ts";

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
  readonly withdrawals: Pick<Withdrawals, "revision" | "replace">;
  readonly trust: {
    /** Of what is in force; undefined before the first. */
    readonly revision: string | undefined;
    replace(by: NodeTrust): void;
  };
  /** Takes the coordinator's current certificate, by whose key tickets are verified. */
  readonly onCoordinator: (certificatePem: string) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const heartbeatTimeoutMs = 5_000;
const backoff = { firstDelayMs: 250, delayMsMax: 5_000 };
/** Whoever was revoked is not let in again by asking. */
const refusedBackoff = { firstDelayMs: 5_000, delayMsMax: 60_000 };

export function startRegistration(options: RegistrationOptions): Registration {
  const { clock, log } = options;
  const stopping = new AbortController();
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => undefined);
  /** Of the last heartbeat; undefined after one that failed, for the next one may first have to connect. */
  let roundTripMs: number | undefined;
  let isConnected = false;
  const beat = async (): Promise<void> => {
    const revisions = { withdrawals: options.withdrawals.revision, trust: options.trust.revision };
    const heartbeat = { ...options.describe(), ...revisions, roundTripMs };
    const startedMs = clock.monotonicMs();
    const answer = await options.coordinator.call(routes.heartbeat, heartbeat, { signal: stopping.signal, timeoutMs: heartbeatTimeoutMs });
    roundTripMs = isConnected ? clock.monotonicMs() - startedMs : undefined;
    // Before the key by which tickets are verified, so that no ticket is believed that was taken back.
    if (answer.withdrawals) options.withdrawals.replace(answer.withdrawals);
    if (answer.trust) options.trust.replace(answer.trust);
    options.onCoordinator(answer.coordinatorCertificatePem);
    sayClock(clock.wallMs() - answer.nowMs);
  };
  let wrongClock = false;
  const sayClock = (skewMs: number): void => {
    const skew = clockSkewText(skewMs, "the coordinator");
    if (skew !== undefined && !wrongClock) log.warn(`the clock of this machine is ${skew}`);
    if (skew === undefined && wrongClock) log.info("the clock of this machine is right again");
    wrongClock = skew !== undefined;
  };
  const run = async (): Promise<void> => {
    let failures = 0;
    let trouble: Trouble | undefined;
    while (!stopping.signal.aborted) {
      try {
        await beat();
        if (failures > 0) log.info("coordinator is back", { failures });
        failures = 0;
        isConnected = true;
        trouble = undefined;
        first.resolve();
      } catch (error) {
        if (stopping.signal.aborted) return;
        const reason = toCollectiveError(error);
        isConnected = false;
        if (reason.code === "conflict") first.reject(reason);
        // Each trouble is said once, when it begins, and has its own patience.
        if (trouble !== troubleOf(reason)) {
          failures = 0;
          trouble = troubleOf(reason);
          sayTrouble(log, reason);
        }
        failures++;
      }
      const pause = trouble === "refused" ? refusedBackoff : backoff;
      const waitMs = failures === 0 ? heartbeatIntervalMs : retryDelayMs(pause, failures - 1, options.random);
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

type Trouble = "refused" | "taken" | "away";

function troubleOf({ code }: CollectiveError): Trouble {
  if (code === "not_authenticated") return "refused";
  return code === "conflict" ? "taken" : "away";
}

const troubleText: Readonly<Record<Trouble, string>> = {
  refused: "coordinator and node do not trust each other",
  taken: "coordinator refuses this node, trying on",
  away: "coordinator does not answer, trying on",
};

function sayTrouble(log: Log, reason: CollectiveError): void {
  const trouble = troubleOf(reason);
  log[trouble === "refused" ? "error" : "warn"](troubleText[trouble], { code: reason.code, error: reason.message });
}
