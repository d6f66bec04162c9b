/**
 * Whom this member believes: the certificate authorities it has accepted, each for its own site.
 *
 * Invariants:
 * - An authority is admitted only if critical name constraints bind it to one site, it signed
 *   itself, and no other authority in the bundle has that site, a site above it or one below it.
 *   A site above could otherwise make DNS names of the site below.
 * - `identify` believes a name only if the authority *of that name's site* signed the leaf. It does
 *   not rely on the TLS library having enforced the name constraints.
 */
import { createHash } from "node:crypto";
import { CollectiveError } from "../../protocol/errors.ts";
import { type Identity, type IdentityKind, type Site, siteOf } from "../../protocol/ids.ts";
import { type ParsedCertificate, parseCertificate } from "./certificate.ts";

export interface TrustedAuthority {
  readonly site: Site;
  readonly pem: string;
  /** SHA-256 of its DER form, lower-case hexadecimal. */
  readonly fingerprint: string;
}

export interface VerifiedIdentity extends Identity {
  readonly publicKeyRaw: Uint8Array;
  readonly serial: string;
  readonly certificatePem: string;
}

export interface TrustBundle {
  readonly authorities: readonly TrustedAuthority[];
  /** PEM of the authority of a site. Whoever connects to a peer of that site trusts this one alone. */
  authorityFor(site: Site): string | undefined;
  /** For a server that any member may call. Its TLS library then still leaves it to `identify` who that is. */
  pems(): string[];
  /** Changes whenever the authorities do. */
  readonly revision: string;
  /**
   * Who this leaf speaks for. Throws `not_authenticated` with the reason. `skewMs` widens the dates
   * on both ends; it is 0 unless given, as TLS allows none and leaves start in the past anyway.
   */
  identify(leaf: { readonly pem: string } | { readonly raw: Uint8Array }, nowMs: number, skewMs?: number): VerifiedIdentity;
}

interface Anchor extends TrustedAuthority {
  readonly certificate: ParsedCertificate;
}

const purposesOf = {
  coordinator: ["server", "client"],
  node: ["server", "client"],
  user: ["client"],
} as const satisfies Record<IdentityKind, readonly string[]>;

/** Throws `configuration` when a certificate may not speak for a site, or two would speak for one. The same certificate twice counts once. */
export function createTrustBundle(authorityPems: readonly string[]): TrustBundle {
  const anchors = new Map<Site, Anchor>();
  for (const pem of authorityPems) {
    const anchor = admit(pem);
    const overlapping = [...anchors.values()].find((other) => sitesOverlap(other.site, anchor.site));
    if (overlapping?.fingerprint === anchor.fingerprint) continue;
    if (overlapping) throw new CollectiveError("configuration", overlapReason(overlapping, anchor));
    anchors.set(anchor.site, anchor);
  }
  const authorities = [...anchors.values()].map(({ site, pem, fingerprint }) => ({ site, pem, fingerprint }));
  return {
    authorities,
    authorityFor: (site) => anchors.get(site)?.pem,
    pems: () => authorities.map((authority) => authority.pem),
    revision: revisionOf(authorities),
    identify: (leaf, nowMs, skewMs = 0) => identify({ leaf, anchors, nowMs, skewMs }),
  };
}

function revisionOf(authorities: readonly TrustedAuthority[]): string {
  const fingerprints = authorities.map(({ fingerprint }) => fingerprint).sort();
  return createHash("sha256").update(fingerprints.join()).digest("base64url");
}

/**
 * Checks that a certificate may be the authority of one site, whatever the date. Throws
 * `configuration` with the reason.
 */
export function readAuthority(pem: string): { readonly site: Site; readonly certificate: ParsedCertificate } {
  const certificate = parseAuthority(pem);
  const { fields, info } = certificate;
  const refuse = (reason: string) => new CollectiveError("configuration", `the certificate ${JSON.stringify(info.subject)} ${reason}`);
  if (!info.isAuthority || fields.mayCertify !== true) throw refuse("is not a certificate authority");
  if (fields.constrainedTo === undefined) throw refuse("is not bound to one site by critical name constraints");
  if (fields.hasUnknownCritical) throw refuse("has a critical extension that is not known here");
  if (!sameBytes(fields.issuerRaw, fields.subjectRaw) || !isSignedBy(certificate, certificate)) throw refuse("is not signed by itself");
  return { site: fields.constrainedTo, certificate };
}

function parseAuthority(pem: string): ParsedCertificate {
  try {
    return parseCertificate(pem);
  } catch (error) {
    const reason = error instanceof CollectiveError ? error.message : "not a certificate";
    throw new CollectiveError("configuration", `not a certificate authority: ${reason}`, { cause: error });
  }
}

function admit(pem: string): Anchor {
  const { site, certificate } = readAuthority(pem);
  return { site, pem, fingerprint: certificate.info.fingerprintSha256, certificate };
}

