/** When a certificate is renewed, and what becomes of the attempts: at two thirds of its life, by whoever uses it. */
import { toCollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { lifeLeft, lifeMsOf } from "./certificate.ts";
import type { Credentials } from "./credentials.ts";

const renewBelowLife = 1 / 3;
/** Processes started together shall not renew together. */
const jitterLife = 1 / 20;
/** After an attempt, and between looks: so often that several attempts fail before the life ends. */
const attemptsPerLife = 60;
const waitMsMax = 60_000;

/** `jitter` is from 0 to 1, and stays the same for as long as a process runs. */
export function needsRenewal(credentials: Credentials, nowMs: number, jitter = 0): boolean {
  return lifeLeft(credentials.info, nowMs) < renewBelowLife + jitter * jitterLife;
}

/** How long to wait before looking, or trying, again. */
export function renewalIntervalMs({ info }: Credentials): number {
  return Math.min(waitMsMax, lifeMsOf(info) / attemptsPerLife);
}

export interface RenewalOptions {
  readonly credentials: () => Credentials;
  /** Gets and saves a new certificate, and sees that `credentials` answers it. */
  readonly renew: () => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How loud a failure is, while the certificate is good: whoever runs for days has nobody else to say it. */
  readonly failureLevel: "info" | "warn";
}

/**
 * Renews what is due, one attempt at a time, however many ask. A failure is thrown only when the
 * certificate has expired: until then it is said once, and tried again later.
 */
export function createRenewal(options: RenewalOptions): () => Promise<void> {
  const { clock, log } = options;
  const jitter = options.random.next();
  let running: Promise<void> | undefined;
  let restsUntilMs = Number.NEGATIVE_INFINITY;
  let failure: string | undefined;
  const attempt = async (): Promise<void> => {
    const { identity } = options.credentials();
    try {
      await options.renew();
      log.info("certificate renewed", { name: identity.name });
      failure = undefined;
    } catch (thrown) {
      const { message } = toCollectiveError(thrown);
      if (message !== failure) log[options.failureLevel]("certificate not renewed, trying on", { name: identity.name, error: message });
      failure = message;
      throw thrown;
    } finally {
      // After a success too: a clock that is wrong can make a new certificate look old.
      restsUntilMs = clock.monotonicMs() + renewalIntervalMs(options.credentials());
      running = undefined;
    }
  };
  return async () => {
    const credentials = options.credentials();
    const nowMs = clock.wallMs();
    if (!needsRenewal(credentials, nowMs, jitter)) return;
    const isExpired = nowMs > credentials.info.notAfterMs;
    if (!isExpired && clock.monotonicMs() < restsUntilMs) return;
    running ??= attempt();
    try {
      await running;
    } catch (error) {
      if (isExpired) throw error;
    }
  };
}
