/** Who was revoked: refused at the next request, on connections that are open too, and its tickets at the next heartbeat. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Identity, rootInode } from "../../protocol/ids.ts";
import { parseSubjectPattern } from "../../protocol/rights.ts";
import { type RouteName, routes } from "../../protocol/routes.ts";
import { createRevocations } from "../../src/coordinator/revocations.ts";
import { createDataClient } from "../../src/net/data-client.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { assembleCredentials, type Credentials } from "../../src/pki/credentials.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { testChunk } from "../conformance/chunk-store.ts";
import { content, ingestFile, readContent } from "../support/content.ts";
import { nameAt, startTestMember, type TestMember, type TestNode } from "../support/member.ts";
import { sampleInputs } from "../support/messages.ts";
import { createStore, expectCode, newUpload } from "../support/metadata.ts";
import { alice, home, hourMs, leafOf } from "../support/pki.ts";

let member: TestMember;
beforeAll(async () => {
  member = await startTestMember();
});
afterAll(() => member[Symbol.asyncDispose]());

const listRoot = { inode: rootInode };
const routeNames = Object.keys(routes) as RouteName[];

function revoke(who: string, kind?: "user" | "node") {
  return member.client().call(routes.revoke, { who, kind });
}

/** Issued by the administrator, so that the coordinator knows who has joined. */
async function joined(identity: Identity, privateKeyPem = generateKeyPair().privateKeyPem): Promise<Credentials> {
  const csrPem = await createCsr({ privateKeyPem, commonName: identity.name });
  const issued = await member.client().call(routes.issueCertificate, { csrPem, ...identity });
  return assembleCredentials({ ...issued, privateKeyPem, trustedAuthorityPems: [] });
}

async function expired(identity: Identity, agoMs: number): Promise<Credentials> {
  const leaf = await leafOf(member.authority, identity, { nowMs: Date.now() - agoMs - hourMs, validityMs: hourMs });
  return assembleCredentials({ ...leaf, authorityPem: member.authority.certificatePem, trustedAuthorityPems: [] });
}

