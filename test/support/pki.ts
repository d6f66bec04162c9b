/**
 * Sites, identities and rogues for tests. The rogue half makes certificates that the product
 * refuses to make, which is why it speaks to the certificate library directly.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Identity, type IdentityKind, parseGlobalName, parseSite, type Site, siteOf } from "../../protocol/ids.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { type Authority, createAuthority, createCsr } from "../../src/pki/authority.ts";
import { encodeNameConstraints, nameConstraintsOid } from "../../src/pki/extensions.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { importKeys, loadX509, signingAlgorithm } from "../../src/pki/x509.ts";

export const hourMs = 60 * 60_000;
export const alice = parseGlobalName("alice@home.collective.local");
export const bob = parseGlobalName("bob@garage.collective.local");
export const home: Site = siteOf(alice);
export const garage: Site = siteOf(bob);

export interface Leaf {
  readonly identity: Identity;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly publicKeyRaw: Uint8Array;
}

export function identityOf(kind: IdentityKind, name: string): Identity {
  return { kind, name: parseGlobalName(name) };
}

export async function authorityOf(site: string, clock: Clock = systemClock): Promise<Authority> {
  return createAuthority({ site: parseSite(site), member: parseGlobalName(`owner@${site}`), clock });
}

export async function leafOf(authority: Authority, identity: Identity, times: { nowMs?: number; validityMs?: number } = {}): Promise<Leaf> {
  const { privateKeyPem, publicKeyRaw } = generateKeyPair();
  const csrPem = await createCsr({ privateKeyPem, commonName: identity.name });
  const certificatePem = await authority.issue({
    csrPem,
    identity,
    validityMs: times.validityMs ?? 24 * hourMs,
    nowMs: times.nowMs ?? Date.now(),
  });
  return { identity, certificatePem, privateKeyPem, publicKeyRaw };
}

export type RogueName = { type: "dns" | "url" | "email" | "ip"; value: string };

export interface RogueLeaf {
  readonly commonName?: string;
  readonly names: readonly RogueName[];
  readonly purposes?: readonly ("server" | "client")[];
  readonly isAuthority?: boolean;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Replaces `names`: the bytes of the subjectAltName extension. */
  readonly alternativeNamesDer?: Uint8Array;
  readonly unknownCritical?: boolean;
}

/** A leaf that says whatever it is told to, signed by any authority. */
export async function rogueLeaf(authority: Pick<Authority, "certificatePem" | "privateKeyPem">, leaf: RogueLeaf): Promise<Leaf> {
  const x509 = await loadX509();
  const { privateKeyPem, publicKeyRaw } = generateKeyPair();
  const keys = await importKeys(privateKeyPem);
  const signing = await importKeys(authority.privateKeyPem);
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const purposes = leaf.purposes ?? ["server", "client"];
  const extensions: InstanceType<typeof x509.Extension>[] = [
    new x509.BasicConstraintsExtension(leaf.isAuthority === true, undefined, true),
    leaf.alternativeNamesDer
      ? new x509.Extension("2.5.29.17", false, leaf.alternativeNamesDer)
      : new x509.SubjectAlternativeNameExtension(leaf.names.map(({ type, value }) => ({ type, value }))),
  ];
  if (purposes.length > 0)
    extensions.push(new x509.ExtendedKeyUsageExtension(purposes.map((purpose) => (purpose === "server" ? serverAuth : clientAuth))));
  if (leaf.unknownCritical) extensions.push(new x509.Extension("1.3.6.1.4.1.99999.1", true, Uint8Array.of(5, 0)));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: "42",
    subject: [{ CN: [leaf.commonName ?? "rogue"] }],
    issuer: new x509.X509Certificate(authority.certificatePem).subjectName,
    notBefore: new Date(leaf.notBeforeMs ?? Date.now() - hourMs),
    notAfter: new Date(leaf.notAfterMs ?? Date.now() + hourMs),
    signingKey: signing.privateKey,
    publicKey: keys.publicKey,
    signingAlgorithm,
    extensions,
  });
  return {
    identity: identityOf("user", "rogue@rogue.collective.local"),
    certificatePem: certificate.toString("pem"),
    privateKeyPem,
    publicKeyRaw,
  };
}

export interface RogueAuthority {
  /** `none` leaves the extension out, `not-critical` makes it advisory. */
  readonly constraints: "none" | "not-critical" | { readonly der: Uint8Array } | { readonly site: Site };
  readonly isAuthority?: boolean;
  readonly mayCertify?: boolean;
  readonly commonName?: string;
  /** Signs it instead of its own key. */
  readonly signedBy?: Authority;
  readonly notAfterMs?: number;
}

export async function rogueAuthority(options: RogueAuthority): Promise<{ certificatePem: string; privateKeyPem: string }> {
  const x509 = await loadX509();
  const { privateKeyPem } = generateKeyPair();
  const keys = await importKeys(privateKeyPem);
  const signing = options.signedBy ? await importKeys(options.signedBy.privateKeyPem) : keys;
  const name = [{ CN: [options.commonName ?? "rogue CA"] }];
  const extensions: InstanceType<typeof x509.Extension>[] = [
    new x509.BasicConstraintsExtension(options.isAuthority !== false, undefined, true),
    new x509.KeyUsagesExtension(options.mayCertify === false ? x509.KeyUsageFlags.digitalSignature : x509.KeyUsageFlags.keyCertSign, true),
  ];
  const { constraints } = options;
  if (constraints === "not-critical") extensions.push(new x509.Extension(nameConstraintsOid, false, encodeNameConstraints(home)));
  else if (constraints !== "none") {
    extensions.push(
      new x509.Extension(nameConstraintsOid, true, "der" in constraints ? constraints.der : encodeNameConstraints(constraints.site)),
    );
  }
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: "43",
    subject: name,
    issuer: name,
    notBefore: new Date(Date.now() - 2 * hourMs),
    notAfter: new Date(options.notAfterMs ?? Date.now() + 1000 * hourMs),
    signingKey: signing.privateKey,
    publicKey: keys.publicKey,
    signingAlgorithm,
    extensions,
  });
  return { certificatePem: certificate.toString("pem"), privateKeyPem };
}

export interface TestFolder extends AsyncDisposable {
  readonly path: string;
}

export async function testFolder(): Promise<TestFolder> {
  const path = await mkdtemp(join(tmpdir(), "collective-pki-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A wall clock that a test moves; `every` fires when the test says so. */
export interface HandClock extends Clock {
  nowMs: number;
  tick(): void;
}

export function handClock(nowMs = Date.now()): HandClock {
  const timers = new Set<() => void>();
  const clock: HandClock = {
    nowMs,
    monotonicMs: () => clock.nowMs,
    wallMs: () => clock.nowMs,
    sleep: () => Promise.resolve(),
    every: (_, fn) => {
      timers.add(fn);
      return { [Symbol.dispose]: () => void timers.delete(fn) };
    },
    tick: () => {
      for (const fn of timers) fn();
    },
  };
  return clock;
}

/** What a call throws, for assertions on code and message together. */
export async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error, but nothing was thrown");
}
