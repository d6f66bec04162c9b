/** A process's own certificate: there when it starts, and renewed at two thirds of its life, with jitter, for as long as it runs. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Identity } from "../../protocol/ids.ts";
import { lifeLeft } from "../pki/certificate.ts";
import { type Credentials, loadCredentials } from "../pki/credentials.ts";
import type { Surroundings } from "./role.ts";

export interface RenewalOptions {
  readonly credentials: () => Credentials;
  /** Gets and saves a new certificate; whoever watches the folder takes it from there. */
  readonly renew: () => Promise<void>;
}

const checkIntervalMsMax = 60_000;
const renewBelowLife = 1 / 3;
/** Processes started together shall not renew together. */
const jitterLife = 1 / 20;

export function needsRenewal(credentials: Credentials, nowMs: number, jitter = 0): boolean {
  return lifeLeft(credentials.info, nowMs) < renewBelowLife + jitter * jitterLife;
}

export function startRenewal({ clock, random, log }: Surroundings, options: RenewalOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const jitter = random.next();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { info, identity } = options.credentials();
      if (needsRenewal(options.credentials(), clock.wallMs(), jitter)) {
        await options.renew().then(
          () => log.info("certificate renewed", { name: identity.name }),
          (error: unknown) =>
            log.warn("certificate not renewed, trying on", { name: identity.name, error: toCollectiveError(error).message }),
        );
      }
      const waitMs = Math.min(checkIntervalMsMax, (info.notAfterMs - info.notBeforeMs) / 60);
      await clock.sleep(waitMs, stopping.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** What is in the folder, if it is of that identity and good for a while. Throws `configuration` when it cannot be used at all. */
export async function usableCredentials(dir: string, identity: Identity, nowMs: number): Promise<Credentials | undefined> {
  const known = await loadCredentials(dir).catch((error: unknown) => {
    if (error instanceof CollectiveError && error.code === "not_found") return undefined;
    throw error;
  });
  const isOurs = known?.identity.name === identity.name && known.identity.kind === identity.kind;
  return isOurs && !needsRenewal(known, nowMs) ? known : undefined;
}