describe("a person who is revoked", () => {
  test("is refused at the next request, whatever it is, and its ticket after the next heartbeat", async () => {
    const dora: Identity = { kind: "user", name: nameAt("dora") };
    const own = await joined(dora);
    const node = await member.startNode("node-01");
    const store = await createStore(member.metadata, "dora-s");
    const subject = parseSubjectPattern(dora.name);
    await member.metadata.grant({ inode: store.inode, subject, rights: ["read", "write"], grantedBy: alice, expiresMs: null });
    const client = member.client(own);
    const chunk = testChunk(1_000, 1);
    const allocate = { upload: newUpload(), store: store.inode, exclude: [], receipts: [] };
    const chunks = [{ id: chunk.id, storedBytes: chunk.data.length, codec: "none" as const }];
    const target = (await client.call(routes.allocate, { ...allocate, chunks })).nodes[0];
    if (!target) throw new Error("no ticket");
    const nodes = createDataClient(() => own);
    await nodes.put(target, chunk);

    expect(await revoke("dora")).toEqual({ kind: "user", name: dora.name });
    for (const name of routeNames) {
      const error = await expectCode("not_authenticated", client.call(routes[name], sampleInputs[name] as never));
      expect(error.message).toMatch(/^dora@home\.collective\.local was revoked on \d{4}-/);
    }
    await node.register();
    const error = await expectCode("not_authenticated", nodes.put(target, chunk));
    expect(error.message).toStartWith("the ticket was withdrawn");
    // Neither does it come back by itself: not with another certificate for that key, and not with one that has expired.
    await expectCode("not_authenticated", member.client(await joinedOffline(dora, own)).call(routes.getAttr, listRoot));
    const csrPem = await createCsr({ privateKeyPem: own.privateKeyPem, commonName: dora.name });
    await expectCode("conflict", member.client().call(routes.issueCertificate, { csrPem, ...dora }));
    const old = await expired(dora, hourMs);
    await expectCode("not_authenticated", member.client(old).call(routes.renewCertificate, { csrPem }));
    // All of this holds for a coordinator that has just started.
    const restarted = await createRevocations(member.metadata);
    expect(restarted.isRevoked({ ...dora, publicKeyRaw: own.info.publicKeyRaw })).toBe(true);

    // With a new key the administrator lets it in again, without the rights of before; the old one stays out.
    const again = member.client(await joined(dora));
    expect((await again.call(routes.getAttr, listRoot)).inode).toBe(rootInode);
    await expectCode("not_authenticated", client.call(routes.getAttr, listRoot));
    await expectCode("not_found", again.call(routes.list, { inode: store.inode, limit: 1 }));
    await member.metadata.grant({ inode: store.inode, subject, rights: ["write"], grantedBy: alice, expiresMs: null });
    member.clock.nowMs += 1;
    const fresh = (await again.call(routes.allocate, { ...allocate, upload: newUpload(), chunks })).nodes[0] ?? target;
    await node.register();
    await nodes.put(fresh, chunk);
  });

  /** As somebody with access to the authority could make one. */
  async function joinedOffline(identity: Identity, { privateKeyPem }: Credentials): Promise<Credentials> {
    const csrPem = await createCsr({ privateKeyPem, commonName: identity.name });
    const certificatePem = await member.authority.issue({ csrPem, identity, validityMs: hourMs, nowMs: member.clock.nowMs });
    return assembleCredentials({ certificatePem, privateKeyPem, authorityPem: member.authority.certificatePem, trustedAuthorityPems: [] });
  }

  test("takes what it granted along: those it had shared with lose it, their tickets too", async () => {
    const [sven, eve] = [nameAt("sven"), nameAt("eva")];
    const node = await member.startNode("node-05");
    const store = await createStore(member.metadata, "sven-s");
    const { attr } = await ingestFile(member.remote(), store, { name: "file", source: content(1_000, 5) });
    const grant = { inode: store.inode, expiresMs: null };
    const everybody = parseSubjectPattern("*@home.collective.local");
    const mayRead = { ...grant, subject: parseSubjectPattern(sven), rights: ["read" as const], grantedBy: alice };
    await member.metadata.grant({ ...grant, subject: everybody, rights: ["share"], grantedBy: alice });
    await member.metadata.grant(mayRead);
    const [hers, his] = [await member.credentialsOf({ kind: "user", name: eve }), await joined({ kind: "user", name: sven })];
    await member.client(his).call(routes.grantAccess, { inode: store.inode, subject: parseSubjectPattern(eve), rights: ["read"] });
    member.clock.nowMs += 1;
    const remote = member.remote({ credentials: hers });
    const locate = () => remote.control.call(routes.locate, { files: [{ inode: attr.inode, offset: 0, lengthBytes: 1_000 }] });
    const held = await locate();
    const [target, chunk] = [held.nodes[0], held.files[0]?.extents[0]?.chunk];
    if (!target || !chunk) throw new Error("no ticket");
    const nodes = createDataClient(() => hers);
    await nodes.get(target, chunk, new Uint8Array(10_000));

    await revoke("sven");
    await expectCode("not_found", locate());
    for (const one of member.nodes()) await one.register();
    await expectCode("not_authenticated", nodes.get(target, chunk, new Uint8Array(10_000)));
    const { grants } = await member.client().call(routes.listAccess, { inode: store.inode });
    expect(grants.map(({ subject }) => subject)).toEqual([everybody]);
    // Neither does it come back with the next who is called so.
    const next = member.client(await joined({ kind: "user", name: sven }));
    await expectCode("permission_denied", next.call(routes.list, { inode: store.inode, limit: 1 }));
    await member.metadata.grant(mayRead);
    expect((await next.call(routes.list, { inode: store.inode, limit: 1 })).entries).toHaveLength(1);
    await expectCode("not_found", locate());
    await node.kill();
  });

  test("gets in by no code that was made for it before", async () => {
    const invite = { kind: "person" as const, grants: [], usesMax: 5, validityMs: hourMs, description: "" };
    await joined({ kind: "user", name: nameAt("ines") });
    const made = await member.client().call(routes.createInvite, { ...invite, name: "ines" });
    const other = await member.client().call(routes.createInvite, { ...invite, name: "iris" });
    await revoke("ines");
    const { invites } = await member.client().call(routes.listInvites, {});
    const revokedMs = (id: string) => invites.find((one) => one.id === id)?.revokedMs;
    expect([revokedMs(made.invite.id), revokedMs(other.invite.id)]).toEqual([member.clock.nowMs, null]);
    const redeem = { id: made.invite.id, name: nameAt("ines"), publicKeyRaw: new Uint8Array(32).fill(7) };
    expect((await expectCode("permission_denied", member.metadata.redeemInvite(redeem))).message).toBe("this code was revoked");
  });

  test("need not have joined by the coordinator: its name is refused as a whole", async () => {
    const eve: Identity = { kind: "user", name: nameAt("eve") };
    const client = member.client(await member.credentialsOf(eve));
    await client.call(routes.getAttr, listRoot);
    await expectCode("not_found", revoke("eve"));
    await revoke("eve", "user");
    await revoke("eve", "user");
    await expectCode("not_authenticated", client.call(routes.getAttr, listRoot));
    await expectCode("not_authenticated", member.client(await member.credentialsOf(eve)).call(routes.getAttr, listRoot));
  });
});

