/**
 * Whom the coordinator trusts, the node does: people of other members come with tickets, and TLS lets them in by this. It is
 * kept in memory alone: without its coordinator a node that has just started knows no tickets either.
 */
import { toCollectiveError } from "../../protocol/errors.ts";
import type { NodeTrust } from "../../protocol/schema.ts";
import type { Log } from "../core/log.ts";
import { type Credentials, withTrusted } from "../pki/credentials.ts";

export interface CoordinatorTrust {
  /** Of what is in force; undefined before the first. */
  readonly revision: string | undefined;
  replace(by: NodeTrust): void;
  /** The credentials unchanged when they cannot be trusted beside those of `trust/`, which is said. */
  addTo(credentials: Credentials): Credentials;
}

export function createCoordinatorTrust({ log, onChange }: { readonly log: Log; readonly onChange: () => void }): CoordinatorTrust {
  let current: NodeTrust | undefined;
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
        const authorityPems = current?.authorities.map(({ authorityPem }) => authorityPem);
        return authorityPems ? withTrusted(credentials, authorityPems) : credentials;
      } catch (error) {
        log.error("what the coordinator trusts does not fit the own trust/ folder", { reason: toCollectiveError(error).message });
        return credentials;
      }
    },
  };
}
