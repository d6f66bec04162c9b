/** Whom a node believes by its coordinator's word, and how that word travels. */
import { describe, expect, test } from "bun:test";
import type { NodeTrust } from "../../protocol/schema.ts";
import { nodeTrustSince } from "../../src/coordinator/node-trust.ts";
import { type Log, silentLog } from "../../src/core/log.ts";
import { createCoordinatorTrust } from "../../src/node/trust.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { assembleCredentials } from "../../src/pki/credentials.ts";
import { startTestMember } from "../support/member.ts";
import { alice, authorityOf, bob, garage, home, identityOf, leafOf } from "../support/pki.ts";

async function setUp() {
  const [own, garages, sheds] = await Promise.all([authorityOf(home), authorityOf(garage), authorityOf("shed.collective.local")]);
  const leaf = await leafOf(own, identityOf("node", `node-01@${home}`));
  const credentialsWith = (...trustedAuthorityPems: string[]) =>
    assembleCredentials({ ...leaf, authorityPem: own.certificatePem, trustedAuthorityPems });
  const coordinator = await leafOf(garages, { kind: "coordinator", name: bob });
  const said: string[] = [];
  const note = (event: string): void => void said.push(event);
  const log: Log = { ...silentLog, warn: note, error: note };
  const trust = createCoordinatorTrust({ log, onChange: () => trust.addTo(credentialsWith()) });
  const authority = (pem: string, coordinatorPem?: string): NodeTrust["authorities"][number] => ({ authorityPem: pem, coordinatorPem });
  return { own, garages, sheds, coordinator, credentialsWith, said, trust, authority };
}

describe("a node", () => {
  test("knows the key of a peer's coordinator for as long as its own says so", async () => {
    const { own, garages, coordinator, trust, authority } = await setUp();
    expect(trust.keyOf(garage)).toBeUndefined();
    trust.replace({
      revision: "1",
      authorities: [authority(own.certificatePem), authority(garages.certificatePem, coordinator.certificatePem)],
    });
    expect(trust.keyOf(garage)).toEqual(coordinator.publicKeyRaw);
    expect(trust.keyOf(home)).toBeUndefined();
    // Its people may still come, with tickets of others.
    trust.replace({ revision: "2", authorities: [authority(own.certificatePem), authority(garages.certificatePem)] });
    expect(trust.keyOf(garage)).toBeUndefined();
    trust.replace({ revision: "3", authorities: [authority(garages.certificatePem, coordinator.certificatePem)] });
    expect(trust.keyOf(garage)).toEqual(coordinator.publicKeyRaw);
    trust.replace({ revision: "4", authorities: [] });
    expect(trust.keyOf(garage)).toBeUndefined();
  });

  test("goes by a certificate that has run out meanwhile: the key is what counts", async () => {
    const { garages, trust, authority } = await setUp();
    const old = await leafOf(garages, { kind: "coordinator", name: bob }, { nowMs: Date.now(), validityMs: 60_000 });
    trust.replace({ revision: "1", authorities: [authority(garages.certificatePem, old.certificatePem)] });
    expect(trust.keyOf(garage)).toEqual(old.publicKeyRaw);
  });

  test("believes no certificate that its authority has not made for a coordinator, and says so", async () => {
    const { garages, sheds, coordinator, trust, authority, said } = await setUp();
    const wrong = [
      (await leafOf(garages, identityOf("node", `node-01@${garage}`))).certificatePem,
      (await leafOf(garages, { kind: "user", name: bob })).certificatePem,
      (await leafOf(sheds, identityOf("coordinator", "carol@shed.collective.local"))).certificatePem,
      garages.certificatePem,
      "no certificate",
    ];
    for (const [index, coordinatorPem] of wrong.entries()) {
      trust.replace({
        revision: `${index}`,
        authorities: [authority(sheds.certificatePem), authority(garages.certificatePem, coordinatorPem)],
      });
      expect([trust.keyOf(garage), trust.keyOf(sheds.site)]).toEqual([undefined, undefined]);
      expect(said).toHaveLength(index + 1);
    }
    // One that is wrong takes nothing from the others.
    trust.replace({
      revision: "x",
      authorities: [authority(sheds.certificatePem, "nothing"), authority(garages.certificatePem, coordinator.certificatePem)],
    });
    expect(trust.keyOf(garage)).toEqual(coordinator.publicKeyRaw);
  });

  test("believes nobody whom its own trust/ folder contradicts", async () => {
    const { garages, coordinator, credentialsWith, trust, authority, said } = await setUp();
    const impostor = await authorityOf(garage);
    trust.replace({ revision: "1", authorities: [authority(garages.certificatePem, coordinator.certificatePem)] });
    expect(trust.keyOf(garage)).toBeDefined();
    const pinned = credentialsWith(impostor.certificatePem);
    expect(trust.addTo(pinned)).toBe(pinned);
    expect(said).toEqual(["what the coordinator trusts does not fit the own trust/ folder"]);
    expect(trust.keyOf(garage)).toBeUndefined();
  });
});

test("a coordinator says it when a peer comes, changes its key or goes, and not when a certificate was renewed", async () => {
  await using member = await startTestMember();
  const garages = await authorityOf(garage);
  const first = await leafOf(garages, { kind: "coordinator", name: bob });
  let known = nodeTrustSince(member.service, undefined);
  expect(known?.authorities).toEqual([{ authorityPem: member.authority.certificatePem, coordinatorPem: undefined }]);
  const news = async (change: Promise<unknown>) => {
    await change;
    await member.service.peers.refresh();
    const said = nodeTrustSince(member.service, known?.revision);
    known = said ?? known;
    return said?.authorities.slice(1);
  };
  const { certificatePem: authorityPem } = garages;
  const peer = { member: bob, authorityPem, coordinatorPem: first.certificatePem, address: "b:1" };
  expect(await news(member.metadata.addPeer(peer, alice))).toEqual([{ authorityPem, coordinatorPem: first.certificatePem }]);
  expect(nodeTrustSince(member.service, known?.revision)).toBeUndefined();
  const renewed = await garages.issue({
    csrPem: await createCsr({ privateKeyPem: first.privateKeyPem, commonName: bob }),
    identity: first.identity,
    validityMs: 60_000,
    nowMs: Date.now(),
  });
  expect(await news(member.metadata.updatePeer(bob, { coordinatorPem: renewed }))).toBeUndefined();
  const { certificatePem: otherKey } = await leafOf(garages, { kind: "coordinator", name: bob });
  expect(await news(member.metadata.updatePeer(bob, { coordinatorPem: otherKey }))).toEqual([{ authorityPem, coordinatorPem: otherKey }]);
  expect(await news(member.metadata.removePeer(bob, alice))).toEqual([]);
});
