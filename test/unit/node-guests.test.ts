/**
 * What other members may do on a node of home that keeps chunks of theirs: garage's coordinator, which may be as malicious
 * as it likes, shed's, and home's own, which alone lets bytes in.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { authorizationOf } from "../../protocol/data.ts";
import type { ErrorCode } from "../../protocol/errors.ts";
import { type ChunkId, type GlobalName, type Identity, parseGlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { inlineStoredBytesMax, mebibyte } from "../../protocol/limits.ts";
import { ticketOperations } from "../../protocol/ticket.ts";
import { openDiskChunkStores } from "../../src/chunk/disk-stores.ts";
import type { ChunkStores } from "../../src/chunk/stores.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createDataClient, type DataClient } from "../../src/net/data-client.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { createSigner, openReceipt, type Signer } from "../../src/pki/ticket.ts";
import { type TestChunk, testChunk } from "../conformance/chunk-store.ts";
import {
  foreignCredentials,
  nameAt,
  startTestMember,
  type TestMember,
  type TestNode,
  type TicketRequest,
  ticketed,
} from "../support/member.ts";
import { expectCode } from "../support/metadata.ts";
import { alice, authorityOf, bob, garage, home, type Leaf, leafOf, type TestFolder, testFolder } from "../support/pki.ts";
import { askNode, chunkPath } from "../support/raw-node.ts";

const carol = parseGlobalName("carol@shed.collective.local");
const shed = siteOf(carol);
const capacityBytes = 16 * mebibyte;

interface Peer {
  readonly member: GlobalName;
  readonly authority: Authority;
  readonly coordinator: Leaf;
  readonly signer: Signer;
  /** One of its people, who trusts the node's member. */
  readonly client: DataClient;
}

let folder: TestFolder;
let stores: ChunkStores;
let member: TestMember;
let node: TestNode;
let ofGarage: Peer;
let ofShed: Peer;
let ownClient: DataClient;
let seeds = 9_000;

async function peerOf(peer: GlobalName): Promise<Peer> {
  const authority = await authorityOf(siteOf(peer));
  const coordinator = await leafOf(authority, { kind: "coordinator", name: peer });
  const credentials = await foreignCredentials(member, { kind: "user", name: nameAt("eve", peer) }, authority);
  return {
    member: peer,
    authority,
    coordinator,
    signer: createSigner(coordinator.privateKeyPem),
    client: createDataClient(() => credentials),
  };
}

async function trust({ member: peer, authority, coordinator }: Peer): Promise<void> {
  const { certificatePem } = coordinator;
  await member.metadata.addPeer(
    { member: peer, authorityPem: authority.certificatePem, coordinatorPem: certificatePem, address: "b:1" },
    alice,
  );
  await heard();
}

/** The coordinator knows its peers, and the node hears of it with its next heartbeat. */
async function heard(): Promise<void> {
  await member.service.peers.refresh();
  await node.register();
}

beforeAll(async () => {
  folder = await testFolder();
  member = await startTestMember();
  stores = await openDiskChunkStores({ dir: folder.path, site: home, capacityBytes, log: silentLog, clock: systemClock });
  node = await member.startNode("node-01", { stores, capacityBytes });
  const dora = await member.credentialsOf({ kind: "user", name: nameAt("dora") });
  ownClient = createDataClient(() => dora);
  ofGarage = await peerOf(bob);
  ofShed = await peerOf(carol);
  await trust(ofGarage);
  await trust(ofShed);
});
afterAll(async () => {
  await member[Symbol.asyncDispose]();
  await stores.close();
  await folder[Symbol.asyncDispose]();
});

function chunk(bytes = 1_000): TestChunk {
  return testChunk(bytes, ++seeds);
}

const may = (operation: TicketRequest["operation"], id: ChunkId, change: Partial<TicketRequest> = {}) =>
  ticketed(member, node, { operation, chunks: [id], ...change });

/** As garage's coordinator signs it. */
const byGarage = (operation: TicketRequest["operation"], id: ChunkId, change: Partial<TicketRequest> = {}) =>
  may(operation, id, { issuer: garage, signer: ofGarage.signer, ...change });

async function put(owner: Site, one: TestChunk): Promise<void> {
  await ownClient.put(may("put", one.id, { owner }), one);
}

async function kept(id: ChunkId): Promise<boolean[]> {
  return (await Promise.all([home, garage, shed].map((owner) => stores.find(owner).has([id])))).flat();
}

