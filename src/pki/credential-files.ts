/** The files of a credentials folder, one by one; how they fit together is in credentials.ts. */
import { readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { trustedSitesMax } from "../../protocol/limits.ts";
import { syncFolder, writePublicFile } from "./keys.ts";
import { readAuthority } from "./trust-bundle.ts";

export const credentialFiles = {
  certificate: "cert.pem",
  key: "key.pem",
  keyNext: "key.next.pem",
  authority: "ca.pem",
  authorityNext: "ca.next.pem",
  trust: "trust",
} as const;

export async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const reason = toCollectiveError(error);
    if (reason.code === "not_found") return undefined;
    throw new CollectiveError(reason.code, `cannot read ${path}: ${reason.message}`, { cause: error });
  }
}

/** For `catch`: a missing file is `value`, everything else still fails. */
export function absentAs<T>(value: T): (error: unknown) => T {
  return (error) => {
    const reason = toCollectiveError(error);
    if (reason.code === "not_found") return value;
    throw reason;
  };
}

/** Authorities of other sites. Throws `configuration`, naming the file, for one that may not be trusted. */
export async function readTrust(dir: string): Promise<string[]> {
  const folder = join(dir, credentialFiles.trust);
  const pems: string[] = [];
  for (const name of await trustFiles(folder)) {
    const path = join(folder, name);
    const pem = await readOptional(path);
    // Removed since the folder was listed.
    if (pem === undefined) continue;
    const site = siteOfFile(path, pem);
    if (name !== `${site}.pem`)
      throw new CollectiveError("configuration", `${path} is the certificate authority of ${site}, not of the site in its name`);
    pems.push(pem);
  }
  return pems;
}

/** Makes `trust/` hold exactly these; each file changes whole. */
export async function replaceTrust(dir: string, pems: readonly string[]): Promise<void> {
  const folder = join(dir, credentialFiles.trust);
  const wanted = new Set<string>();
  for (const pem of pems) {
    const name = `${readAuthority(pem).site}.pem`;
    wanted.add(name);
    if ((await readOptional(join(folder, name))) !== pem) await writePublicFile(join(folder, name), pem);
  }
  const unwanted = (await trustFiles(folder)).filter((name) => !wanted.has(name));
  for (const name of unwanted) await unlink(join(folder, name)).catch(absentAs(undefined));
  if (unwanted.length > 0) await syncFolder(folder);
}

/** Changes whenever a file is replaced, rewritten or removed. */
export async function stampOf(dir: string): Promise<string> {
  const { trust, ...files } = credentialFiles;
  const paths = [...Object.values(files), ...(await trustFiles(join(dir, trust))).map((name) => join(trust, name))];
  const stamps: string[] = [];
  for (const path of paths) {
    const now = await stat(join(dir, path)).catch(absentAs(undefined));
    stamps.push(now ? `${path} ${now.ino} ${now.size} ${now.mtimeMs} ${now.ctimeMs}` : path);
  }
  return stamps.join("\n");
}

async function trustFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder).catch(absentAs<string[]>([])))
    .filter((name) => name.endsWith(".pem") && !name.startsWith("."))
    .sort();
  if (names.length > trustedSitesMax)
    throw new CollectiveError("configuration", `${folder} holds more than ${trustedSitesMax} certificates`);
  return names;
}

function siteOfFile(path: string, pem: string): string {
  try {
    return readAuthority(pem).site;
  } catch (error) {
    throw new CollectiveError("configuration", `${path}: ${toCollectiveError(error).message}`, { cause: error });
  }
}
