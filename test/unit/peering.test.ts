/** Two members become peers by one code, and no other way. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type GlobalName, parseGlobalName, siteOf } from "../../protocol/ids.ts";
import { parseInviteCode } from "../../protocol/invite.ts";
import { routes } from "../../protocol/routes.ts";
import { createBootstrapClient } from "../../src/net/bootstrap-client.ts";
import { secretHashOf } from "../../src/pki/invite-hashes.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { signPeering } from "../../src/pki/peering.ts";
import { createSigner } from "../../src/pki/ticket.ts";
import { until } from "../support/e2e-commands.ts";
import { foreignCredentials, startTestMember, type TestMember, type TestMemberOptions } from "../support/member.ts";
import { createStore } from "../support/metadata.ts";
import { alice, bob, identityOf } from "../support/pki.ts";

const carol = parseGlobalName("carol@office.collective.local");
let [home, garage]: TestMember[] = [];
let others: TestMember[] = [];

beforeEach(async () => {
  [home, garage] = await Promise.all([startTestMember(), startTestMember({ member: bob })]);
  others = [];
});
afterEach(async () => {
  await Promise.all([...members(), ...others].map((member) => member[Symbol.asyncDispose]()));
});

function members(): [TestMember, TestMember] {
  if (!home || !garage) throw new Error("the members have not started");
  return [home, garage];
}

async function another(member: GlobalName, options: TestMemberOptions = {}): Promise<TestMember> {
  const started = await startTestMember({ ...options, member });
  others.push(started);
  return started;
}

async function codeOf(member: TestMember, { usesMax = 1, kind = "member" as "member" | "person" | "node" } = {}): Promise<string> {
  const made = await member.client().call(routes.createInvite, { kind, grants: [], usesMax, validityMs: 3_600_000, description: "" });
  return made.code;
}

const join = (member: TestMember, code: string) => member.client().call(routes.addPeer, { code });
const peersOf = (member: TestMember) => member.service.peers.list().map((peer) => peer.member);
const usesAt = async (member: TestMember) => (await member.metadata.listInvites()).map(({ uses }) => uses).sort();

describe("a code for members", () => {
  test("makes two members trust each other, and is used once however often it is asked again", async () => {
    const [atHome, atGarage] = members();
    const code = await codeOf(atHome);
    expect(await join(atGarage, code)).toEqual({ member: alice, address: atHome.address });
    expect(await join(atGarage, code)).toEqual({ member: alice, address: atHome.address });
    expect([peersOf(atHome), peersOf(atGarage), await usesAt(atHome)]).toEqual([[bob], [alice], [1]]);
    expect(atHome.service.peers.get(bob)).toMatchObject({ introducer: null, address: atGarage.address });
    const [added] = await atHome.metadata.listAudit({ limit: 1 });
    expect(added).toMatchObject({ action: "peer.added", subject: bob });
    await expect(join(await another(carol), code)).rejects.toMatchObject({
      code: "permission_denied",
      message: "this code has been used up",
    });
  });

  test("of another kind makes nobody a peer", async () => {
    const [atHome, atGarage] = members();
    for (const kind of ["person", "node"] as const)
      await expect(join(atGarage, await codeOf(atHome, { kind }))).rejects.toMatchObject({ code: "invalid_argument" });
    expect([peersOf(atHome), peersOf(atGarage), await usesAt(atHome)]).toEqual([[], [], [0, 0]]);
  });

  test("is good for nothing without the key of the certificate that is shown", async () => {
    const [atHome, atGarage] = members();
    const code = parseInviteCode(await codeOf(atHome));
    const client = createBootstrapClient(atGarage.service);
    const found = await client.find(code);
    const claim = { member: bob, address: atGarage.address, inviter: siteOf(alice), basis: secretHashOf(code.secret) };
    const shown = {
      ...{ secret: code.secret, member: bob, address: atGarage.address },
      ...{ authorityPem: atGarage.authority.certificatePem, coordinatorPem: atGarage.credentials.certificatePem },
    };
    const thief = createSigner(generateKeyPair().privateKeyPem);
    const proofs = {
      "by another key": signPeering(thief, claim),
      "for another member's code": signPeering(atGarage.signer, { ...claim, inviter: siteOf(carol) }),
      "for another code": signPeering(atGarage.signer, { ...claim, basis: new Uint8Array(32) }),
      "with another address": signPeering(atGarage.signer, { ...claim, address: "evil.example:1" }),
    };
    for (const [what, proof] of Object.entries(proofs))
      await expect(client.peer(found, { ...shown, proof }), what).rejects.toMatchObject({ code: "not_authenticated" });
    const asCarol = { ...shown, member: carol, proof: signPeering(atGarage.signer, { ...claim, member: carol }) };
    await expect(client.peer(found, asCarol)).rejects.toMatchObject({ code: "not_authenticated" });
    expect([peersOf(atHome), await usesAt(atHome)]).toEqual([[], [0]]);
  });
});

describe("a site", () => {
  test("that is known keeps its authority: a second one is a conflict on both sides, and changes nothing", async () => {
    const [atHome, atGarage] = members();
    await join(atGarage, await codeOf(atHome));
    const impostor = await another(bob);
    const before = await atHome.metadata.listPeers();
    await expect(join(impostor, await codeOf(atHome))).rejects.toMatchObject({ code: "conflict" });
    await expect(join(atHome, await codeOf(impostor))).rejects.toMatchObject({ code: "conflict" });
    expect(await atHome.metadata.listPeers()).toEqual(before);
    expect([peersOf(impostor), await usesAt(atHome), await usesAt(impostor)]).toEqual([[], [0, 1], [0]]);
  });

  test("may not lie inside another, nor be the own one", async () => {
    const [atHome, atGarage] = members();
    await join(atGarage, await codeOf(atHome));
    const inside = await another(parseGlobalName(`eve@attic.${siteOf(bob)}`));
    await expect(join(inside, await codeOf(atHome))).rejects.toMatchObject({ code: "conflict" });
    await expect(join(atHome, await codeOf(atHome))).rejects.toMatchObject({ code: "conflict" });
    expect(peersOf(atHome)).toEqual([bob]);
  });
});

describe("removing a member", () => {
  test("shuts its people out at their next request, on connections that are open, and voids their tickets", async () => {
    const [atHome, atGarage] = members();
    await join(atGarage, await codeOf(atHome, { usesMax: 2 }));
    const store = await createStore(atHome.metadata, "shared");
    await atHome.metadata.grant({ inode: store.inode, subject: bob as never, rights: ["read"], grantedBy: alice, expiresMs: null });
    const guest = atHome.client(await foreignCredentials(atHome, identityOf("user", bob), atGarage.authority));
    expect((await guest.call(routes.resolve, { components: ["shared"] })).attr?.inode).toBe(store.inode);
    await atHome.client().call(routes.removePeer, { member: bob });
    await expect(guest.call(routes.resolve, { components: ["shared"] })).rejects.toMatchObject({ code: "not_authenticated" });
    expect(peersOf(atHome)).toEqual([]);
    expect(await atHome.metadata.listWithdrawals()).toMatchObject([{ holder: `*@${siteOf(bob)}` }]);
    await expect(atHome.client().call(routes.removePeer, { member: carol })).rejects.toMatchObject({ code: "not_found" });
  });

  test("it comes back by a new code alone: neither by one from before nor by somebody's word", async () => {
    const [atHome, atGarage] = members();
    const old = await codeOf(atHome, { usesMax: 2 });
    await join(atGarage, old);
    atHome.clock.nowMs += 1;
    await atHome.client().call(routes.removePeer, { member: bob });
    await expect(join(atGarage, old)).rejects.toMatchObject({ code: "permission_denied" });
    const shown = { authorityPem: atGarage.authority.certificatePem, coordinatorPem: atGarage.credentials.certificatePem };
    const vouchedFor = { member: bob, ...shown, address: atGarage.address, introducer: carol };
    await expect(atHome.metadata.admitPeer(vouchedFor)).rejects.toMatchObject({ code: "conflict" });
    atHome.clock.nowMs += 1;
    await join(atGarage, await codeOf(atHome));
    expect(peersOf(atHome)).toEqual([bob]);
  });
});

describe("a member that a peer vouches for", () => {
  test("is trusted by the policy introduced, with the name of who did, and not by manual", async () => {
    const [atHome, atGarage] = members();
    const careful = await another(parseGlobalName("dave@attic.collective.local"), { policy: "manual" });
    const atOffice = await another(carol);
    for (const member of [atHome, atGarage, careful, atOffice]) member.service.federation.start();
    // Carol first: whoever comes later hears of it with the first that it is told.
    for (const member of [atOffice, atHome, careful]) await join(member, await codeOf(atGarage));
    const hasHeard = () => careful.service.federation.agent.record(bob, "introduction", carol) !== undefined;
    await until(
      () => [peersOf(atHome).includes(carol), hasHeard()],
      (seen) => seen.every(Boolean),
    );
    expect(atHome.service.peers.get(carol)).toMatchObject({ introducer: bob, address: atOffice.address });
    expect(peersOf(careful)).toEqual([bob]);
  });
});