describe("chunks of another member", () => {
  for (const bytes of [1_000, inlineStoredBytesMax + 1]) {
    test(`come by the own coordinator's ticket and are read, checked and deleted by the owner's, ${bytes} bytes`, async () => {
      const one = chunk(bytes);
      const { client } = ofGarage;
      // The person who writes is the owner's, the ticket the host's.
      const bytesOf = await client.put(may("put", one.id, { owner: garage }), one);
      const receipt = openReceipt(bytesOf, node.signer.publicKeyRaw);
      expect(receipt).toMatchObject({ node: node.name, owner: garage, chunks: [one.id] });
      expect(await kept(one.id)).toEqual([false, true, false]);
      const into = new Uint8Array(bytes);
      expect(await client.get(byGarage("get", one.id), one.id, into)).toBe(bytes);
      expect(Buffer.compare(into, one.data)).toBe(0);
      expect((await client.getMany(byGarage("get", one.id, { owner: garage }), [one.id]))[0]?.length).toBe(bytes);
      expect(await client.verify(byGarage("verify", one.id), [one.id])).toEqual(["ok"]);
      expect(await client.delete(byGarage("delete", one.id), [one.id])).toEqual({ deletedBytes: bytes });
      expect(await kept(one.id)).toEqual([false, false, false]);
    });
  }

  test("of the same id as the own and a third's are apart, by every way in", async () => {
    const [one, two] = [chunk(), chunk()];
    const putMany = (owner: Site | undefined) =>
      ownClient.putMany(ticketed(member, node, { operation: "put", chunks: [one.id, two.id], ...(owner ? { owner } : {}) }), [one, two]);
    const owned = openReceipt(await putMany(undefined), node.signer.publicKeyRaw);
    // Exactly as before there were guests.
    expect(owned).toEqual({ version: 1, node: node.name, chunks: [one.id, two.id], storedAtMs: member.clock.nowMs });
    expect(openReceipt(await putMany(garage), node.signer.publicKeyRaw).owner).toBe(garage);
    await putMany(shed);
    await ofGarage.client.delete(byGarage("delete", one.id), [one.id]);
    expect(await kept(one.id)).toEqual([true, false, true]);
    await ownClient.delete(may("delete", two.id), [two.id]);
    expect(await kept(two.id)).toEqual([false, true, true]);
    await ownClient.delete(may("delete", two.id, { owner: shed }), [two.id]);
    expect(await kept(two.id)).toEqual([false, true, false]);
  });

  test("count in what the node says of itself, and are told apart", async () => {
    await node.register();
    const before = member.service.directory.get(node.name);
    const one = chunk(5_000);
    await put(shed, one);
    await node.register();
    const after = member.service.directory.get(node.name);
    expect((after?.usedBytes ?? 0) - (before?.usedBytes ?? 0)).toBe(5_000);
    expect(after?.guests).toEqual(stores.guests());
    expect(after?.guests?.find(({ site }) => site === shed)?.usedBytes).toBeGreaterThanOrEqual(5_000);
  });

  test("and the own ones fill one capacity", async () => {
    const many = Array.from({ length: 6 }, () => chunk(3 * mebibyte));
    const results = await Promise.allSettled(many.map((one, i) => put(i % 2 === 0 ? home : garage, one)));
    expect(results.filter(({ status }) => status === "rejected").length).toBeGreaterThan(0);
    for (const result of results) if (result.status === "rejected") expect(result.reason.code).toBe("no_space");
    expect(stores.usage().usedBytes).toBeLessThanOrEqual(capacityBytes);
    for (const owner of [home, garage]) await stores.find(owner).delete(many.map(({ id }) => id));
  });
});