describe("a node that is revoked", () => {
  test("is out at once: no heartbeat, no new copies, no reads; files with other copies stay whole", async () => {
    await using other = await startTestMember();
    const nodes = await Promise.all(["node-01", "node-02", "node-03"].map((name) => other.startNode(name)));
    const [first] = nodes;
    if (!first) throw new Error("no node");
    const store = await createStore(other.metadata, "s", { replicas: 2 });
    const remote = other.remote();
    const bytes = content(3_000_000);
    const { attr } = await ingestFile(remote, store, { name: "before", source: bytes });
    // Of an upload under way a receipt of that node is on its way.
    const chunk = testChunk(2_000, 2);
    const upload = newUpload();
    const chunks = [{ id: chunk.id, storedBytes: chunk.data.length, codec: "none" as const }];
    const exclude = nodes.slice(1).map((node) => node.name);
    const request = { upload, store: store.inode, chunks, receipts: [] };
    const target = (await remote.control.call(routes.allocate, { ...request, exclude })).nodes[0];
    if (!target) throw new Error("no ticket");
    const receipt = await remote.data.put(target, chunk);

    expect(await other.client().call(routes.revoke, { who: first.name })).toEqual({ kind: "node", name: first.name });
    const { identity } = first.credentials;
    const error = await expectCode("not_authenticated", other.client(first.credentials).call(routes.heartbeat, sampleInputs.heartbeat));
    expect(error.message).toStartWith(`${identity.name} was revoked on `);
    expect(other.service.directory.get(first.name)).toBeUndefined();
    expect(other.service.directory.list().find((node) => node.name === first.name)?.state).toBe("dead");
    const located = await remote.control.call(routes.locate, { files: [{ inode: attr.inode, offset: 0, lengthBytes: bytes.length }] });
    expect(located.nodes.map(({ node }) => node)).not.toContain(first.name);
    expect(Buffer.compare(await readContent(remote, attr.inode), bytes)).toBe(0);
    const again = await remote.control.call(routes.allocate, { ...request, exclude: [], receipts: [{ node: first.name, receipt }] });
    expect(again.stored).toEqual([0]);
    expect(again.nodes.map(({ node }) => node).sort()).toEqual([nameAt("node-02"), nameAt("node-03")]);
    await ingestFile(remote, store, { name: "after", source: content(1_000_000, 2) });
    expect((await first.store.has([chunk.id]))[0]).toBe(true);
  });
});

