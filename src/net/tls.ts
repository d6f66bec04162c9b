/**
 * How TLS is spoken on every connection: 1.3, both sides with a certificate but for who is joining, the
 * other side verified by name. A client trusts exactly one authority per connection, that of the site it dials: no other
 * authority of the bundle can stand in for it.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { coordinatorDnsName, dnsNameOf, type Identity, type Site, siteOf } from "../../protocol/ids.ts";
import type { Credentials } from "../pki/credentials.ts";

export interface ClientTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly serverName: string;
}

/** Throws `not_authenticated` when no authority of that site is trusted. */
export function clientTls(credentials: Credentials, server: Identity): ClientTls {
  const site = siteOf(server.name);
  return {
    ca: authorityOf(credentials, site),
    cert: credentials.certificatePem,
    key: credentials.privateKeyPem,
    serverName: dnsNameOf(server),
  };
}

function authorityOf(credentials: Credentials, site: Site): string {
  const authority = credentials.trust.authorityFor(site);
  if (authority === undefined) {
    throw new CollectiveError("not_authenticated", `no authority of ${site} is trusted here`, { hint: "join that collective first" });
  }
  return authority;
}

/** The certificate chains a server accepts clients from. */
export function serverTls(credentials: Credentials): { cert: string; key: string; ca: string[] } {
  return { cert: credentials.certificatePem, key: credentials.privateKeyPem, ca: credentials.trust.pems() };
}

/** Of a client that nothing trusts yet, or that trusts nothing yet. */
export interface FirstTls extends Partial<ClientTls> {
  readonly rejectUnauthorized?: false;
}

/** Believes nobody, and verifies nothing: for asking what is then compared with something known. */
export const unverifiedTls: FirstTls = { rejectUnauthorized: false };

/** The coordinator of a site, by the one authority that speaks for it. */
export function bootstrapTls(authorityPem: string, site: Site): FirstTls {
  return { ca: authorityPem, serverName: coordinatorDnsName(site) };
}

/** The same, shown the own certificate. */
export function introducingTls({ certificatePem, privateKeyPem }: Credentials, authorityPem: string, site: Site): FirstTls {
  return { ...bootstrapTls(authorityPem, site), cert: certificatePem, key: privateKeyPem };
}
