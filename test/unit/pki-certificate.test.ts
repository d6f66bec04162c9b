import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { CollectiveError } from "../../protocol/errors.ts";
import { parseSite } from "../../protocol/ids.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { parseCertificate, readCertificate } from "../../src/pki/certificate.ts";
import { writeDer } from "../../src/pki/der.ts";
import { encodeAlternativeNames, encodeNameConstraints, readCertificateFields } from "../../src/pki/extensions.ts";
import { authorityOf, garage, home, identityOf, leafOf, rogueAuthority, rogueLeaf, thrownBy } from "../support/pki.ts";

const victim = `collective://${home}/coordinator/alice`;
const text = (value: string) => Buffer.from(value, "latin1");
const uri = (value: string) => writeDer(0x86, text(value));
const dns = (value: string) => writeDer(0x82, text(value));
const names = (...values: Uint8Array[]) => ({ names: [], alternativeNamesDer: writeDer(0x30, ...values) });

describe("the identity in a certificate", () => {
  test("is one collective:// URI, wherever it stands among the names", async () => {
    const authority = await authorityOf(home);
    const leaf = await rogueLeaf(authority, names(dns("x.home.collective.local"), uri("https://home.collective.local/"), uri(victim)));
    expect(readCertificate(leaf.certificatePem).identity).toEqual(identityOf("coordinator", `alice@${home}`));
  });

  test("is never taken from inside another name", async () => {
    const authority = await authorityOf(garage);
    const smuggled = [
      names(dns(`x,URI:${victim}`)),
      names(dns(`"URI:${victim}"`)),
      names(uri(`https://garage.collective.local/?,URI:${victim}`)),
      names(uri(`https://garage.collective.local/${victim}`)),
      names(writeDer(0x81, text(`a@b,URI:${victim}`))),
      { names: [], commonName: victim, alternativeNamesDer: writeDer(0x30, dns("x.garage.collective.local")) },
    ];
    for (const options of smuggled) {
      const leaf = await rogueLeaf(authority, options);
      expect(readCertificate(leaf.certificatePem).identity).toBeUndefined();
    }
    // The text form is what must not be parsed: here it shows a name that is not there.
    const leaf = await rogueLeaf(authority, names(uri(`https://garage.collective.local/?,URI:${victim}`)));
    expect(new X509Certificate(leaf.certificatePem).subjectAltName).toContain(`URI:${victim}`);
  });

  test("with separators, blanks or control characters in a name is an error", async () => {
    const authority = await authorityOf(garage);
    for (const name of [`x, URI:${victim}`, "x\0.home.collective.local", "x\ny", "\u00e9.local"]) {
      const leaf = await rogueLeaf(authority, names(dns(name)));
      expect(await thrownBy(() => readCertificate(leaf.certificatePem))).toMatchObject({ code: "invalid_argument" });
    }
  });

  test("twice, in capitals or malformed is refused", async () => {
    const authority = await authorityOf(home);
    const bad = [
      names(uri(victim), uri(`collective://${home}/user/dora`)),
      names(uri(victim), uri(victim)),
      names(uri(victim), uri(victim.toUpperCase())),
      names(uri(`COLLECTIVE://${home}/user/dora`)),
      names(uri(`collective://${home}/root/dora`)),
      names(uri(`collective://${home}/user/dora/x`)),
      names(uri(`collective://${home}:1/user/dora`)),
      names(uri(`collective://x@${home}/user/dora`)),
      names(uri("collective:")),
    ];
    for (const options of bad) {
      const leaf = await rogueLeaf(authority, options);
      expect(await thrownBy(() => readCertificate(leaf.certificatePem))).toMatchObject({
        name: "CollectiveError",
        code: "not_authenticated",
      });
    }
  });
});

describe("name constraints", () => {
  test("count only when critical and for exactly one site", async () => {
    const subtree = (tag: number, value: string) => writeDer(0x30, writeDer(tag, text(value)));
    const list = (...subtrees: Uint8Array[]) => writeDer(0x30, writeDer(0xa0, ...subtrees));
    const loose = [
      "none",
      "not-critical",
      { der: list(subtree(0x82, home)) },
      { der: list(subtree(0x86, home)) },
      { der: list(subtree(0x82, home), subtree(0x86, garage)) },
      { der: list(subtree(0x82, home), subtree(0x86, home), subtree(0x82, garage)) },
      { der: list(subtree(0x82, ""), subtree(0x86, "")) },
      { der: list(subtree(0x82, `.${home}`), subtree(0x86, `.${home}`)) },
      { der: writeDer(0x30, writeDer(0xa1, subtree(0x82, home), subtree(0x86, home))) },
      { der: writeDer(0x30, writeDer(0xa0, subtree(0x82, home), subtree(0x86, home)), writeDer(0xa1, subtree(0x82, `x.${home}`))) },
    ] as const;
    for (const constraints of loose) {
      const { certificatePem } = await rogueAuthority({ constraints });
      expect(readCertificate(certificatePem)).toMatchObject({ isAuthority: true, site: undefined });
    }
    expect(readCertificate((await rogueAuthority({ constraints: { site: home } })).certificatePem).site).toBe(home);
  });

  test("and alternative names have these bytes", () => {
    expect(Buffer.from(encodeNameConstraints(parseSite("a.b"))).toString("hex")).toBe("3010a00e30058203612e6230058603612e62");
    expect(Buffer.from(encodeAlternativeNames({ uri: "c:", dns: "a.b" })).toString("hex")).toBe("30098602633a8203612e62");
  });
});

describe("reading", () => {
  test("refuses what is not exactly one Ed25519 certificate", async () => {
    const authority = await authorityOf(home);
    const pem = authority.certificatePem;
    const bad = [
      "",
      "junk",
      `${pem}\n${pem}`,
      `${pem}\n${authority.privateKeyPem}`,
      pem.replace("MII", "MIJ"),
      pem + "x".repeat(20_000),
      authority.privateKeyPem,
    ];
    for (const one of bad)
      expect(await thrownBy(() => readCertificate(one))).toMatchObject({ name: "CollectiveError", code: "invalid_argument" });
  });

  test("shows a subject on one line without control characters", async () => {
    const leaf = await rogueLeaf(await authorityOf(home), { commonName: "a\nb\u001b[31m", names: [{ type: "dns", value: "x.y" }] });
    expect(readCertificate(leaf.certificatePem).subject).not.toMatch(/\p{C}/u);
  });

  test("mutated certificates give typed errors only", async () => {
    const random = createSeededRandom(7);
    const leaf = await leafOf(await authorityOf(home), identityOf("node", `node-01@${home}`));
    const der = parseCertificate(leaf.certificatePem).x509.raw;
    let refused = 0;
    for (let round = 0; round < 20_000; round++) {
      const mutated = new Uint8Array(der.subarray(0, round % 7 === 0 ? random.int(der.length) : der.length));
      for (let i = random.int(3); i >= 0 && mutated.length > 0; i--) mutated[random.int(mutated.length)] = random.int(256);
      try {
        // Half of them straight into our own reader, which the TLS library's would otherwise shield.
        if (round % 2 === 0) readCertificateFields(mutated);
        else parseCertificate(mutated);
      } catch (error) {
        if (!(error instanceof CollectiveError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});
