/**
 * Whom the coordinator trusts, the node does: people of other members come with tickets, and TLS lets them in by this; and
 * what a trusted member's coordinator signs is known by its key. It is kept in memory alone: without its coordinator a node
 * that has just started knows no tickets either.
 */
import { toCollectiveError } from "../../protocol/errors.ts";
import { type Site, siteOf } from "../../protocol/ids.ts";
import type { NodeTrust } from "../../protocol/schema.ts";
import type { Log } from "../core/log.ts";
import { type Credentials, withTrusted } from "../pki/credentials.ts";
import { readCoordinator } from "../pki/peering.ts";

export interface CoordinatorTrust {
  /** Of what is in force; undefined before the first. */
  readonly revision: string | undefined;
  replace(by: NodeTrust): void;
  /** The credentials unchanged when they cannot be trusted beside those of `trust/`, which is said. */
  addTo(credentials: Credentials): Credentials;
  /** Raw, of a peer's coordinator; undefined when the site is none that is trusted now. */
  keyOf(site: Site): Uint8Array | undefined;
}

export function createCoordinatorTrust({ log, onChange }: { readonly log: Log; readonly onChange: () => void }): CoordinatorTrust {
  let current: NodeTrust | undefined;
  let keys: ReadonlyMap<Site, Uint8Array> = new Map();
  let fits = false;
  return {
    get revision() {
      return current?.revision;
    },
    replace: (by) => {
      current = by;
      keys = coordinatorKeys(by, log);
      onChange();
    },
    addTo: (credentials) => {
      fits = false;
      if (!current) return credentials;
      try {
        const trusting = withTrusted(
          credentials,
          current.authorities.map(({ authorityPem }) => authorityPem),
        );
        fits = true;
        return trusting;
      } catch (error) {
        log.error("what the coordinator trusts does not fit the own trust/ folder", { reason: toCollectiveError(error).message });
        return credentials;
      }
    },
    // Of whom TLS does not trust no ticket is believed either.
    keyOf: (site) => (fits ? keys.get(site) : undefined),
  };
}

/** One that does not prove itself is left out, and the others count. */
function coordinatorKeys({ authorities }: NodeTrust, log: Log): ReadonlyMap<Site, Uint8Array> {
  const keys = new Map<Site, Uint8Array>();
  for (const { authorityPem, coordinatorPem } of authorities) {
    if (coordinatorPem === undefined) continue;
    try {
      const { name, publicKeyRaw } = readCoordinator({ authorityPem, coordinatorPem });
      keys.set(siteOf(name), publicKeyRaw);
    } catch (error) {
      log.warn("a peer's coordinator is not known by its certificate", { reason: toCollectiveError(error).message });
    }
  }
  return keys;
}
