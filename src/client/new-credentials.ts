/** New credentials in a folder: the key is made here and stays here, an authority certifies it. */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import type { IdentityKind } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { createCsr } from "../pki/authority.ts";
import { credentialFiles } from "../pki/credential-files.ts";
import { type Credentials, saveCredentials } from "../pki/credentials.ts";
import { generateKeyPair } from "../pki/keys.ts";
import type { Remote } from "./remote.ts";

export interface CertificateWish {
  readonly kind: IdentityKind;
  /** `dora`, or `dora@home.collective.local`. */
  readonly name: string;
  /** Left to the issuer unless given. */
  readonly validityMs?: number | undefined;
}

export type Issuer = (
  wish: CertificateWish & { readonly csrPem: string },
) => Promise<{ readonly certificatePem: string; readonly authorityPem: string }>;

/** The coordinator as issuer; it obeys its administrator alone. */
export function remoteIssuer(remote: Remote, signal?: AbortSignal): Issuer {
  return ({ csrPem, kind, name, validityMs }) =>
    remote.control.call(routes.issueCertificate, { csrPem, kind, name, validityMs }, { signal });
}

/** Durable on return. Throws `already_exists` when any of the files is there, before anything is asked for. */
export async function makeCredentials(
  dir: string,
  { wish, issuer }: { readonly wish: CertificateWish; readonly issuer: Issuer },
): Promise<Credentials> {
  for (const name of [credentialFiles.key, credentialFiles.certificate, credentialFiles.authority]) {
    const path = join(dir, name);
    if (await exists(path))
      throw new CollectiveError("already_exists", `${path} exists already`, { hint: "choose another folder with --output" });
  }
  const { privateKeyPem } = generateKeyPair();
  const csrPem = await createCsr({ privateKeyPem, commonName: wish.name });
  const issued = await issuer({ ...wish, csrPem });
  return await saveCredentials(dir, { ...issued, privateKeyPem });
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
