/**
 * Identity on disk: one folder with `key.pem` (0600), `cert.pem`, `ca.pem` (the own site's
 * authority) and `trust/<site>.pem` (accepted authorities of other sites).
 *
 * Invariants:
 * - Replacing `cert.pem` is the one moment in which new credentials take the place of old ones. A
 *   new key and a new authority are on disk before it as `key.next.pem` and `ca.next.pem` and move
 *   to their names after it; a reader takes whichever fits the certificate. So there is no moment
 *   at which a crash leaves a certificate without its key.
 * - Saving with the key that is already there replaces `cert.pem` alone, and may happen in several
 *   processes at once. Changing the key is for one process at a time.
 */
import { createHash } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type Identity, type Site, siteOf } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { createCsr } from "./authority.ts";
import { loadAuthorityDir } from "./authority-folder.ts";
import { type CertificateInfo, type ParsedCertificate, parseCertificate } from "./certificate.ts";
import { absentAs, credentialFiles, readOptional, readTrust, replaceTrust, stampOf } from "./credential-files.ts";
import { generateKeyPair, privateKeyFromPem, rawPublicKeyOf, syncFolder, writePublicFile, writeSecretFile } from "./keys.ts";
import { createTrustBundle, readAuthority, type TrustBundle } from "./trust-bundle.ts";

/** A reader that meets a writer between two renames reads again. */
const readAttemptsMax = 3;

export interface Credentials {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly identity: Identity;
  readonly info: CertificateInfo;
  readonly authorityPem: string;
  /** The own site's authority and those of `trust/`. */
  readonly trust: TrustBundle;
  /** Changes whenever anything above does. */
  readonly revision: string;
}

export interface CredentialParts {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly authorityPem: string;
  /** Authorities of other sites. Left out, `trust/` stays as it is; given, it becomes exactly this. */
  readonly trustedAuthorityPems?: readonly string[];
}

/**
 * Throws `not_found` when there is no certificate, `configuration` when the parts do not fit each
 * other. The dates are not checked: an expired certificate must still load to be renewed. Writes nothing.
 */
export async function loadCredentials(dir: string): Promise<Credentials> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readOnce(dir);
    } catch (error) {
      const reason = toCollectiveError(error);
      if (attempt >= readAttemptsMax || reason.code === "not_found") throw reason;
    }
  }
}

/** Durable on return. Throws `configuration`, and changes nothing, when the parts do not fit each other. */
export async function saveCredentials(dir: string, parts: CredentialParts): Promise<Credentials> {
  const { certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems } = parts;
  assembleCredentials({ certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems: trustedAuthorityPems ?? [] });
  const path = (name: string) => join(dir, name);
  await settle(dir);
  const newKey = (await readOptional(path(credentialFiles.key))) !== privateKeyPem;
  const newAuthority = (await readOptional(path(credentialFiles.authority))) !== authorityPem;
  if (newKey) await writeSecretFile(path(credentialFiles.keyNext), privateKeyPem);
  if (newAuthority) await writePublicFile(path(credentialFiles.authorityNext), authorityPem);
  await writePublicFile(path(credentialFiles.certificate), certificatePem);
  await settle(dir);
  if (trustedAuthorityPems) await replaceTrust(dir, trustedAuthorityPems);
  return await loadCredentials(dir);
}

/**
 * Accepts the authority of another site, in place of an earlier one of that site. Durable on
 * return. Throws `configuration` if it may not be trusted beside the others.
 */
export async function saveTrustedAuthority(dir: string, authorityPem: string): Promise<Site> {
  const { identity, trust } = await loadCredentials(dir);
  const { site } = readAuthority(authorityPem);
  if (site === siteOf(identity.name)) {
    throw new CollectiveError("configuration", `${site} is the own site, whose certificate authority is in ${credentialFiles.authority}`);
  }
  const others = trust.authorities.filter((authority) => authority.site !== site);
  createTrustBundle([...others.map((authority) => authority.pem), authorityPem]);
  await writePublicFile(join(dir, credentialFiles.trust, `${site}.pem`), authorityPem);
  return site;
}

