/**
 * The root of a federation, kept offline: it signs the authorities of members, each for the one site that the authority is bound
 * to already (root → member's authority → leaf). Members that know the same root need no code to become peers.
 *
 * Invariant: the root is in no trust bundle. It says which authority is a site's; what is trusted is that authority, for that site,
 * and a leaf that the root itself has signed speaks for nobody.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Site } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import { authorityValidityMs, newSerial } from "./authority.ts";
import { type ParsedCertificate, parseCertificate } from "./certificate.ts";
import { encodeNameConstraints, nameConstraintsOid } from "./extensions.ts";
import { generateKeyPair, privateKeyFromPem, rawPublicKeyOf } from "./keys.ts";
import { assertDates, isSignedBy, readAuthority } from "./trust-bundle.ts";
import { importKeys, loadX509, signingAlgorithm } from "./x509.ts";

export interface RootKeys {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** What a member knows of the root that it is under. */
export interface Membership {
  readonly rootPem: string;
  /** SHA-256 of its DER form, lower-case hexadecimal. */
  readonly rootFingerprint: string;
  /** The member's own authority, signed by the root. */
  readonly membershipPem: string;
}

/** Makes a new root, which is kept nowhere until the caller saves it. */
export async function createRoot(clock: Clock): Promise<RootKeys> {
  const x509 = await loadX509();
  const { privateKeyPem, publicKeyRaw } = generateKeyPair();
  const keys = await importKeys(privateKeyPem);
  const nowMs = clock.wallMs();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    // Two roots have two names, by which people tell them apart.
    name: [{ CN: [`federation root ${Buffer.from(publicKeyRaw).toString("hex").slice(0, 8)}`] }],
    notBefore: new Date(nowMs - clockSkewMsMax),
    notAfter: new Date(nowMs + authorityValidityMs),
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: certificate.toString("pem"), privateKeyPem };
}

/**
 * Signs a member's authority for its own site: the same name and key under another signature, so that what the authority has issued
 * chains to the root, too. Throws `configuration` for what is no authority of one site, for a root that is none, and when one of them has expired.
 */
export async function signMember(root: RootKeys, authorityPem: string, nowMs: number): Promise<string> {
  const { site, certificate: member } = readAuthority(authorityPem);
  const known = readRoot(root.certificatePem);
  if (Buffer.compare(rawPublicKeyOf(privateKeyFromPem(root.privateKeyPem)), known.info.publicKeyRaw) !== 0)
    throw new CollectiveError("configuration", "the private key is not that of the federation root");
  const notAfterMs = Math.min(known.info.notAfterMs, member.info.notAfterMs);
  if (nowMs >= notAfterMs)
    throw new CollectiveError("configuration", `the federation root or the certificate authority of ${site} has expired`);
  const x509 = await loadX509();
  const keys = await importKeys(root.privateKeyPem);
  const authority = new x509.X509Certificate(authorityPem);
  const publicKey = await authority.publicKey.export();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: authority.subjectName,
    issuer: new x509.X509Certificate(root.certificatePem).subjectName,
    notBefore: new Date(nowMs - clockSkewMsMax),
    notAfter: new Date(notAfterMs),
    signingKey: keys.privateKey,
    publicKey,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.Extension(nameConstraintsOid, true, encodeNameConstraints(site)),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return certificate.toString("pem");
}

/**
 * Which site the root has signed this authority for. Throws `not_authenticated` with the reason when it has not, or for another site or
 * until an earlier time, `configuration` for a root that is none.
 */
export function siteUnderRoot(
  rootPem: string,
  { authorityPem, membershipPem }: { readonly authorityPem: string; readonly membershipPem: string },
  nowMs: number,
): Site {
  const root = readRoot(rootPem);
  const { site, certificate: authority } = asStranger(() => readAuthority(authorityPem));
  const signed = asStranger(() => parseCertificate(membershipPem));
  if (Buffer.compare(signed.fields.issuerRaw, root.fields.subjectRaw) !== 0 || !isSignedBy(signed, root))
    throw refused(
      `the certificate authority of ${site} is not signed by the ${root.info.subject.replace("CN=", "")} that is trusted here`,
      "become peers by a code, or have one root sign both: collective auth cert --root DIR --member-ca FILE",
    );
  const { isAuthority, mayCertify, constrainedTo, hasUnknownCritical, spkiRaw, subjectRaw } = signed.fields;
  if (!isAuthority || mayCertify !== true || hasUnknownCritical || constrainedTo === undefined)
    throw refused(`what the federation root has signed for ${site} is no authority of one site`);
  if (constrainedTo !== site) throw refused(`the federation root has signed that authority for ${constrainedTo}, not for ${site}`);
  const isSame = Buffer.compare(spkiRaw, authority.fields.spkiRaw) === 0 && Buffer.compare(subjectRaw, authority.fields.subjectRaw) === 0;
  if (!isSame) throw refused(`the federation root has signed another authority of ${site} than the one that is shown`);
  assertDates("the federation root's certificate", root, { nowMs, skewMs: 0 });
  const hint = "have it signed again: collective auth cert --root DIR --member-ca FILE";
  assertDates(`the federation root's signature for ${site}`, signed, { nowMs, skewMs: 0, hint });
  return site;
}

/** The file that a member gets back from the root: its authority as the root has signed it, then the root's certificate. */
export function formatMembership({ membershipPem, rootPem }: Pick<Membership, "membershipPem" | "rootPem">): string {
  return `${membershipPem.trim()}\n${rootPem.trim()}\n`;
}

/** Throws `configuration` unless it is such a file, and about this authority. The dates are looked at when it is used. */
export function readMembership(text: string, authorityPem: string): Membership {
  const [membershipPem, rootPem, ...more] = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (membershipPem === undefined || rootPem === undefined || more.length > 0)
    throw new CollectiveError("configuration", "not what the federation root has signed: expected two certificates", {
      hint: "make it where the root is: collective auth cert --root DIR --member-ca FILE",
    });
  const root = readRoot(rootPem);
  try {
    siteUnderRoot(rootPem, { authorityPem, membershipPem }, parseCertificate(membershipPem).info.notBeforeMs);
  } catch (error) {
    throw new CollectiveError("configuration", toCollectiveError(error).message, { cause: error });
  }
  return { rootPem, membershipPem, rootFingerprint: root.info.fingerprintSha256 };
}

function readRoot(pem: string): ParsedCertificate {
  const root = parseCertificate(pem);
  const { fields, info } = root;
  const refuse = (reason: string) => new CollectiveError("configuration", `the certificate ${JSON.stringify(info.subject)} ${reason}`);
  if (fields.constrainedTo !== undefined) throw refuse(`is the authority of ${fields.constrainedTo}, not a federation root`);
  const isSelfSigned = Buffer.compare(fields.issuerRaw, fields.subjectRaw) === 0 && isSignedBy(root, root);
  if (!info.isAuthority || fields.mayCertify !== true || fields.hasUnknownCritical || !isSelfSigned)
    throw refuse("is not a federation root");
  return root;
}

/** What another member shows is wrong on its side, not here. */
function asStranger<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw refused(toCollectiveError(error).message);
  }
}

function refused(message: string, hint?: string): CollectiveError {
  return new CollectiveError("not_authenticated", message, { hint });
}
