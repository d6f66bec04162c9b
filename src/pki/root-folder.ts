/**
 * A federation root on disk: `ca.key` (0600), `ca.pem`, and in `members/` the authority of each site that it has signed, by which
 * it never signs a second one for the same site or for one inside it.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Site } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import { readAuthorityDir, saveAuthority } from "./authority-folder.ts";
import { readCertificate } from "./certificate.ts";
import { createRoot, formatMembership, signMember } from "./federation-root.ts";
import { writePublicFile } from "./keys.ts";
import { readAuthority, sitesOverlap } from "./trust-bundle.ts";

/** Answers the root's certificate. Durable on return. Throws `already_exists` for a folder that holds an authority. */
export async function makeRoot(dir: string, clock: Clock): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const root = await createRoot(clock);
  await saveAuthority(dir, root);
  return root.certificatePem;
}

export interface SignedMember {
  readonly site: Site;
  readonly notAfterMs: number;
  /** For `--federation-root` of the member's coordinator. */
  readonly file: string;
}

/**
 * Signs a member's authority, again where it was signed before. Throws `conflict` when another one of that site was, and as `signMember`.
 */
export async function signMemberOf(dir: string, authorityPem: string, clock: Clock): Promise<SignedMember> {
  const root = await readAuthorityDir(dir);
  const { site, certificate } = readAuthority(authorityPem);
  await assertFirst(dir, site, certificate.info.publicKeyRaw);
  const membershipPem = await signMember(root, authorityPem, clock.wallMs());
  await writePublicFile(join(dir, membersDir, `${site}.pem`), authorityPem);
  const { notAfterMs } = readCertificate(membershipPem);
  return { site, notAfterMs, file: formatMembership({ membershipPem, rootPem: root.certificatePem }) };
}

const membersDir = "members";

async function assertFirst(dir: string, site: Site, publicKeyRaw: Uint8Array): Promise<void> {
  const folder = join(dir, membersDir);
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(".pem") || name.startsWith(".")) continue;
    const known = readAuthority(await readFile(join(folder, name), "utf8"));
    const isSame = known.site === site && Buffer.compare(known.certificate.info.publicKeyRaw, publicKeyRaw) === 0;
    if (isSame || !sitesOverlap(known.site, site)) continue;
    const reason =
      known.site === site
        ? `this root has signed another certificate authority of ${site}`
        : `${site} overlaps with ${known.site}, which this root has signed`;
    throw new CollectiveError("conflict", reason, { hint: `if that one is no more, remove ${join(folder, name)} and tell the members` });
  }
}
