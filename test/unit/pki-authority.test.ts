import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseGlobalName, parseSite } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import { authorityValidityMs, createAuthority, createCsr, leafValidityMsMax, loadAuthority } from "../../src/pki/authority.ts";
import { lifeLeft, readCertificate } from "../../src/pki/certificate.ts";
import { generateKeyPair, rawPublicKeyOf } from "../../src/pki/keys.ts";
import { createTrustBundle } from "../../src/pki/trust-bundle.ts";
import { importKeys, loadX509, signingAlgorithm } from "../../src/pki/x509.ts";
import {
  alice,
  authorityOf,
  garage,
  handClock,
  home,
  hourMs,
  identityOf,
  leafOf,
  rogueAuthority,
  testFolder,
  thrownBy,
} from "../support/pki.ts";

const noon = Date.UTC(2026, 5, 1, 12);

describe("a member's certificate authority", () => {
  test("is bound to its site for ten years", async () => {
    const authority = await createAuthority({ site: home, member: alice, clock: handClock(noon) });
    const info = readCertificate(authority.certificatePem);
    expect(info).toMatchObject({ isAuthority: true, site: home, identity: undefined, subject: `CN=${alice} CA`, issuer: `CN=${alice} CA` });
    expect(info.notBeforeMs).toBe(noon - clockSkewMsMax);
    expect(info.notAfterMs).toBe(noon + authorityValidityMs);
    expect(authority.site).toBe(home);
  });

  test("survives being written and read", async () => {
    const authority = await authorityOf(home);
    const again = loadAuthority(authority);
    const leaf = await leafOf(again, identityOf("node", `node-01@${home}`));
    expect(createTrustBundle([authority.certificatePem]).identify({ pem: leaf.certificatePem }, Date.now()).kind).toBe("node");
  });

  test("two authorities never share a serial number, and all are positive with 128 bits", async () => {
    const authority = await authorityOf(home);
    const serials = new Set<string>();
    for (let i = 0; i < 8; i++)
      serials.add(readCertificate((await leafOf(authority, identityOf("user", `dora@${home}`))).certificatePem).serial);
    expect(serials.size).toBe(8);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });

  test("refuses a member of another site", async () => {
    expect(await thrownBy(() => createAuthority({ site: garage, member: alice, clock: handClock() }))).toMatchObject({
      code: "invalid_argument",
    });
  });

  test("does not load with another key, without constraints or as a leaf", async () => {
    const authority = await authorityOf(home);
    const other = await authorityOf(home);
    const leaf = await leafOf(authority, identityOf("coordinator", alice));
    const loose = await rogueAuthority({ constraints: "none" });
    expect(() => loadAuthority({ certificatePem: authority.certificatePem, privateKeyPem: other.privateKeyPem })).toThrow(
      "private key is not that of",
    );
    expect(() => loadAuthority(leaf)).toThrow("is not a certificate authority");
    expect(() => loadAuthority(loose)).toThrow("not bound to one site");
    expect(() => loadAuthority({ certificatePem: "junk", privateKeyPem: "junk" })).toThrow("not a certificate authority");
    expect(() => loadAuthority({ certificatePem: authority.certificatePem, privateKeyPem: "junk" })).toThrow("private key is not readable");
  });
});

