/** A process's own certificate: there when it starts, and renewed for as long as it runs. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Identity } from "../../protocol/ids.ts";
import { type Credentials, loadCredentials } from "../pki/credentials.ts";
import { createRenewal, needsRenewal, renewalIntervalMs } from "../pki/renewal.ts";
import type { Surroundings } from "./role.ts";

export interface OwnRenewal {
  readonly credentials: () => Credentials;
  /** Gets and saves a new certificate, and sees that `credentials` answers it. */
  readonly renew: () => Promise<void>;
}

/** For a process that calls nobody who would renew it. */
export function startRenewal({ clock, random, log }: Surroundings, { credentials, renew }: OwnRenewal): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const renewIfDue = createRenewal({ credentials, renew, clock, random, log, failureLevel: "warn" });
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      // A failure was logged; once the certificate has expired it is all the more tried again.
      await renewIfDue().catch(() => undefined);
      await clock.sleep(renewalIntervalMs(credentials()), stopping.signal).catch(() => undefined);
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
  const known = await knownCredentials(dir, identity);
  return known && !needsRenewal(known, nowMs) ? known : undefined;
}

/** The same, however old. */
export async function knownCredentials(dir: string, identity: Identity): Promise<Credentials | undefined> {
  const known = await loadCredentials(dir).catch((error: unknown) => {
    if (error instanceof CollectiveError && error.code === "not_found") return undefined;
    throw error;
  });
  const isOurs = known?.identity.name === identity.name && known.identity.kind === identity.kind;
  return isOurs ? known : undefined;
}
