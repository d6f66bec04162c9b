/**
 * A certificate authority on disk: `ca.key` (0600) and `ca.pem`. The key is written first and the
 * certificate is what makes the folder an authority, so a crash between them leaves a folder in
 * which a new authority may be made.
 */
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type Authority, loadAuthority } from "./authority.ts";
import { readOptional } from "./credential-files.ts";
import { writePublicFile, writeSecretFile } from "./keys.ts";

export const authorityFiles = { certificate: "ca.pem", key: "ca.key" } as const;

type KeyAndCertificate = Pick<Authority, "certificatePem" | "privateKeyPem">;

/** Throws `not_found` when the folder holds no authority, `configuration` for one that is incomplete or does not fit. */
export async function loadAuthorityDir(dir: string): Promise<Authority> {
  return loadAuthority(await readAuthorityDir(dir));
}

/** The same, whatever kind of authority it is. */
export async function readAuthorityDir(dir: string): Promise<KeyAndCertificate> {
  const certificatePem = await readOptional(join(dir, authorityFiles.certificate));
  if (certificatePem === undefined) {
    throw new CollectiveError("not_found", `no certificate authority in ${dir}`, { hint: "make one with `collective auth init`" });
  }
  const privateKeyPem = await readOptional(join(dir, authorityFiles.key));
  if (privateKeyPem === undefined)
    throw new CollectiveError("configuration", `${join(dir, authorityFiles.key)} is missing`, { hint: "restore it from a backup" });
  return { certificatePem, privateKeyPem };
}

/** Durable on return. Throws `already_exists`: replacing an authority would orphan every certificate it has issued. */
export async function saveAuthority(dir: string, authority: KeyAndCertificate): Promise<void> {
  if ((await readOptional(join(dir, authorityFiles.certificate))) !== undefined) {
    throw new CollectiveError("already_exists", `there is a certificate authority in ${dir} already`);
  }
  await writeSecretFile(join(dir, authorityFiles.key), authority.privateKeyPem);
  await writePublicFile(join(dir, authorityFiles.certificate), authority.certificatePem);
}
