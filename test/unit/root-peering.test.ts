/** Members under one federation root become peers without a code, and nobody else does that way. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { type GlobalName, parseGlobalName, siteOf } from "../../protocol/ids.ts";
import { rootRoutes } from "../../protocol/root-routes.ts";
import { routes } from "../../protocol/routes.ts";
import { joinUnderRoot } from "../../src/coordinator/root-peering.ts";
import { askRootPeer } from "../../src/net/root-client.ts";
import { authorityValidityMs, createAuthority } from "../../src/pki/authority.ts";
import type { Credentials } from "../../src/pki/credentials.ts";
import { createRoot, type RootKeys } from "../../src/pki/federation-root.ts";
import { signPeering } from "../../src/pki/peering.ts";
import { createSigner } from "../../src/pki/ticket.ts";
import { startTestMember, type TestMember, type TestMemberOptions } from "../support/member.ts";
import { alice, bob, garage, handClock, hourMs, identityOf } from "../support/pki.ts";
import { membershipUnder, peersOf, startMemberUnder } from "../support/roots.ts";

const carol = parseGlobalName("carol@office.collective.local");
let root: RootKeys;
let started: TestMember[] = [];

beforeAll(async () => {
  root = await createRoot(handClock());
});
afterEach(async () => {
  await Promise.all(started.map((member) => member[Symbol.asyncDispose]()));
  started = [];
});

async function under(member: GlobalName, options: TestMemberOptions = {}, by = root): Promise<TestMember> {
  const one = await startMemberUnder(by, member, options);
  started.push(one);
  return one;
}

async function apart(member: GlobalName): Promise<TestMember> {
  const one = await startTestMember({ member });
  started.push(one);
  return one;
}

const connect = (from: TestMember, member: GlobalName, address?: string) => from.client().call(routes.connectPeer, { member, address });
const nobodyIsPeer = (): void => expect(started.map(peersOf)).toEqual(started.map(() => []));

describe("members under one root", () => {
  test("trust each other after one command at one of them, each for its own site, and the audit trail says why", async () => {
    const [atHome, atGarage] = await Promise.all([under(alice), under(bob)]);
    expect(await connect(atHome, bob, atGarage.address)).toEqual({ address: atGarage.address, trust: "root", introducer: null });
    expect([peersOf(atHome), peersOf(atGarage)]).toEqual([[bob], [alice]]);
    const rootFingerprint = atHome.service.membership?.rootFingerprint ?? "none";
    expect(atGarage.service.peers.get(alice)).toMatchObject({ introducer: null, root: rootFingerprint, address: atHome.address });
    expect(atGarage.service.credentials().trust.pems()).toEqual([atGarage.authority.certificatePem, atHome.authority.certificatePem]);
    expect((await atGarage.metadata.listAudit({ limit: 1 }))[0]).toMatchObject({
      ...{ action: "peer.added", subject: alice, actor: `root ${rootFingerprint}` },
    });
    expect(await connect(atHome, bob)).toMatchObject({ trust: "before" });
    const { peers } = await atHome.client().call(routes.listPeers, {});
    expect(peers).toMatchObject([{ member: bob, underRoot: true, introducer: null }]);
  });

  test("are asked for by the administrator alone", async () => {
    const [atHome, atGarage] = await Promise.all([under(alice), under(bob)]);
    const dora = atHome.client(await atHome.credentialsOf(identityOf("user", "dora@home.collective.local")));
    await expect(dora.call(routes.connectPeer, { member: bob, address: atGarage.address })).rejects.toMatchObject({
      code: "permission_denied",
    });
    nobodyIsPeer();
  });

  test("do not come back that way where one of them was removed, but by the administrator's command there", async () => {
    const [atHome, atGarage] = await Promise.all([under(alice), under(bob)]);
    await connect(atHome, bob, atGarage.address);
    await atHome.client().call(routes.removePeer, { member: bob });
    const conflict = { code: "conflict", message: expect.stringContaining(`${bob} was removed`) };
    await expect(joinUnderRoot(atGarage.service, { member: alice, address: atHome.address })).rejects.toMatchObject(conflict);
    // Of this one, which has forgotten alice, nothing is asked that would make it trust her.
    const fresh = await under(bob, { authority: atGarage.authority });
    await expect(joinUnderRoot(atHome.service, { member: bob, address: fresh.address })).rejects.toMatchObject(conflict);
    expect([peersOf(atHome), peersOf(fresh)]).toEqual([[], []]);
    await connect(atHome, bob, atGarage.address);
    expect(peersOf(atHome)).toEqual([bob]);
  });
});

describe("no peer becomes, with its reason,", () => {
  const refused = async (from: TestMember, to: TestMember, says: { code: string; message: string }): Promise<void> => {
    const error = { code: says.code, message: expect.stringContaining(says.message) };
    await expect(connect(from, to.member, to.address)).rejects.toMatchObject(error);
    nobodyIsPeer();
  };

  test("a member under no root, or asked by one", async () => {
    const [atHome, atOffice] = await Promise.all([under(alice), apart(carol)]);
    await refused(atHome, atOffice, { code: "not_found", message: `${carol} is under no federation root` });
    await refused(atOffice, atHome, { code: "not_found", message: `nobody that ${carol} trusts vouches for ${alice}` });
    await expect(connect(atOffice, alice)).rejects.toMatchObject({ hint: expect.stringContaining("invite generate --for member") });
  });

  test("a member under another root", async () => {
    const [atHome, atOffice] = await Promise.all([under(alice), under(carol, {}, await createRoot(handClock()))]);
    const message = "is not signed by the federation root";
    await refused(atHome, atOffice, { code: "not_authenticated", message });
    await refused(atOffice, atHome, { code: "not_authenticated", message });
  });

  test("one whose signature is for another site", async () => {
    const [atHome, atOffice] = await Promise.all([under(alice), under(carol)]);
    const liar = await under(bob, { membershipOf: () => membershipUnder(root, atOffice.authority) });
    const message = `the federation root has signed that authority for ${siteOf(carol)}, not for ${garage}`;
    await refused(atHome, liar, { code: "not_authenticated", message });
    await refused(liar, atHome, { code: "not_authenticated", message });
  });

  test("one that answers at the address of another", async () => {
    const [atHome, atGarage] = await Promise.all([under(alice), under(bob)]);
    await expect(connect(atHome, carol, atGarage.address)).rejects.toMatchObject({
      ...{ code: "not_authenticated", message: `at ${atGarage.address} is the member of ${garage}, not ${carol}` },
    });
    const namesake = parseGlobalName(`eve@${garage}`);
    await expect(connect(atHome, namesake, atGarage.address)).rejects.toMatchObject({ code: "not_authenticated" });
    expect(peersOf(atHome)).toEqual([]);
  });

  test("one whose signature has expired, on whichever side it is seen", async () => {
    const atHome = await under(alice);
    const authority = await createAuthority({ site: garage, member: bob, clock: handClock(Date.now() - authorityValidityMs + hourMs) });
    const atGarage = await under(bob, { authority });
    atHome.clock.nowMs += 2 * hourMs;
    const message = `the federation root's signature for ${garage} expired on`;
    await refused(atHome, atGarage, { code: "not_authenticated", message });
    await refused(atGarage, atHome, { code: "not_authenticated", message });
  });

  test("one whose site is known with another authority", async () => {
    const [atHome, atGarage, impostor] = await Promise.all([under(alice), under(bob), under(bob)]);
    await connect(atHome, bob, atGarage.address);
    const before = await atHome.metadata.listPeers();
    await expect(joinUnderRoot(atHome.service, { member: bob, address: impostor.address })).rejects.toMatchObject({
      ...{ code: "conflict", message: `${garage} is known with another certificate authority` },
    });
    await expect(connect(impostor, alice, atHome.address)).rejects.toMatchObject({ code: "conflict" });
    expect(await atHome.metadata.listPeers()).toEqual(before);
    expect(peersOf(impostor)).toEqual([]);
  });
});

describe("what one of them shows is good for nothing", () => {
  test("without the key of its coordinator: in the handshake, and for the proof", async () => {
    const [atHome, atGarage, atOffice] = await Promise.all([under(alice), under(bob), under(carol)]);
    const { membership } = atGarage.service;
    if (!membership) throw new Error("no membership");
    const claim = { member: bob, address: atGarage.address, inviter: siteOf(alice), basis: Buffer.from(membership.rootFingerprint, "hex") };
    const shown = { member: bob, address: atGarage.address, authorityPem: atGarage.authority.certificatePem, ...membership };
    const ask = (credentials: Credentials, proof: Uint8Array<ArrayBuffer>, more: Partial<typeof shown> = {}) =>
      askRootPeer({
        ...{ address: atHome.address, site: siteOf(alice), authorityPem: atHome.authority.certificatePem, credentials },
        request: { ...shown, ...more, proof },
      });
    const thief = atOffice.credentials;
    const good = signPeering(atGarage.signer, claim);
    const bobHimself = await atGarage.credentialsOf({ kind: "user", name: bob });
    const attempts = {
      "a proof that was overheard": () => ask(thief, good),
      "a proof of another key": () => ask(atGarage.credentials, signPeering(createSigner(thief.privateKeyPem), claim)),
      "a person of that name": () => ask(bobHimself, signPeering(createSigner(bobHimself.privateKeyPem), claim)),
      "a proof for another site": () => ask(atGarage.credentials, signPeering(atGarage.signer, { ...claim, inviter: siteOf(carol) })),
      "a proof for a code": () => ask(atGarage.credentials, signPeering(atGarage.signer, { ...claim, basis: new Uint8Array(32) })),
      "another address": () => ask(atGarage.credentials, good, { address: "evil.example:1" }),
      "another member": () => ask(atGarage.credentials, good, { member: carol }),
      "an unknown person's authority": () => ask(thief, good, { authorityPem: atOffice.authority.certificatePem }),
    };
    for (const [what, attempt] of Object.entries(attempts))
      await expect(attempt(), what).rejects.toMatchObject({ code: "not_authenticated" });
    atHome.clock.nowMs += 48 * hourMs;
    await expect(ask(atGarage.credentials, good)).rejects.toMatchObject({ message: `the certificate of ${bob} has expired` });
    atHome.clock.nowMs -= 48 * hourMs;
    nobodyIsPeer();
    expect(await ask(atGarage.credentials, good)).toMatchObject({ member: alice });
  });

  test("at a server that repeats it under its own certificate, and is told nothing", async () => {
    const [atHome, atGarage] = await Promise.all([under(alice), under(bob)]);
    const mallory = await apart(bob);
    const { certificatePem: cert, privateKeyPem: key } = mallory.credentials;
    const heard: string[] = [];
    const answer = await fetch(`https://${atGarage.address}${rootRoutes.membership.path}`, {
      ...{ method: "POST", body: encodeMessage({}), tls: { rejectUnauthorized: false } },
    } as RequestInit);
    const copied = decodeMessage(rootRoutes.membership.output, new Uint8Array(await answer.arrayBuffer()), "the answer");
    using server = Bun.serve({
      ...{ hostname: "127.0.0.1", port: 0, tls: { cert, key } },
      fetch: (request) => {
        heard.push(new URL(request.url).pathname);
        return new Response(encodeMessage(copied));
      },
    });
    await expect(connect(atHome, bob, `127.0.0.1:${server.port}`)).rejects.toMatchObject({ code: "not_authenticated" });
    expect(heard).toEqual([rootRoutes.membership.path]);
    expect(peersOf(atHome)).toEqual([]);
  });
});

describe("a stranger at the control port", () => {
  let atHome: TestMember;
  beforeAll(async () => {
    atHome = await startMemberUnder(root, alice);
  });
  afterAll(() => atHome[Symbol.asyncDispose]());

  test("is answered on those two routes alone, and only what is small and well-formed", async () => {
    const ask = async (path: string, body: Uint8Array<ArrayBuffer> | string): Promise<number> => {
      const init = { method: "POST", body, tls: { rejectUnauthorized: false } };
      return (await fetch(`https://${atHome.address}${path}`, init as RequestInit)).status;
    };
    expect(await ask(rootRoutes.membership.path, encodeMessage({}))).toBe(200);
    expect(await ask(rootRoutes.peer.path, encodeMessage({}))).toBe(400);
    expect(await ask(rootRoutes.peer.path, "nonsense")).toBe(400);
    expect(await ask(rootRoutes.peer.path, new Uint8Array(20_000))).toBe(413);
    for (const path of [routes.listPeers.path, routes.status.path, "/v1/root/other", `${rootRoutes.peer.path}/x`])
      expect(await ask(path, encodeMessage({})), path).toBe(401);
  });
});
