/**
 * How TLS is spoken on every connection: 1.3, both sides with a certificate but for who is joining, the
 * other side verified by name. A client trusts exactly one authority per connection, that of the site it dials: no other
 * authority of the bundle can stand in for it.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { coordinatorDnsName, dnsNameOf, type Identity, type Site, siteOf } from "../../protocol/ids.ts";
import type { Credentials } from "../pki/credentials.ts";
import { readAuthority } from "../pki/trust-bundle.ts";

export interface ClientTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly serverName: string;
}

/**
 * `vouchedPem`: an authority that somebody trusted names for a site that is not known here. Throws `not_authenticated` when there is
 * none of that site.
 */
export function clientTls(credentials: Credentials, server: Identity, vouchedPem?: string): ClientTls {
  const site = siteOf(server.name);
  const vouched = vouchedPem !== undefined && readAuthority(vouchedPem).site === site ? vouchedPem : undefined;
  return {
    ca: credentials.trust.authorityFor(site) ?? vouched ?? unknownAuthority(site),
    cert: credentials.certificatePem,
    key: credentials.privateKeyPem,
    serverName: dnsNameOf(server),
  };
}

function unknownAuthority(site: Site): never {
  throw new CollectiveError("not_authenticated", `no authority of ${site} is trusted here`, { hint: "join that collective first" });
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
