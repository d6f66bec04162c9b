/**
 * Connections to other members, with the own certificate: their coordinators are found, and known, by what the own coordinator
 * says of its peers. What may be done there is decided there.
 */

import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { type Credentials, withTrusted } from "../pki/credentials.ts";
import { readAuthority } from "../pki/trust-bundle.ts";
import { createRemote, type Remote } from "./remote.ts";

export interface PeerRemotes {
  /** Asks once for each member. Throws `not_found` for one that is no peer. */
  remoteOf(member: GlobalName, signal?: AbortSignal): Promise<Remote>;
}

export interface PeerRemotesOptions {
  readonly own: Remote;
  /** As in `RemoteOptions`. */
  readonly credentials: () => Credentials;
  readonly beforeCall: () => Promise<void>;
}

/** Whoever waits is a person; and a pause is shorter than a retry waits, so work under way outlives a restart there as well. */
const patience = { firstAnswerTimeoutMs: 10_000, circuit: { failuresMax: 3, firstPauseMs: 500, pauseMsMax: 2_000 } };

export function createPeerRemotes({ own, credentials, beforeCall }: PeerRemotesOptions): PeerRemotes {
  const { clock, random, log } = own;
  const remotes = new Map<GlobalName, Promise<Remote>>();
  const connect = async (member: GlobalName, signal: AbortSignal | undefined): Promise<Remote> => {
    const { address, authorityPem } = await own.control.call(routes.findPeer, { member }, { signal });
    // It speaks for that site alone, or it could stand in for another one.
    if (readAuthority(authorityPem).site !== siteOf(member))
      throw new CollectiveError("not_authenticated", `the certificate authority of ${member} is not one of ${siteOf(member)}`);
    return createRemote({ member, address, credentials: trusting(credentials, authorityPem), beforeCall, patience, clock, random, log });
  };
  return {
    remoteOf: (member, signal) => {
      const known = remotes.get(member);
      if (known) return known;
      const asked = connect(member, signal);
      remotes.set(member, asked);
      asked.catch(() => remotes.delete(member));
      return asked;
    },
  };
}

/** The same object for as long as the own ones are the same: connections are pooled by it. */
function trusting(credentials: () => Credentials, authorityPem: string): () => Credentials {
  let known: { readonly from: Credentials; readonly made: Credentials } | undefined;
  return () => {
    const from = credentials();
    if (known?.from !== from) known = { from, made: withTrusted(from, [authorityPem]) };
    return known.made;
  };
}
