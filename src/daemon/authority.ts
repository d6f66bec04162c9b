/** A member's own certificate authority, in the data directory of its coordinator. */
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import type { Issuer } from "../client/new-credentials.ts";
import { nameInSite } from "../coordinator/certificate-handlers.ts";
import type { Clock } from "../core/clock.ts";
import { type Authority, createAuthority, leafValidityMsDefault } from "../pki/authority.ts";
import { loadAuthorityDir, saveAuthority } from "../pki/authority-folder.ts";

export interface OwnAuthority {
  readonly authority: Authority;
  /** Folder with `ca.pem` and `ca.key`. */
  readonly dir: string;
  /** It was not there before. */
  readonly isNew: boolean;
}

export function authorityDirOf(dataDir: string): string {
  return join(dataDir, "authority");
}

/** Loads the member's authority, or makes it on the first start. Durable on return. Throws `configuration` for the authority of another site. */
export async function ownAuthority(dataDir: string, member: GlobalName, clock: Clock): Promise<OwnAuthority> {
  const dir = authorityDirOf(dataDir);
  const site = siteOf(member);
  const known = await loadAuthorityDir(dir).catch((error: unknown) => {
    if (error instanceof CollectiveError && error.code === "not_found") return undefined;
    throw error;
  });
  if (!known) {
    const authority = await createAuthority({ site, member, clock });
    await saveAuthority(dir, authority);
    return { authority, dir, isNew: true };
  }
  if (known.site === site) return { authority: known, dir, isNew: false };
  throw new CollectiveError("configuration", `${dataDir} belongs to ${known.site}, not to ${site}`, {
    hint: "name the right --member, or another --data-dir",
  });
}

/** Signs with the authority in a coordinator's data directory, on the machine where it lies. */
export function localIssuer(dataDir: string, clock: Clock): Issuer {
  return async ({ csrPem, kind, name, validityMs = leafValidityMsDefault }) => {
    const authority = await loadAuthorityDir(authorityDirOf(dataDir));
    const identity = { kind, name: nameInSite(name, authority.site) };
    const certificatePem = await authority.issue({ csrPem, identity, validityMs, nowMs: clock.wallMs() });
    return { certificatePem, authorityPem: authority.certificatePem };
  };
}
