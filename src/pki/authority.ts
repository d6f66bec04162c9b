/**
 * A member's certificate authority: it makes the certificates of that member's coordinator, nodes
 * and people, and of nobody else.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { dnsNameOf, type GlobalName, type Identity, identityUri, type Site, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import { systemRandom } from "../core/random.ts";
import { encodeAlternativeNames, encodeNameConstraints, nameConstraintsOid } from "./extensions.ts";
import { generateKeyPair, privateKeyFromPem, rawFromSpki, rawPublicKeyOf } from "./keys.ts";
import { readAuthority } from "./trust-bundle.ts";
import { importKeys, loadX509, type SigningKeys, signingAlgorithm } from "./x509.ts";

const dayMs = 24 * 60 * 60_000;
export const authorityValidityMs = 10 * 365 * dayMs;
export const leafValidityMsDefault = 1 * dayMs;
export const leafValidityMsMax = 397 * dayMs;
export const csrCharactersMax = 8192;

export interface IssueRequest {
  readonly csrPem: string;
  readonly identity: Identity;
  readonly validityMs: number;
  readonly nowMs: number;
}

export interface Authority {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly site: Site;
  /**
   * Certifies the key of a certificate request under the given identity, and answers PEM. The
   * names in the request are ignored: the caller has decided who is asking. The leaf starts
   * `clockSkewMsMax` in the past and never outlives the authority.
   * Throws `invalid_argument` for a bad request or validity, `permission_denied` for a name of
   * another site, `configuration` once the authority has expired.
   */
  issue(request: IssueRequest): Promise<string>;
}

/** Makes a new authority, which is kept nowhere until the caller saves it. */
export async function createAuthority(options: {
  readonly site: Site;
  readonly member: GlobalName;
  readonly clock: Clock;
}): Promise<Authority> {
  const { site, member, clock } = options;
  if (siteOf(member) !== site) throw new CollectiveError("invalid_argument", `${member} is not a member of ${site}`);
  const x509 = await loadX509();
  const { privateKeyPem } = generateKeyPair();
  const keys = await importKeys(privateKeyPem);
  const nowMs = clock.wallMs();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [`${member} CA`] }],
    notBefore: new Date(nowMs - clockSkewMsMax),
    notAfter: new Date(nowMs + authorityValidityMs),
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.Extension(nameConstraintsOid, true, encodeNameConstraints(site)),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return loadAuthority({ certificatePem: certificate.toString("pem"), privateKeyPem });
}

/** Throws `configuration` unless it is an authority bound to one site and the key is its own. Its dates are checked when it issues. */
export function loadAuthority(options: { readonly certificatePem: string; readonly privateKeyPem: string }): Authority {
  const { certificatePem, privateKeyPem } = options;
  const { site, certificate } = readAuthority(certificatePem);
  const publicKeyRaw = rawPublicKeyOf(privateKeyFromPem(privateKeyPem));
  if (Buffer.compare(publicKeyRaw, certificate.info.publicKeyRaw) !== 0) {
    throw new CollectiveError("configuration", `the private key is not that of the certificate authority of ${site}`);
  }
  let keys: Promise<SigningKeys> | undefined;
  const issuer: Issuer = {
    site,
    certificatePem,
    notAfterMs: certificate.info.notAfterMs,
    keys: () => {
      keys ??= importKeys(privateKeyPem);
      return keys;
    },
  };
  return { certificatePem, privateKeyPem, site, issue: (request) => issue(issuer, request) };
}

/** A certificate request for this key. `commonName` tells people what it is for; the authority ignores it. */
export async function createCsr(options: { readonly privateKeyPem: string; readonly commonName: string }): Promise<string> {
  // The library reads quotes, backslashes and a leading # in a name as syntax.
  if (!/^[A-Za-z0-9][A-Za-z0-9@._ -]{0,299}$/.test(options.commonName)) {
    throw new CollectiveError("invalid_argument", `${JSON.stringify(options.commonName)} cannot be the name in a certificate request`);
  }
  const x509 = await loadX509();
  const keys = await importKeys(options.privateKeyPem);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({ name: [{ CN: [options.commonName] }], keys, signingAlgorithm });
  return csr.toString("pem");
}

interface Issuer {
  readonly site: Site;
  readonly certificatePem: string;
  readonly notAfterMs: number;
  readonly keys: () => Promise<SigningKeys>;
}

async function issue(issuer: Issuer, request: IssueRequest): Promise<string> {
  const { identity, validityMs, nowMs } = request;
  if (siteOf(identity.name) !== issuer.site) {
    throw new CollectiveError(
      "permission_denied",
      `the certificate authority of ${issuer.site} cannot issue a certificate to ${identity.name}`,
    );
  }
  if (!(validityMs > 0 && validityMs <= leafValidityMsMax)) {
    throw new CollectiveError(
      "invalid_argument",
      `a certificate is valid for at most ${leafValidityMsMax / dayMs} days, not ${validityMs / dayMs}`,
    );
  }
  if (nowMs >= issuer.notAfterMs) {
    throw new CollectiveError(
      "configuration",
      `the certificate authority of ${issuer.site} expired on ${new Date(issuer.notAfterMs).toISOString()}`,
    );
  }
  const x509 = await loadX509();
  const publicKey = await publicKeyOfRequest(request.csrPem);
  const authority = new x509.X509Certificate(issuer.certificatePem);
  const keys = await issuer.keys();
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [identity.name] }],
    issuer: authority.subjectName,
    notBefore: new Date(nowMs - clockSkewMsMax),
    notAfter: new Date(Math.min(nowMs + validityMs, issuer.notAfterMs)),
    signingKey: keys.privateKey,
    publicKey,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(identity.kind === "user" ? [clientAuth] : [serverAuth, clientAuth]),
      new x509.Extension("2.5.29.17", false, encodeAlternativeNames({ uri: identityUri(identity), dns: dnsNameOf(identity) })),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return certificate.toString("pem");
}

/** The requester has proved, by signing the request, that it holds the private key. */
async function publicKeyOfRequest(csrPem: string): Promise<CryptoKey> {
  if (csrPem.length > csrCharactersMax) throw new CollectiveError("invalid_argument", "the certificate request is too large");
  const x509 = await loadX509();
  try {
    const csr = new x509.Pkcs10CertificateRequest(csrPem);
    if (!rawFromSpki(new Uint8Array(csr.publicKey.rawData))) {
      throw new CollectiveError("invalid_argument", "the certificate request is not for an Ed25519 key");
    }
    if (!(await csr.verify())) throw new CollectiveError("invalid_argument", "the certificate request is not signed with its own key");
    return await csr.publicKey.export();
  } catch (error) {
    if (error instanceof CollectiveError) throw error;
    throw new CollectiveError("invalid_argument", "not a certificate request", { cause: error });
  }
}

/** 128 bits whose first two are 01: positive, and never shorter when written without leading zeros. */
export function newSerial(): string {
  const bytes = systemRandom.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}
