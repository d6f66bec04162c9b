/** A federation's root: what it signs chains to it, and it speaks for no site. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Authority, authorityValidityMs, createAuthority } from "../../src/pki/authority.ts";
import { parseCertificate } from "../../src/pki/certificate.ts";
import { createRoot, formatMembership, type RootKeys, readMembership, signMember, siteUnderRoot } from "../../src/pki/federation-root.ts";
import { makeRoot, signMemberOf } from "../../src/pki/root-folder.ts";
import { createTrustBundle } from "../../src/pki/trust-bundle.ts";
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
  rogueLeaf,
  testFolder,
  thrownBy,
} from "../support/pki.ts";

const clock = handClock();
const signed = async (root: RootKeys, authority: Authority) => ({
  authorityPem: authority.certificatePem,
  membershipPem: await signMember(root, authority.certificatePem, clock.nowMs),
});

describe("a federation root", () => {
  test("signs a member's authority for its own site and no longer than either lives", async () => {
    const root = await createRoot(handClock(clock.nowMs - 1000 * hourMs));
    const membership = await signed(root, await authorityOf(home, clock));
    expect(siteUnderRoot(root.certificatePem, membership, clock.nowMs)).toBe(home);
    const { info, fields } = parseCertificate(membership.membershipPem);
    expect(info).toMatchObject({ isAuthority: true, site: home, subject: `CN=owner@${home} CA` });
    expect(info.notAfterMs).toBe(Math.floor((clock.nowMs - 1000 * hourMs + authorityValidityMs) / 1000) * 1000);
    expect(fields).toMatchObject({ mayCertify: true, hasUnknownCritical: false });
  });

  test("chains from root over member to leaf for a verifier that knows the root alone, and for names of the site alone", async () => {
    await using folder = await testFolder();
    const root = await createRoot(clock);
    const authority = await authorityOf(home, clock);
    const { membershipPem } = await signed(root, authority);
    const own = await leafOf(authority, identityOf("coordinator", alice));
    const foreign = await rogueLeaf(authority, {
      names: [
        { type: "url", value: `collective://${garage}/coordinator/bob` },
        { type: "dns", value: `coordinator.${garage}` },
      ],
    });
    const verify = async (leafPem: string): Promise<string> => {
      const files = { root: root.certificatePem, member: membershipPem, leaf: leafPem };
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text);
      const args = ["verify", "-x509_strict", "-CAfile", "root", "-untrusted", "member", "leaf"];
      const { stdout, stderr } = spawnSync("openssl", args, { cwd: folder.path, encoding: "utf8" });
      return stdout + stderr;
    };
    expect(await verify(own.certificatePem)).toBe("leaf: OK\n");
    expect(await verify(foreign.certificatePem)).toMatch(/permitted subtree violation/);
  });

  test("is trusted for nothing itself: neither as an authority nor by a leaf that it has signed", async () => {
    const root = await createRoot(clock);
    expect(() => createTrustBundle([root.certificatePem])).toThrow("not bound to one site");
    const authority = await authorityOf(home, clock);
    const leaf = await rogueLeaf(root, { names: [{ type: "url", value: `collective://${home}/coordinator/alice` }] });
    expect(() => createTrustBundle([authority.certificatePem]).identify({ pem: leaf.certificatePem }, clock.nowMs)).toThrow(
      "is not signed by the certificate authority of",
    );
  });
});

describe("what is shown as signed by the root is refused", () => {
  test("by another root, also by one of the same name", async () => {
    const [root, other] = [await createRoot(clock), await createRoot(clock)];
    const authority = await authorityOf(home, clock);
    const membership = await signed(other, authority);
    const error = await thrownBy(() => siteUnderRoot(root.certificatePem, membership, clock.nowMs));
    expect(error).toMatchObject({ code: "not_authenticated" });
    expect(String(error)).toMatch(
      /authority of home\.collective\.local is not signed by the federation root [0-9a-f]{8} that is trusted here/,
    );
    const self = { ...membership, membershipPem: authority.certificatePem };
    expect(await thrownBy(() => siteUnderRoot(root.certificatePem, self, clock.nowMs))).toMatchObject({ code: "not_authenticated" });
  });

  test("for another site, or for another authority of the site", async () => {
    const root = await createRoot(clock);
    const [atHome, again, atGarage] = [await authorityOf(home, clock), await authorityOf(home, clock), await authorityOf(garage, clock)];
    const { membershipPem } = await signed(root, atHome);
    const read = (authority: Authority) =>
      siteUnderRoot(root.certificatePem, { authorityPem: authority.certificatePem, membershipPem }, clock.nowMs);
    expect(() => read(atGarage)).toThrow(`the federation root has signed that authority for ${home}, not for ${garage}`);
    expect(() => read(again)).toThrow(`the federation root has signed another authority of ${home} than the one that is shown`);
  });

  test("when it has expired, with the date, and what to do", async () => {
    const root = await createRoot(clock);
    const membership = await signed(root, await authorityOf(home, clock));
    const later = clock.nowMs + authorityValidityMs + hourMs;
    expect(await thrownBy(() => siteUnderRoot(root.certificatePem, membership, later))).toMatchObject({
      code: "not_authenticated",
      message: expect.stringMatching(/expired on 20/),
    });
    const young = { site: home, member: alice, clock: handClock(clock.nowMs - authorityValidityMs + hourMs) };
    const short = await signed(root, await createAuthority(young));
    expect(await thrownBy(() => siteUnderRoot(root.certificatePem, short, clock.nowMs + 2 * hourMs))).toMatchObject({
      message: expect.stringContaining(`the federation root's signature for ${home} expired on`),
      hint: expect.stringContaining("auth cert --root"),
    });
  });

  test("when it is no authority of one site", async () => {
    const root = await createRoot(clock);
    const authority = await authorityOf(home, clock);
    const read = (membershipPem: string) =>
      siteUnderRoot(root.certificatePem, { authorityPem: authority.certificatePem, membershipPem }, clock.nowMs);
    const leaf = await rogueLeaf(root, { names: [{ type: "url", value: `collective://${home}/coordinator/alice` }] });
    expect(() => read(leaf.certificatePem)).toThrow("is no authority of one site");
    const loose = await rogueLeaf(root, { names: [], purposes: [], isAuthority: true });
    expect(() => read(loose.certificatePem)).toThrow("is no authority of one site");
    expect(() => read("junk")).toThrow("expected one certificate");
  });
});

describe("the file for a member", () => {
  test("is read again, for its own authority alone", async () => {
    const root = await createRoot(clock);
    const authority = await authorityOf(home, clock);
    const { membershipPem } = await signed(root, authority);
    const text = formatMembership({ membershipPem, rootPem: root.certificatePem });
    const read = readMembership(text, authority.certificatePem);
    expect(siteUnderRoot(read.rootPem, { ...read, authorityPem: authority.certificatePem }, clock.nowMs)).toBe(home);
    const other = await authorityOf(garage, clock);
    for (const [wrong, says] of [
      [root.certificatePem, "expected two certificates"],
      [`${root.certificatePem}${membershipPem}`, "is the authority of home.collective.local, not a federation root"],
      [text + text, "expected two certificates"],
    ] as const)
      expect(await thrownBy(() => readMembership(wrong, authority.certificatePem))).toMatchObject({
        code: "configuration",
        message: expect.stringContaining(says),
      });
    expect(await thrownBy(() => readMembership(text, other.certificatePem))).toMatchObject({
      code: "configuration",
      message: `the federation root has signed that authority for ${home}, not for ${garage}`,
    });
  });
});

describe("the folder of a root", () => {
  test("is private, made once, and signs one authority for a site", async () => {
    await using folder = await testFolder();
    const dir = join(folder.path, "root");
    await makeRoot(dir, clock);
    const modes = await Promise.all([dir, join(dir, "ca.key")].map(async (path) => (await stat(path)).mode & 0o777));
    expect(modes).toEqual([0o700, 0o600]);
    expect(await thrownBy(() => makeRoot(dir, clock))).toMatchObject({ code: "already_exists" });
    const authority = await authorityOf(home, clock);
    const { site, file } = await signMemberOf(dir, authority.certificatePem, clock);
    expect(site).toBe(home);
    readMembership(file, authority.certificatePem);
    readMembership((await signMemberOf(dir, authority.certificatePem, clock)).file, authority.certificatePem);
    const [again, inside] = [await authorityOf(home, clock), await authorityOf(`attic.${home}`, clock)];
    for (const other of [again, inside])
      expect(await thrownBy(() => signMemberOf(dir, other.certificatePem, clock))).toMatchObject({ code: "conflict" });
    const loose = await rogueAuthority({ constraints: "none" });
    expect(await thrownBy(() => signMemberOf(dir, loose.certificatePem, clock))).toMatchObject({ code: "configuration" });
    expect(await readFile(join(dir, "members", `${home}.pem`), "utf8")).toBe(authority.certificatePem);
  });

  test("of a member's own authority is no root", async () => {
    const authority = await authorityOf(home, clock);
    expect(await thrownBy(() => signMember(authority, authority.certificatePem, clock.nowMs))).toMatchObject({
      code: "configuration",
      message: expect.stringContaining("not a federation root"),
    });
  });
});
