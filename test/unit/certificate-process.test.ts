/** The child process that holds the authority's key, run from its source. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { authorityJob, createCertificateProcess, enrolJob, runCertificateJobs } from "../../src/daemon/certificate-process.ts";
import { readAuthority } from "../../src/pki/trust-bundle.ts";
import { alice, home } from "../support/pki.ts";

const program = [process.execPath, join(import.meta.dir, "../../src/main.ts")];

function folder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "certificates-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

test("one child does all that is asked for at once, in order, whether it was started before or not", async () => {
  for (const isPrepared of [true, false]) {
    using at = folder();
    const certificates = createCertificateProcess(program);
    if (isPrepared) certificates.prepare();
    const identity = { kind: "coordinator", name: alice } as const;
    const enrol = enrolJob({ dataDir: at.path, credentialsDir: join(at.path, "credentials"), identity, validityMs: 3_600_000 });
    const [authorityPem, leafPem] = await Promise.all([certificates.run(authorityJob(at.path, alice)), certificates.run(enrol)]);
    expect(readAuthority(authorityPem).site).toBe(home);
    expect(leafPem).toContain("BEGIN CERTIFICATE");
    // A later one has a child of its own.
    expect(await certificates.run(authorityJob(at.path, alice))).toBe(authorityPem);
  }
}, 20_000);

test("a child that was started for nothing ends without a word", async () => {
  expect(await runCertificateJobs("")).toBe("");
  const child = Bun.spawn([...program, "issue-certificates"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  expect([await child.exited, await child.stdout.text(), await child.stderr.text()]).toEqual([0, "", ""]);
});