/** Credentials from their parts, without a disk. Throws `configuration` when they do not fit each other. */
export function assembleCredentials(parts: Required<CredentialParts>): Credentials {
  const { certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems } = parts;
  const { info } = parseOwn(certificatePem);
  const { identity } = info;
  if (!identity) throw new CollectiveError("configuration", "the certificate has no collective:// identity");
  if (Buffer.compare(rawPublicKeyOf(privateKeyFromPem(privateKeyPem)), info.publicKeyRaw) !== 0) {
    throw new CollectiveError("configuration", `the private key does not belong to the certificate of ${identity.name}`);
  }
  const trust = createTrustBundle([authorityPem, ...trustedAuthorityPems]);
  const site = siteOf(identity.name);
  if (trust.authorities[0]?.site !== site)
    throw new CollectiveError("configuration", `${credentialFiles.authority} is not the certificate authority of ${site}`);
  try {
    trust.identify({ pem: certificatePem }, info.notBeforeMs, Number.MAX_SAFE_INTEGER);
  } catch (error) {
    throw new CollectiveError("configuration", toCollectiveError(error).message, { cause: error });
  }
  const revision = createHash("sha256")
    .update(JSON.stringify([certificatePem, privateKeyPem, authorityPem, trust.pems()]))
    .digest("hex");
  return { certificatePem, privateKeyPem, identity, info, authorityPem, trust, revision };
}

/** The same, and these authorities are trusted, too. The own site's and those trusted already may be among them. Throws as `assembleCredentials`. */
export function withTrusted(credentials: Credentials, authorityPems: readonly string[]): Credentials {
  const { certificatePem, privateKeyPem, authorityPem, trust } = credentials;
  const trustedAuthorityPems = [...trust.pems().slice(1), ...authorityPems];
  return assembleCredentials({ certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems });
}

export interface WatchOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly log: Log;
  /** `Credentials.revision` of what is in use: a change since it was loaded is then not missed. */
  readonly revision?: string;
}

/**
 * Calls `onChange` with what the folder holds whenever that has changed. A state that cannot be
 * used, or that `onChange` throws on, is logged once and tried again at each interval; until it
 * works, what is in use stays in use. Calls never overlap, and none begins after disposal.
 */
export function watchCredentials(
  dir: string,
  options: WatchOptions,
  onChange: (credentials: Credentials) => void | Promise<void>,
): Disposable {
  const { clock, intervalMs, log } = options;
  let stamp: string | undefined;
  let revision = options.revision;
  // Without a revision to compare with, a first look that succeeds only learns what is in use.
  let learning = revision === undefined;
  let failure: string | undefined;
  let running = false;
  let disposed = false;

  const poll = async (): Promise<void> => {
    const stampNow = await stampOf(dir);
    if (stampNow === stamp) return;
    const credentials = await loadCredentials(dir);
    if (disposed) return;
    if (!learning && credentials.revision !== revision) {
      await onChange(credentials);
      log.info("credentials_reloaded", { serial: credentials.info.serial, expires: new Date(credentials.info.notAfterMs).toISOString() });
    }
    revision = credentials.revision;
    stamp = stampNow;
    learning = false;
    failure = undefined;
  };
  const tick = async (): Promise<void> => {
    if (running || disposed) return;
    running = true;
    try {
      await poll();
    } catch (error) {
      const { message } = toCollectiveError(error);
      if (message !== failure) log.warn("credentials_not_reloaded", { dir, reason: message });
      failure = message;
      learning = false;
    } finally {
      running = false;
    }
  };

  void tick();
  const timer = clock.every(intervalMs, () => void tick());
  return {
    [Symbol.dispose]: () => {
      disposed = true;
      timer[Symbol.dispose]();
    },
  };
}

