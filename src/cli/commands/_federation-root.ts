/** The root of a federation, where it is kept: made by `auth init --root`, and signing members by `auth cert --root`. Asks no coordinator. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { readCertificate } from "../../pki/certificate.ts";
import { makeRoot, signMemberOf } from "../../pki/root-folder.ts";
import { type Invocation, usage } from "../command.ts";
import { jsonCertificate } from "../output/certificates.ts";
import { printJson } from "../output/json.ts";

/** Throws `invalid_argument` for flags that mean something else than a root. */
export function refuseBesideRoot({ given }: Invocation, flags: readonly string[]): void {
  for (const flag of flags) if (given(flag) !== undefined) throw usage(`--${flag} does not go with --root`);
}

export async function initRoot({ io, given, on }: Invocation): Promise<void> {
  const dir = given("output");
  if (dir === undefined) throw usage("--output is missing: the folder for the federation root, on a medium that is kept offline");
  const certificate = readCertificate(await makeRoot(dir, io.clock));
  if (on("json")) printJson(jsonCertificate({ file: join(dir, "ca.pem"), certificate, nowMs: io.clock.wallMs() }), io.stdout);
  else io.stdout.write(`made the ${certificate.subject.replace("CN=", "")} in ${dir}; keep the folder offline and back it up\n`);
}

export async function signMember({ io, given, on }: Invocation, rootDir: string): Promise<void> {
  const authorityFile = given("member-ca");
  if (authorityFile === undefined) throw usage("--member-ca is missing: the member's authority/ca.pem");
  const authorityPem = await readFile(authorityFile, "utf8").catch((error: unknown) => {
    const { code, message } = toCollectiveError(error);
    throw new CollectiveError(code, `cannot read ${authorityFile}: ${message}`, { cause: error });
  });
  const { site, notAfterMs, file: text } = await signMemberOf(rootDir, authorityPem, io.clock);
  const file = given("output") ?? `./${site}.pem`;
  await writeFile(file, text);
  const expires = new Date(notAfterMs).toISOString();
  if (on("json")) printJson({ file, site, expires }, io.stdout);
  else
    io.stdout.write(`signed the authority of ${site} until ${expires.slice(0, 10)}; its coordinator takes ${file} as --federation-root\n`);
}
