/**
 * Whom the coordinator trusts, the node does: people of other members come with tickets, and TLS lets them in by this. It is
 * kept in memory alone: without its coordinator a node that has just started knows no tickets either.
 */
import { toCollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";
import { type Credentials, withTrusted } from "../pki/credentials.ts";

export interface CoordinatorTrust {
  /** Of what is in force; undefined before the first. */
  readonly revision: string | undefined;
  replace(by: { readonly revision: string; readonly authorityPems: readonly string[] }): void;
  /** The credentials unchanged when they cannot be trusted beside those of `trust/`, which is said. */
  addTo(credentials: Credentials): Credentials;
}

export function createCoordinatorTrust({ log, onChange }: { readonly log: Log; readonly onChange: () => void }): CoordinatorTrust {
  let current: Parameters<CoordinatorTrust["replace"]>[0] | undefined;
  return {
    get revision() {
      return current?.revision;
    },
    replace: (by) => {
      current = by;
      onChange();
    },
    addTo: (credentials) => {
      try {
        return current ? withTrusted(credentials, current.authorityPems) : credentials;
      } catch (error) {
        log.error("what the coordinator trusts does not fit the own trust/ folder", { reason: toCollectiveError(error).message });
        return credentials;
      }
    },
  };
}
