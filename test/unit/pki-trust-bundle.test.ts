import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { type Identity, identityUri } from "../../protocol/ids.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { createTrustBundle, type TrustBundle } from "../../src/pki/trust-bundle.ts";
import {
  authorityOf,
  garage,
  home,
  hourMs,
  identityOf,
  leafOf,
  type RogueLeaf,
  rogueAuthority,
  rogueLeaf,
  thrownBy,
} from "../support/pki.ts";

const nowMs = Date.now();
const dora = identityOf("user", `dora@${home}`);

async function twoSites(): Promise<{ homeCa: Authority; garageCa: Authority; trust: TrustBundle }> {
  const [homeCa, garageCa] = [await authorityOf(home), await authorityOf(garage)];
  return { homeCa, garageCa, trust: createTrustBundle([homeCa.certificatePem, garageCa.certificatePem]) };
}

async function refusal(trust: TrustBundle, certificatePem: string, atMs = nowMs): Promise<string> {
  const error = await thrownBy(() => trust.identify({ pem: certificatePem }, atMs));
  expect(error).toMatchObject({ name: "CollectiveError", code: "not_authenticated" });
  return String(error);
}

function claiming(identity: Identity, more: Partial<RogueLeaf> = {}): RogueLeaf {
  return { names: [{ type: "url", value: identityUri(identity) }], ...more };
}

describe("a trust bundle", () => {
  test("knows each site's authority", async () => {
    const { homeCa, trust } = await twoSites();
    expect(trust.authorityFor(home)).toBe(homeCa.certificatePem);
    expect(trust.authorities.map((authority) => authority.site)).toEqual([home, garage]);
    expect(trust.pems()).toHaveLength(2);
    expect(createTrustBundle([homeCa.certificatePem]).authorityFor(garage)).toBeUndefined();
    expect(createTrustBundle([]).pems()).toEqual([]);
  });

  test("admits no authority that could speak for others", async () => {
    const homeCa = await authorityOf(home);
    const leaf = await leafOf(homeCa, identityOf("node", `node-01@${home}`));
    const cases: [string, string][] = [
      [(await rogueAuthority({ constraints: "none" })).certificatePem, "not bound to one site"],
      [(await rogueAuthority({ constraints: "not-critical" })).certificatePem, "not bound to one site"],
      [(await rogueAuthority({ constraints: { site: home }, isAuthority: false })).certificatePem, "is not a certificate authority"],
      [(await rogueAuthority({ constraints: { site: home }, mayCertify: false })).certificatePem, "is not a certificate authority"],
      [(await rogueAuthority({ constraints: { site: home }, signedBy: homeCa })).certificatePem, "is not signed by itself"],
      [leaf.certificatePem, "is not a certificate authority"],
      ["junk", "not a certificate authority"],
    ];
    for (const [pem, reason] of cases) {
      const error = await thrownBy(() => createTrustBundle([pem]));
      expect(error).toMatchObject({ name: "CollectiveError", code: "configuration" });
      expect(String(error)).toContain(reason);
    }
  });

  test("has one authority per site, and none for a site inside another", async () => {
    const [first, second, inner] = [await authorityOf(home), await authorityOf(home), await authorityOf(`shed.${home}`)];
    expect(() => createTrustBundle([first.certificatePem, second.certificatePem])).toThrow(
      `two different certificate authorities claim to be ${home}'s`,
    );
    expect(createTrustBundle([first.certificatePem, first.certificatePem]).authorities).toHaveLength(1);
    expect(() => createTrustBundle([first.certificatePem, inner.certificatePem])).toThrow("one lies inside the other");
    expect(() => createTrustBundle([inner.certificatePem, first.certificatePem])).toThrow("one lies inside the other");
  });
});