describe("issuing", () => {
  test("gives each kind its names and its uses", async () => {
    const authority = await authorityOf(home);
    const expected = [
      {
        kind: "coordinator",
        name: alice,
        san: "collective://home.collective.local/coordinator/alice",
        dns: "coordinator.home.collective.local",
        uses: 2,
      },
      {
        kind: "node",
        name: `node-01@${home}`,
        san: "collective://home.collective.local/node/node-01",
        dns: "node-01.home.collective.local",
        uses: 2,
      },
      {
        kind: "user",
        name: `dora@${home}`,
        san: "collective://home.collective.local/user/dora",
        dns: "dora.user.home.collective.local",
        uses: 1,
      },
    ] as const;
    for (const { kind, name, san, dns, uses } of expected) {
      const leaf = await leafOf(authority, identityOf(kind, name), { nowMs: noon, validityMs: 24 * hourMs });
      const x509 = new X509Certificate(leaf.certificatePem);
      expect(x509.subjectAltName).toBe(`URI:${san}, DNS:${dns}`);
      expect(x509.subject).toBe(`CN=${name}`);
      const info = readCertificate(leaf.certificatePem);
      expect(info).toMatchObject({ identity: { kind, name: parseGlobalName(name) }, isAuthority: false, site: home });
      expect([info.notBeforeMs, info.notAfterMs]).toEqual([noon - clockSkewMsMax, noon + 24 * hourMs]);
      expect(info.publicKeyRaw).toEqual(leaf.publicKeyRaw);
      expect(info.publicKeyRaw).toEqual(rawPublicKeyOf(leaf.certificatePem));
      expect(info.fingerprintSha256).toMatch(/^[0-9a-f]{64}$/);
      const keyUsage: unknown = Reflect.get(x509, "keyUsage");
      expect(keyUsage).toHaveLength(uses);
    }
  });

  test("ignores the names a request asks for", async () => {
    const authority = await authorityOf(home);
    const { privateKeyPem } = generateKeyPair();
    const csrPem = await createCsr({ privateKeyPem, commonName: alice });
    const pem = await authority.issue({ csrPem, identity: identityOf("user", `dora@${home}`), validityMs: hourMs, nowMs: noon });
    expect(readCertificate(pem)).toMatchObject({ subject: `CN=dora@${home}`, identity: { kind: "user", name: `dora@${home}` } });
  });

  test("refuses names of another site, whoever asks", async () => {
    const authority = await authorityOf(home);
    const error = await thrownBy(() => leafOf(authority, identityOf("node", `node-01@${garage}`)));
    expect(error).toMatchObject({ code: "permission_denied" });
    expect(String(error)).toContain(`of ${home} cannot issue a certificate to node-01@${garage}`);
  });

  test("refuses requests that are broken, not signed by their key, or for another kind of key", async () => {
    const authority = await authorityOf(home);
    const identity = identityOf("user", `dora@${home}`);
    const csrPem = await createCsr({ privateKeyPem: generateKeyPair().privateKeyPem, commonName: "dora" });
    const x509 = await loadX509();
    const der = Buffer.from(new x509.Pkcs10CertificateRequest(csrPem).rawData);
    der[der.length - 5] = (der[der.length - 5] ?? 0) ^ 1;
    const forged = new x509.Pkcs10CertificateRequest(Uint8Array.from(der)).toString("pem");
    const rsa = await x509.cryptoProvider.get().subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const otherKind = (
      await x509.Pkcs10CertificateRequestGenerator.create({
        name: "CN=dora",
        keys: rsa,
        signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      })
    ).toString("pem");
    const cases = { forged, otherKind, junk: "junk", empty: "", certificate: authority.certificatePem, huge: csrPem + " ".repeat(10_000) };
    for (const [name, pem] of Object.entries(cases)) {
      const error = await thrownBy(() => authority.issue({ csrPem: pem, identity, validityMs: hourMs, nowMs: noon }));
      expect({ name, error }).toMatchObject({ error: { name: "CollectiveError", code: "invalid_argument" } });
    }
    expect(String(await thrownBy(() => authority.issue({ csrPem: forged, identity, validityMs: hourMs, nowMs: noon })))).toContain(
      "not signed with its own key",
    );
  });

  test("never outlives the authority, and bounds the validity", async () => {
    const authority = await createAuthority({ site: home, member: alice, clock: handClock(noon) });
    const endMs = noon + authorityValidityMs;
    const identity = identityOf("user", `dora@${home}`);
    const last = await leafOf(authority, identity, { nowMs: endMs - hourMs, validityMs: 24 * hourMs });
    expect(readCertificate(last.certificatePem).notAfterMs).toBe(endMs);
    expect(await thrownBy(() => leafOf(authority, identity, { nowMs: endMs + 1 }))).toMatchObject({ code: "configuration" });
    for (const validityMs of [0, -1, Number.NaN, leafValidityMsMax + 1]) {
      expect(await thrownBy(() => leafOf(authority, identity, { nowMs: noon, validityMs }))).toMatchObject({ code: "invalid_argument" });
    }
  });

  test("works for the longest names there are", async () => {
    const site = parseSite(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.local`);
    const authority = await authorityOf(site);
    const leaf = await leafOf(authority, identityOf("user", `${"d".repeat(63)}@${site}`));
    expect(createTrustBundle([authority.certificatePem]).identify({ pem: leaf.certificatePem }, Date.now()).name).toBe(leaf.identity.name);
  });

  test("a request's name cannot smuggle syntax into the certificate library", async () => {
    const { privateKeyPem } = generateKeyPair();
    for (const commonName of ['x"y"', "#0c00", "a\\2c", "a\nb", "", " "]) {
      expect(await thrownBy(() => createCsr({ privateKeyPem, commonName }))).toMatchObject({ code: "invalid_argument" });
    }
  });

  test("openssl accepts the chain and enforces its name constraints", async () => {
    if (spawnSync("openssl", ["version"]).status !== 0) return;
    await using folder = await testFolder();
    const homeAuthority = await authorityOf(home);
    const x509 = await loadX509();
    const good = await leafOf(homeAuthority, identityOf("node", `node-01@${home}`));
    const signing = await importKeys(homeAuthority.privateKeyPem);
    const keys = await importKeys(good.privateKeyPem);
    const bad = await x509.X509CertificateGenerator.create({
      serialNumber: "44",
      subject: "CN=x",
      issuer: new x509.X509Certificate(homeAuthority.certificatePem).subjectName,
      notBefore: new Date(Date.now() - hourMs),
      notAfter: new Date(Date.now() + hourMs),
      signingKey: signing.privateKey,
      publicKey: keys.publicKey,
      signingAlgorithm,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: "url", value: `collective://${garage}/node/node-01` }])],
    });
    const paths = { ca: join(folder.path, "ca.pem"), good: join(folder.path, "good.pem"), bad: join(folder.path, "bad.pem") };
    await writeFile(paths.ca, homeAuthority.certificatePem);
    await writeFile(paths.good, good.certificatePem);
    await writeFile(paths.bad, bad.toString("pem"));
    const run = (leaf: string) => spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", paths.ca, leaf], { encoding: "utf8" });
    expect(run(paths.good)).toMatchObject({ status: 0 });
    expect(run(paths.bad).stderr).toContain("permitted subtree violation");
  });
});

test("lifeLeft is the fraction that remains", () => {
  const validity = { notBeforeMs: 1000, notAfterMs: 2000 };
  expect([0, 1000, 1500, 2000, 9999].map((nowMs) => lifeLeft(validity, nowMs))).toEqual([1, 1, 0.5, 0, 0]);
  expect(lifeLeft({ notBeforeMs: 5, notAfterMs: 5 }, 5)).toBe(0);
  // That leaves begin five minutes in the past makes the shortest ones no older.
  const minuteMs = 60_000;
  const short = { notBeforeMs: 0, notAfterMs: 6 * minuteMs };
  expect([5, 5.5, 6].map((minutes) => lifeLeft(short, minutes * minuteMs))).toEqual([1, 0.5, 0]);
});