test("a ticket that was withdrawn though its holder has the right is replaced, and no node is thought ill of", async () => {
  await using other = await startTestMember();
  let withdrawn = 0;
  const nodes: TestNode[] = [];
  const intercept = async (request: Request): Promise<undefined> => {
    if (request.method === "GET" || withdrawn++ > 0) return;
    // A grant to all of the site becomes smaller, and the node learns of it before the chunk arrives.
    const grant = { inode: store.inode, subject: parseSubjectPattern("*@home.collective.local"), grantedBy: alice, expiresMs: null };
    await other.metadata.grant({ ...grant, rights: ["read"] });
    other.clock.nowMs += 1;
    for (const node of nodes) await node.register();
  };
  for (const name of ["node-01", "node-02"]) nodes.push(await other.startNode(name, { intercept }));
  const store = await createStore(other.metadata, "s", { replicas: 2 });
  const remote = other.remote();
  await ingestFile(remote, store, { name: "file", source: content(900_000) });
  expect(withdrawn).toBeGreaterThan(1);
  expect(remote.failedLately()).toEqual([]);
  const [{ degradedChunks } = { degradedChunks: -1 }] = await other.metadata.listStores();
  expect(degradedChunks).toBe(0);
});

describe("what can be revoked", () => {
  test("a single certificate by its serial; others of the same person go on", async () => {
    const identity: Identity = { kind: "user", name: nameAt("frida") };
    const [lost, kept] = [await member.credentialsOf(identity), await member.credentialsOf(identity)];
    expect(await revoke(lost.info.serial)).toEqual({ kind: "certificate", name: lost.info.serial });
    const error = await expectCode("not_authenticated", member.client(lost).call(routes.getAttr, listRoot));
    expect(error.message).toContain(lost.info.serial);
    await member.client(kept).call(routes.getAttr, listRoot);
  });

  test("not the administrator, nor the certificate that asks, nor a name of another site", async () => {
    await expectCode("conflict", revoke("alice"));
    await expectCode("conflict", revoke(alice, "user"));
    const administrator = await member.credentialsOf({ kind: "user", name: alice });
    const { serial } = administrator.info;
    await expectCode("conflict", member.client(administrator).call(routes.revoke, { who: serial }));
    await expectCode("permission_denied", revoke("dora@garage.collective.local", "user"));
    await expectCode("invalid_argument", revoke("no name", "user"));
    await member.client(administrator).call(routes.getAttr, listRoot);
  });

  test("a name that is a person and a node only when it is said which", async () => {
    await joined({ kind: "user", name: nameAt("both") });
    const node = await joined({ kind: "node", name: nameAt("both") });
    const error = await expectCode("conflict", revoke("both"));
    expect(error.hint).toContain("--kind");
    await revoke("both", "user");
    await member.client(node).call(routes.heartbeat, sampleInputs.heartbeat);
  });
});

test("heartbeats carry withdrawals only to whom does not have them", async () => {
  await using other = await startTestMember();
  const node = await other.startNode("node-01");
  const client = other.client(node.credentials);
  const first = await client.call(routes.heartbeat, sampleInputs.heartbeat);
  expect(first.withdrawals?.lists).toEqual([{ issuer: home, list: [] }]);
  const beat = (withdrawals: string | undefined) => client.call(routes.heartbeat, { ...sampleInputs.heartbeat, withdrawals });
  expect((await beat(first.withdrawals?.revision)).withdrawals).toBeUndefined();
  await other.client().call(routes.revoke, { who: "dora", kind: "user" });
  const second = await beat(first.withdrawals?.revision);
  expect(second.withdrawals?.lists).toEqual([{ issuer: home, list: [{ holder: nameAt("dora"), untilMs: other.clock.nowMs }] }]);
  expect((await beat(second.withdrawals?.revision)).withdrawals).toBeUndefined();
});
