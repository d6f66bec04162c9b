/**
 * The credentials of a context, renewed when they are used: at two thirds of their life, and after they
 * have expired, by any command and within any process that runs for long. The key stays.
 *
 * Commands that run at once take turns by a lock beside the certificate, and the second one finds what
 * the first has got. Without the lock nothing would be spoiled: a certificate replaces another whole.
 */
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { createCsr } from "../pki/authority.ts";
import { credentialFiles } from "../pki/credential-files.ts";
import { type Credentials, loadCredentials, saveCredentials } from "../pki/credentials.ts";
import { createRenewal, needsRenewal } from "../pki/renewal.ts";
import { withFileLock } from "./locked-file.ts";

export interface OwnCredentials {
  current(): Credentials;
  /** Throws only when they have expired and cannot be renewed. */
  renewIfDue(): Promise<void>;
  /** Whatever life is left. */
  renew(): Promise<Credentials>;
}

export interface OwnCredentialsOptions {
  readonly folder: string;
  /** Has the key of a request certified, as the coordinator does. */
  readonly certify: (csrPem: string) => Promise<{ readonly certificatePem: string; readonly authorityPem: string }>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Throws as `loadCredentials`. */
export async function openOwnCredentials({ folder, certify, clock, random, log }: OwnCredentialsOptions): Promise<OwnCredentials> {
  let current = await loadCredentials(folder);
  const exchange = (isEnough: (found: Credentials) => boolean): Promise<void> =>
    withFileLock({ file: join(folder, credentialFiles.certificate), clock, random }, async () => {
      const found = await loadCredentials(folder);
      if (isEnough(found)) {
        current = found;
        return;
      }
      const { privateKeyPem, identity } = found;
      const csrPem = await createCsr({ privateKeyPem, commonName: identity.name });
      current = await saveCredentials(folder, { ...(await certify(csrPem)), privateKeyPem });
    });
  return {
    current: () => current,
    renewIfDue: createRenewal({
      credentials: () => current,
      renew: () => exchange((found) => found.revision !== current.revision && !needsRenewal(found, clock.wallMs())),
      clock,
      random,
      log,
      failureLevel: "info",
    }),
    renew: async () => {
      await exchange(() => false);
      return current;
    },
  };
}
