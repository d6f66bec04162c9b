/** A context made by hand, with credentials from files. */
import { readFile } from "node:fs/promises";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import { readOptional } from "../pki/credential-files.ts";
import { type Credentials, loadCredentials, saveCredentials } from "../pki/credentials.ts";
import { writePublicFile } from "../pki/keys.ts";
import { readAuthority } from "../pki/trust-bundle.ts";
import { type Contexts, type NamedContext, parseContextName } from "./context-file.ts";

export interface ContextWish {
  readonly name: string;
  readonly member: GlobalName;
  /** `host:port` */
  readonly coordinator: string;
  /** PEM files; what is left out stays as it is. */
  readonly authorityFile?: string | undefined;
  readonly certificate?: { readonly certificateFile: string; readonly keyFile: string } | undefined;
}

/**
 * Makes a context, or changes the address and credentials of one of the same member. Durable on
 * return; nothing is changed when the parts do not fit each other. Throws `already_exists` when the
 * name belongs to a context of another member.
 */
export async function makeContext(
  contexts: Contexts,
  wish: ContextWish,
  clock: Clock,
): Promise<{ readonly context: NamedContext; readonly credentials: Credentials | undefined }> {
  const { name, member, coordinator } = wish;
  const before = (await contexts.list()).find((context) => context.name === parseContextName(name));
  if (before && before.member !== member) {
    throw new CollectiveError("already_exists", `the context ${name} is of ${before.member}`, {
      hint: `choose another name, or forget it first: collective config delete-context ${name}`,
    });
  }
  const credentials = await takeCredentials(contexts, wish);
  await contexts.put(name, {
    member,
    coordinator,
    identity: credentials?.identity.name ?? before?.identity,
    created: before?.created ?? new Date(clock.wallMs()).toISOString(),
  });
  return { context: await contexts.get(name), credentials };
}

async function takeCredentials(
  contexts: Contexts,
  { name, member, authorityFile, certificate }: ContextWish,
): Promise<Credentials | undefined> {
  const files = contexts.credentials(name);
  const known = await loadCredentials(files.folder).catch((error: unknown) => {
    if (error instanceof CollectiveError && error.code === "not_found") return undefined;
    // What is broken may be replaced, and by nothing else than all parts.
    if (authorityFile !== undefined && certificate) return undefined;
    throw error;
  });
  const authorityPem = authorityFile === undefined ? await readOptional(files.authorityFile) : await readPem(authorityFile);
  if (authorityPem !== undefined) assertAuthorityOf(member, authorityPem);
  if (certificate) {
    if (authorityPem === undefined)
      throw new CollectiveError("invalid_argument", "the certificate's authority is missing", { hint: "name it with --ca-cert" });
    const [certificatePem, privateKeyPem] = await Promise.all([readPem(certificate.certificateFile), readPem(certificate.keyFile)]);
    return await saveCredentials(files.folder, { certificatePem, privateKeyPem, authorityPem });
  }
  if (authorityFile === undefined || authorityPem === undefined) return known;
  if (known) return await saveCredentials(files.folder, { ...known, authorityPem });
  await writePublicFile(files.authorityFile, authorityPem);
  return undefined;
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code, message } = toCollectiveError(error);
    throw new CollectiveError(code, `cannot read ${file}: ${message}`, { cause: error });
  }
}

/** Another one could not tell the member's coordinator from anybody else. */
function assertAuthorityOf(member: GlobalName, authorityPem: string): void {
  const { site } = readAuthority(authorityPem);
  if (site !== siteOf(member))
    throw new CollectiveError("configuration", `the certificate authority is that of ${site}, ${member} is of ${siteOf(member)}`);
}