function identify(request: {
  readonly leaf: { readonly pem: string } | { readonly raw: Uint8Array };
  readonly anchors: ReadonlyMap<Site, Anchor>;
  readonly nowMs: number;
  readonly skewMs: number;
}): VerifiedIdentity {
  const { anchors, nowMs, skewMs } = request;
  const leaf = parseLeaf(request.leaf);
  const { fields, info } = leaf;
  if (info.isAuthority) throw refused("the certificate is a certificate authority's and speaks for nobody");
  if (fields.hasUnknownCritical) throw refused("the certificate has a critical extension that is not known here");
  if (!info.identity)
    throw refused("the certificate names no member of a collective", "it needs a URI like collective://home.collective.local/user/dora");
  const { identity } = info;
  const site = siteOf(identity.name);
  const anchor = anchors.get(site);
  if (!anchor) throw refused(`the certificate is for ${identity.name}, but no certificate authority of ${site} is trusted here`);
  if (!issuedBy(leaf, anchor)) throw wrongIssuer(leaf, identity, [...anchors.values()]);
  assertDates(`the certificate authority of ${site}`, anchor.certificate, { nowMs, skewMs });
  assertDates(`the certificate of ${identity.name}`, leaf, { nowMs, skewMs, hint: renewalHint });
  checkPurposes(leaf, identity);
  if (fields.hasOtherNames || !fields.dnsNames.every((name) => name === site || name.endsWith(`.${site}`))) {
    throw refused(`the certificate of ${identity.name} carries names outside ${site}`);
  }
  return { ...identity, publicKeyRaw: info.publicKeyRaw, serial: info.serial, certificatePem: leaf.x509.toString() };
}

function parseLeaf(leaf: { readonly pem: string } | { readonly raw: Uint8Array }): ParsedCertificate {
  try {
    return parseCertificate("pem" in leaf ? leaf.pem : leaf.raw);
  } catch (error) {
    throw new CollectiveError("not_authenticated", error instanceof CollectiveError ? error.message : "not a certificate", {
      cause: error,
    });
  }
}

function issuedBy(leaf: ParsedCertificate, anchor: Anchor): boolean {
  return sameBytes(leaf.fields.issuerRaw, anchor.certificate.fields.subjectRaw) && isSignedBy(leaf, anchor.certificate);
}

export function isSignedBy(certificate: ParsedCertificate, authority: ParsedCertificate): boolean {
  try {
    return certificate.x509.verify(authority.x509.publicKey);
  } catch {
    return false;
  }
}

function wrongIssuer(leaf: ParsedCertificate, identity: Identity, anchors: readonly Anchor[]): CollectiveError {
  const site = siteOf(identity.name);
  const signer = anchors.find((anchor) => isSignedBy(leaf, anchor.certificate));
  if (signer && signer.site !== site) {
    return refused(
      `the certificate in the name of ${identity.name} is signed by the certificate authority of ${signer.site}, which does not speak for ${site}`,
    );
  }
  return refused(
    `the certificate in the name of ${identity.name} is not signed by the certificate authority of ${site} that is trusted here`,
  );
}

const renewalHint = "renew it with: collective auth renew; one that was not used for 90 days needs a new invite";

interface DateCheck {
  readonly nowMs: number;
  readonly skewMs: number;
  /** What to do about an expired one. */
  readonly hint?: string;
}

/** Throws `not_authenticated`, marked as a matter of dates. */
export function assertDates(what: string, certificate: ParsedCertificate, now: DateCheck): void {
  const { notBeforeMs, notAfterMs } = certificate.info;
  if (now.nowMs > notAfterMs + now.skewMs) throw outOfDate(`${what} expired on ${timeText(notAfterMs)}`, now.hint);
  if (now.nowMs < notBeforeMs - now.skewMs) {
    throw outOfDate(`${what} is not valid before ${timeText(notBeforeMs)}`, `check the clock: this machine's says ${timeText(now.nowMs)}`);
  }
}

function checkPurposes(leaf: ParsedCertificate, identity: Identity): void {
  const expected: readonly string[] = purposesOf[identity.kind];
  const actual = leaf.fields.purposes ?? [];
  if (actual.length === expected.length && expected.every((purpose) => actual.some((one) => one === purpose))) return;
  const use = actual.length === 0 ? "any use" : actual.join(" and ");
  throw refused(`the certificate of ${identity.name} is made for ${use}, a ${identity.kind}'s is for ${expected.join(" and ")}`);
}

/** The same site, or one inside the other. */
export function sitesOverlap(a: Site, b: Site): boolean {
  return a === b || a.endsWith(`.${b}`) || b.endsWith(`.${a}`);
}

function overlapReason(present: Anchor, added: Anchor): string {
  if (present.site === added.site) return `two different certificate authorities claim to be ${added.site}'s`;
  return `the sites ${present.site} and ${added.site} cannot both be trusted: one lies inside the other and could be impersonated by it`;
}

/** Marked, because the reason may be a wrong clock on either side. */
function outOfDate(message: string, hint?: string): CollectiveError {
  return new CollectiveError("not_authenticated", message, { hint, details: { outOfDate: true } });
}

function refused(message: string, hint?: string): CollectiveError {
  return new CollectiveError("not_authenticated", message, { hint });
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