describe("a malicious coordinator of a peer", () => {
  test("brings nothing in", async () => {
    const one = chunk();
    const { client } = ofGarage;
    for (const owner of [undefined, garage, home, shed]) {
      for (const operation of ["put", "replicate"] as const) {
        const target = byGarage(operation, one.id, owner ? { owner } : {});
        await expectCode("permission_denied", client.put(target, one));
        await expectCode("permission_denied", client.putMany(target, [one]));
      }
    }
    expect(await kept(one.id)).toEqual([false, false, false]);
  });

  test("reads, checks and deletes nothing that is not its own, though it knows the id", async () => {
    const [theirs, third] = [chunk(), chunk(inlineStoredBytesMax + 1)];
    await put(home, theirs);
    await put(shed, third);
    const { client } = ofGarage;
    for (const { id } of [theirs, third]) {
      for (const owner of [home, shed]) {
        await expectCode("permission_denied", client.get(byGarage("get", id, { owner }), id, new Uint8Array(mebibyte)));
        await expectCode("permission_denied", client.getMany(byGarage("get", id, { owner }), [id]));
        await expectCode("permission_denied", client.verify(byGarage("verify", id, { owner }), [id]));
        await expectCode("permission_denied", client.delete(byGarage("delete", id, { owner }), [id]));
      }
      // With a ticket that it may give, these are chunks that do not exist.
      await expectCode("not_found", client.get(byGarage("get", id), id, new Uint8Array(mebibyte)));
      expect(await client.getMany(byGarage("get", id), [id])).toEqual([null]);
      expect(await client.verify(byGarage("verify", id), [id])).toEqual(["missing"]);
      expect(await client.delete(byGarage("delete", id), [id])).toEqual({ deletedBytes: 0 });
    }
    expect([await kept(theirs.id), await kept(third.id)]).toEqual([
      [true, false, false],
      [false, false, true],
    ]);
  });

  test("speaks for nobody else, and nobody of its site speaks for it", async () => {
    const [theirs, own] = [chunk(), chunk()];
    await put(home, theirs);
    await put(garage, own);
    const keyOf = async (identity: Identity) => createSigner((await leafOf(ofGarage.authority, identity)).privateKeyPem);
    const signers: readonly (readonly [string, ChunkId, Partial<TicketRequest>])[] = [
      ["in the name of home", theirs.id, { issuer: home }],
      ["in the name of home, for its own", own.id, { issuer: home, owner: garage }],
      ["in the name of shed", own.id, { issuer: shed }],
      ["by its authority", own.id, { signer: createSigner(ofGarage.authority.privateKeyPem) }],
      ["by a node of it", own.id, { signer: await keyOf({ kind: "node", name: nameAt("node-01", bob) }) }],
      ["by a person of it", own.id, { signer: await keyOf({ kind: "user", name: bob }) }],
      ["by a coordinator that is not the one that is known", own.id, { signer: await keyOf({ kind: "coordinator", name: bob }) }],
      ["by the node itself", own.id, { signer: node.signer }],
      ["by home, in garage's name", own.id, { signer: member.signer }],
    ];
    for (const [, id, change] of signers) {
      for (const operation of ticketOperations) {
        const ticket = byGarage(operation, id, change).ticket;
        const certificate = await member.credentialsOf({ kind: "user", name: nameAt("dora") });
        const headers = { authorization: authorizationOf(ticket) };
        expect(await askNode(member, node, { method: "GET", path: chunkPath(id), headers, certificate })).toMatchObject({
          status: 401,
          code: "not_authenticated" satisfies ErrorCode,
        });
      }
    }
    expect([await kept(theirs.id), await kept(own.id)]).toEqual([
      [true, false, false],
      [false, true, false],
    ]);
  });
});

describe("a peer", () => {
  test("that signs with another key is believed by that one from the next heartbeat on", async () => {
    const one = chunk();
    await put(shed, one);
    const read = (signer: Signer) => ofShed.client.get(may("get", one.id, { issuer: shed, signer }), one.id, new Uint8Array(1_000));
    await read(ofShed.signer);
    const fresh = await leafOf(ofShed.authority, { kind: "coordinator", name: carol });
    const freshSigner = createSigner(fresh.privateKeyPem);
    await expectCode("not_authenticated", read(freshSigner));
    await member.metadata.updatePeer(carol, { coordinatorPem: fresh.certificatePem });
    await heard();
    await read(freshSigner);
    await expectCode("not_authenticated", read(ofShed.signer));
  });

  test("that was removed has no tickets any more, also those used before; what it left is the own coordinator's to delete", async () => {
    const one = chunk();
    await put(garage, one);
    const target = byGarage("get", one.id);
    const reads = () => ownClient.get(target, one.id, new Uint8Array(1_000));
    await reads();
    await member.metadata.removePeer(bob, alice);
    await member.service.peers.refresh();
    // Until it hears of it the node goes by what it knows.
    await reads();
    await node.register();
    await expectCode("not_authenticated", reads());
    for (const operation of ticketOperations)
      await expectCode("not_authenticated", ownClient.delete(byGarage(operation, one.id), [one.id]));
    // What was let in for its people is void, too, and TLS does not know them.
    await expectCode("not_authenticated", ownClient.put(may("put", one.id, { owner: garage, holder: nameAt("eve", bob) }), one));
    await expectCode("unavailable", ofGarage.client.get(target, one.id, new Uint8Array(1_000)));
    expect(await ownClient.delete(may("delete", one.id, { owner: garage }), [one.id])).toEqual({ deletedBytes: 1_000 });
    await trust(ofGarage);
    await put(garage, one);
    await reads();
  });
});