describe("identify", () => {
  test("tells who a leaf speaks for, from PEM and from DER", async () => {
    const { homeCa, garageCa, trust } = await twoSites();
    for (const [authority, identity] of [
      [homeCa, dora],
      [homeCa, identityOf("coordinator", `alice@${home}`)],
      [garageCa, identityOf("node", `node-01@${garage}`)],
    ] as const) {
      const leaf = await leafOf(authority, identity);
      const who = trust.identify({ pem: leaf.certificatePem }, nowMs);
      expect(who).toMatchObject({ ...identity, publicKeyRaw: leaf.publicKeyRaw });
      expect(trust.identify({ raw: new X509Certificate(leaf.certificatePem).raw }, nowMs)).toEqual(who);
    }
  });

  test("refuses a name of a site whose authority is not trusted", async () => {
    const { homeCa } = await twoSites();
    const leaf = await leafOf(homeCa, dora);
    const trust = createTrustBundle([(await authorityOf(garage)).certificatePem]);
    expect(await refusal(trust, leaf.certificatePem)).toContain(`no certificate authority of ${home} is trusted here`);
  });

  test("refuses a name of alice's site signed by bob's authority, constrained or not", async () => {
    const { garageCa, trust } = await twoSites();
    const constrained = await rogueLeaf(garageCa, claiming(dora, { purposes: ["client"] }));
    expect(await refusal(trust, constrained.certificatePem)).toContain(
      `signed by the certificate authority of ${garage}, which does not speak for ${home}`,
    );
    const unbound = await rogueAuthority({ constraints: "none" });
    const foreign = await rogueLeaf(unbound, claiming(dora, { purposes: ["client"] }));
    expect(await refusal(trust, foreign.certificatePem)).toContain(
      `not signed by the certificate authority of ${home} that is trusted here`,
    );
  });

  test("refuses another authority of the same site and name", async () => {
    const { trust } = await twoSites();
    const twin = await authorityOf(home);
    const leaf = await leafOf(twin, dora);
    expect(await refusal(trust, leaf.certificatePem)).toContain(`not signed by the certificate authority of ${home} that is trusted here`);
  });

  test("says when a certificate expired, and to look at the clock when it is not valid yet", async () => {
    const { homeCa, trust } = await twoSites();
    const leaf = await leafOf(homeCa, dora, { nowMs, validityMs: hourMs });
    const expiredMs = nowMs + hourMs + 60_000;
    expect(await refusal(trust, leaf.certificatePem, expiredMs)).toContain(
      `the certificate of ${dora.name} expired on ${new Date(nowMs + hourMs).toISOString().slice(0, 16)}`,
    );
    expect(trust.identify({ pem: leaf.certificatePem }, expiredMs, 120_000).name).toBe(dora.name);
    const early = await thrownBy(() => trust.identify({ pem: leaf.certificatePem }, nowMs - hourMs));
    // The authority is as old as the leaf, so it is named first; both say to look at the clock.
    expect(early).toMatchObject({
      code: "not_authenticated",
      message: expect.stringContaining("is not valid before"),
      hint: expect.stringContaining("clock"),
    });
    expect(await refusal(trust, leaf.certificatePem, nowMs + 20 * 365 * 24 * hourMs)).toContain(
      `the certificate authority of ${home} expired`,
    );
  });

  test("refuses a leaf that is not valid yet under an authority that is", async () => {
    const { homeCa, trust } = await twoSites();
    const leaf = await leafOf(homeCa, dora, { nowMs: nowMs + 2 * hourMs });
    expect(await refusal(trust, leaf.certificatePem)).toContain(`the certificate of ${dora.name} is not valid before`);
  });

  test("refuses certificates whose uses are not those of their kind", async () => {
    const { homeCa, trust } = await twoSites();
    const node = identityOf("node", `node-01@${home}`);
    for (const [identity, purposes] of [
      [dora, ["server", "client"]],
      [dora, ["server"]],
      [dora, []],
      [node, ["client"]],
      [node, ["server"]],
    ] as const) {
      const leaf = await rogueLeaf(homeCa, claiming(identity, { purposes }));
      expect(await refusal(trust, leaf.certificatePem)).toContain("is made for");
    }
  });

  test("refuses authorities, nameless leaves, names outside the site and unknown critical extensions", async () => {
    const { homeCa, trust } = await twoSites();
    expect(await refusal(trust, homeCa.certificatePem)).toContain("speaks for nobody");
    const cases: [RogueLeaf, string][] = [
      [claiming(dora, { purposes: ["client"], isAuthority: true }), "speaks for nobody"],
      [{ names: [{ type: "dns", value: `dora.user.${home}` }] }, "names no member"],
      [{ names: [...claiming(dora).names, { type: "dns", value: `node-01.${garage}` }], purposes: ["client"] }, "names outside"],
      [{ names: [...claiming(dora).names, { type: "dns", value: `x${home}` }], purposes: ["client"] }, "names outside"],
      [{ names: [...claiming(dora).names, { type: "ip", value: "10.0.0.1" }], purposes: ["client"] }, "names outside"],
      [claiming(dora, { purposes: ["client"], unknownCritical: true }), "critical extension"],
      [{ names: [...claiming(dora).names, ...claiming(identityOf("coordinator", `alice@${home}`)).names] }, "more than one identity"],
    ];
    for (const [leaf, reason] of cases) expect(await refusal(trust, (await rogueLeaf(homeCa, leaf)).certificatePem)).toContain(reason);
    expect(await refusal(trust, "junk")).toContain("expected one certificate");
  });

  test("a changed byte in a leaf never passes", async () => {
    const { homeCa, trust } = await twoSites();
    const raw = Uint8Array.from(new X509Certificate((await leafOf(homeCa, dora)).certificatePem).raw);
    for (let at = 0; at < raw.length; at++) {
      const changed = Uint8Array.from(raw);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect(() => trust.identify({ raw: changed }, nowMs)).toThrow();
    }
  });
});
