/**
 * Reading a certificate. Who it speaks for is its one `collective://` URI and nothing else; whether
 * that may be believed is a question for the trust bundle, not for this file.
 */
import { X509Certificate } from "node:crypto";
import { CollectiveError } from "../../protocol/errors.ts";
import { type Identity, parseIdentityUri, type Site, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import { type CertificateFields, readCertificateFields } from "./extensions.ts";
import { rawFromSpki } from "./keys.ts";

export const certificateBytesMax = 16 * 1024;

export interface CertificateInfo {
  /** What the certificate claims: believe it only after `TrustBundle.identify`. */
  readonly identity: Identity | undefined;
  readonly subject: string;
  readonly issuer: string;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** Of the DER form, 64 lower-case hexadecimal digits. */
  readonly fingerprintSha256: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly isAuthority: boolean;
  /** Of an authority: the one site its critical name constraints permit. Of a leaf: its identity's. */
  readonly site: Site | undefined;
  readonly publicKeyRaw: Uint8Array;
}

export interface ParsedCertificate {
  readonly x509: X509Certificate;
  readonly fields: CertificateFields;
  readonly info: CertificateInfo;
  readonly pem: string;
}

/** Throws `invalid_argument` for what is not one certificate, `not_authenticated` for one whose identity is ambiguous or malformed. */
export function readCertificate(pem: string): CertificateInfo {
  return parseCertificate(pem).info;
}

/** `source` is PEM text with exactly one certificate, or DER bytes. */
export function parseCertificate(source: string | Uint8Array): ParsedCertificate {
  const x509 = openCertificate(source);
  const fields = readCertificateFields(x509.raw);
  const publicKeyRaw = rawFromSpki(fields.spkiRaw);
  if (!publicKeyRaw) throw new CollectiveError("invalid_argument", "the certificate's key is not an Ed25519 key");
  const identity = readIdentity(fields.uris);
  const info: CertificateInfo = {
    identity,
    subject: printable(x509.subject),
    issuer: printable(x509.issuer),
    serial: x509.serialNumber.toLowerCase(),
    fingerprintSha256: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
    notBeforeMs: timeOf(x509.validFrom),
    notAfterMs: timeOf(x509.validTo),
    isAuthority: fields.isAuthority,
    site: fields.isAuthority ? fields.constrainedTo : identity && siteOf(identity.name),
    publicKeyRaw,
  };
  return { x509, fields, info, pem: typeof source === "string" ? source : x509.toString() };
}

export type Validity = Pick<CertificateInfo, "notBeforeMs" | "notAfterMs">;

/** From when it was issued: leaves begin `clockSkewMsMax` in the past, which is no part of their life. */
export function lifeMsOf({ notBeforeMs, notAfterMs }: Validity): number {
  const lifeMs = notAfterMs - notBeforeMs;
  return lifeMs > clockSkewMsMax ? lifeMs - clockSkewMsMax : lifeMs;
}

/** How much of its life a certificate has left: 1 when fresh, 0 once expired. */
export function lifeLeft(validity: Validity, nowMs: number): number {
  const lifeMs = lifeMsOf(validity);
  if (lifeMs <= 0) return 0;
  return Math.min(1, Math.max(0, (validity.notAfterMs - nowMs) / lifeMs));
}

function openCertificate(source: string | Uint8Array): X509Certificate {
  if (source.length > certificateBytesMax) throw new CollectiveError("invalid_argument", "the certificate is too large");
  if (typeof source === "string") {
    const blocks = source.split("-----BEGIN").length - 1;
    if (blocks !== 1) throw new CollectiveError("invalid_argument", `expected one certificate in PEM, found ${blocks} blocks`);
  }
  try {
    return new X509Certificate(source);
  } catch (error) {
    throw new CollectiveError("invalid_argument", "not a certificate", { cause: error });
  }
}

function readIdentity(uris: readonly string[]): Identity | undefined {
  const claims = uris.filter((uri) => /^collective:/i.test(uri));
  if (claims.length > 1) throw new CollectiveError("not_authenticated", "the certificate claims more than one identity");
  const [claim] = claims;
  if (claim === undefined) return undefined;
  try {
    return parseIdentityUri(claim);
  } catch (error) {
    throw new CollectiveError("not_authenticated", `the certificate's identity ${JSON.stringify(claim.slice(0, 300))} is malformed`, {
      cause: error,
    });
  }
}

function timeOf(text: string): number {
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs)) throw new CollectiveError("invalid_argument", "the certificate's dates are malformed");
  return timeMs;
}

/** A distinguished name on one line: whoever made the certificate chose it, and it ends up on terminals. */
function printable(name: string): string {
  return name.replaceAll("\n", ", ").replace(/\p{C}/gu, "?").slice(0, 500);
}