export interface EnrolOptions {
  readonly authorityDir: string;
  readonly credentialsDir: string;
  readonly identity: Identity;
  readonly validityMs: number;
  readonly clock: Clock;
  /** Make a new key even if the folder holds credentials of this identity. Tickets signed with the old one are then refused. */
  readonly newKey?: boolean;
}

/**
 * Certifies an identity with the authority at hand, on the machine where both live. Enrolling the
 * same identity again renews its certificate and keeps its key. Durable on return; `trust/` stays.
 */
export async function enrolFromAuthorityDir(options: EnrolOptions): Promise<Credentials> {
  const { authorityDir, credentialsDir, identity, validityMs, clock } = options;
  const authority = await loadAuthorityDir(authorityDir);
  const known = options.newKey === true ? undefined : await loadCredentials(credentialsDir).catch(() => undefined);
  const keeps = known?.identity.name === identity.name && known.identity.kind === identity.kind;
  const privateKeyPem = keeps ? known.privateKeyPem : generateKeyPair().privateKeyPem;
  const csrPem = await createCsr({ privateKeyPem, commonName: identity.name });
  const certificatePem = await authority.issue({ csrPem, identity, validityMs, nowMs: clock.wallMs() });
  return await saveCredentials(credentialsDir, { certificatePem, privateKeyPem, authorityPem: authority.certificatePem });
}

function parseOwn(certificatePem: string): ParsedCertificate {
  try {
    return parseCertificate(certificatePem);
  } catch (error) {
    throw new CollectiveError("configuration", `${credentialFiles.certificate}: ${toCollectiveError(error).message}`, { cause: error });
  }
}

async function readOnce(dir: string): Promise<Credentials> {
  return await fitTogether(dir, await readTrust(dir));
}

/** The key and the authority that belong to the certificate, among those on disk. */
async function fitTogether(dir: string, trustedAuthorityPems: readonly string[]): Promise<Credentials> {
  const certificatePem = await readOptional(join(dir, credentialFiles.certificate));
  if (certificatePem === undefined)
    throw new CollectiveError("not_found", `no certificate in ${dir}`, { hint: "make one with `collective auth cert`" });
  const keys = await readCandidates(dir, [credentialFiles.key, credentialFiles.keyNext]);
  const authorities = await readCandidates(dir, [credentialFiles.authority, credentialFiles.authorityNext]);
  let reason: unknown;
  for (const privateKeyPem of keys) {
    for (const authorityPem of authorities) {
      try {
        return assembleCredentials({ certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems });
      } catch (error) {
        // The first combination is the one without leftovers, so its reason is the one to tell.
        reason ??= error;
      }
    }
  }
  throw new CollectiveError("configuration", `the credentials in ${dir} cannot be used: ${toCollectiveError(reason).message}`, {
    cause: reason,
  });
}

async function readCandidates(dir: string, names: readonly [string, string]): Promise<string[]> {
  const texts = await Promise.all(names.map((name) => readOptional(join(dir, name))));
  const found = texts.filter((text) => text !== undefined);
  if (found.length === 0) throw new CollectiveError("configuration", `${join(dir, names[0])} is missing`);
  return found;
}

/** Moves what belongs to the certificate to its proper name. What belongs to none stays until it is overwritten. */
async function settle(dir: string): Promise<void> {
  const keyNext = await readOptional(join(dir, credentialFiles.keyNext));
  const authorityNext = await readOptional(join(dir, credentialFiles.authorityNext));
  if (keyNext === undefined && authorityNext === undefined) return;
  // A broken file in trust/ must not keep a key from its place.
  const current = await fitTogether(dir, []).catch(() => undefined);
  if (!current) return;
  const move = (from: string, to: string) => rename(join(dir, from), join(dir, to)).catch(absentAs(undefined));
  if (keyNext === current.privateKeyPem) await move(credentialFiles.keyNext, credentialFiles.key);
  if (authorityNext === current.authorityPem) await move(credentialFiles.authorityNext, credentialFiles.authority);
  await syncFolder(dir);
}
