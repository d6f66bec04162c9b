/** A node in trouble, full, stopping or changing its certificate; and who may speak to it at all. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { authorizationOf } from "../../protocol/data.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, globalName, parseLocalName } from "../../protocol/ids.ts";
import { mebibyte, smallChunkBytes } from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { createMemoryChunkStore, type MemoryChunkStore } from "../../src/chunk/memory.ts";
import { createDataClient, type DataClient } from "../../src/net/data-client.ts";
import { assembleCredentials, type Credentials } from "../../src/pki/credentials.ts";
import { type TestChunk, testChunk } from "../conformance/chunk-store.ts";
import { openDiskStore } from "../support/disk-store.ts";
import { nameAt, startTestMember, type TestMember, type TestNode, type TicketRequest, ticketed } from "../support/member.ts";
import { expectCode } from "../support/metadata.ts";
import { alice, authorityOf, bob, garage, hourMs, leafOf, rogueLeaf, testFolder } from "../support/pki.ts";
import { askNode, chunkPath, type Presented, rawConnection } from "../support/raw-node.ts";

let member: TestMember;
let node: TestNode;
let store: MemoryChunkStore;
let dora: Credentials;
let client: DataClient;
let seeds = 5_000;

beforeAll(async () => {
  member = await startTestMember();
  store = createMemoryChunkStore({ capacityBytes: 64 * mebibyte });
  node = await member.startNode("node-01", { store });
  dora = await member.credentialsOf({ kind: "user", name: nameAt("dora") });
  client = createDataClient(() => dora);
});
afterAll(() => member[Symbol.asyncDispose]());

/** Different from every other one. */
function chunk(bytes = 1_000): TestChunk {
  return testChunk(bytes, ++seeds);
}

function may(operation: TicketRequest["operation"], one: TestChunk | ChunkId): TicketedNode {
  return ticketed(member, node, { operation, chunks: [typeof one === "string" ? one : one.id] });
}

async function kept(...ids: readonly ChunkId[]): Promise<boolean[]> {
  return store.has(ids);
}

describe("a node's own trouble", () => {
  test("is no news of the chunk: another node may have it", async () => {
    const one = chunk();
    const broken = createMemoryChunkStore({ capacityBytes: mebibyte });
    const fail = () => Promise.reject(new Error("the index is on fire"));
    const ill = await member.startNode("ill-01", { store: { ...broken, put: fail, get: fail, putMany: fail, verify: fail } });
    const target = (operation: TicketRequest["operation"]) => ticketed(member, ill, { operation, chunks: [one.id] });
    const calls = [
      () => client.put(target("put"), one),
      () => client.putMany(target("put"), [one]),
      () => client.get(target("get"), one.id, new Uint8Array(1_000)),
      () => client.getMany(target("get"), [one.id]),
      () => client.verify(target("verify"), [one.id]),
    ];
    for (const call of calls) {
      const error = await expectCode("unavailable", call());
      expect(error.message).not.toContain("fire");
      expect(error.message).toContain("ill-01");
    }
  });

  test("with a file that is gone is told as a chunk that is gone", async () => {
    await using folder = await testFolder();
    const disk = await openDiskStore(folder.path);
    const holed = await member.startNode("holed-01", { store: disk });
    const large = chunk(mebibyte);
    const target = (operation: TicketRequest["operation"]) => ticketed(member, holed, { operation, chunks: [large.id] });
    await client.put(target("put"), large);
    const { path } = disk.locate(large.id) ?? { path: "" };
    await rm(path);
    await expectCode("not_found", client.get(target("get"), large.id, new Uint8Array(mebibyte)));
    expect(await client.getMany(target("get"), [large.id])).toEqual([null]);
    expect(await client.verify(target("verify"), [large.id])).not.toEqual(["ok"]);
    await holed.kill();
    await disk.close();
  });
});

describe("room", () => {
  test("that is not there is refused with what there is", async () => {
    const full = await member.startNode("full-01", { capacityBytes: 10_000 });
    const target = (one: TestChunk) => ticketed(member, full, { operation: "put", chunks: [one.id] });
    const first = chunk(8_000);
    await client.put(target(first), first);
    const second = chunk(3_000);
    const error = await expectCode("no_space", client.put(target(second), second));
    expect(error.details).toMatchObject({ usedBytes: 8_000, capacityBytes: 10_000, neededBytes: 3_000 });
    await expectCode("no_space", client.putMany(target(second), [second]));
    const fits = chunk(2_000);
    await client.put(target(fits), fits);
    expect(await full.store.has([first.id, second.id, fits.id])).toEqual([true, false, true]);
  });
});

describe("who speaks", () => {
  test("has a certificate of a trusted authority, or no connection", async () => {
    const { id } = chunk();
    const request = { method: "GET", path: chunkPath(id), headers: { authorization: authorizationOf(may("get", id).ticket) } };
    expect(await askNode(member, node, { ...request, certificate: dora })).toMatchObject({ code: "not_found" });
    // The handshake fails, so there is no answer that could be read.
    const noConnection = async (certificate: Presented | undefined) => {
      const outcome = await askNode(member, node, { ...request, certificate }).catch((error: Error) => error);
      expect(outcome).toBeInstanceOf(Error);
      expect(outcome).not.toBeInstanceOf(CollectiveError);
    };
    await noConnection(undefined);
    const stranger = await leafOf(await authorityOf(garage), { kind: "user", name: bob });
    await noConnection(stranger);
    const expired = await leafOf(member.authority, { kind: "user", name: alice }, { nowMs: Date.now() - 3 * hourMs, validityMs: hourMs });
    await noConnection(expired);
    const bySomebody = await rogueLeaf(await authorityOf(garage), {
      names: [{ type: "url", value: `collective://home.collective.local/user/alice` }],
      purposes: ["client"],
    });
    await noConnection(bySomebody);
  });

  test("believes only the node it wants to speak to", async () => {
    const one = chunk();
    const impostor = { ...may("put", one), node: nameAt("node-02") };
    const error = await expectCode("not_authenticated", client.put(impostor, one));
    expect(error.message).toContain("another name");
    const elsewhere = { ...may("put", one), node: globalName(parseLocalName("node-01"), garage) };
    await expectCode("not_authenticated", client.put(elsewhere, one));
    const otherHome = await authorityOf("home.collective.local");
    const { certificatePem, privateKeyPem } = await leafOf(otherHome, { kind: "user", name: alice });
    const misled = createDataClient(() =>
      assembleCredentials({ certificatePem, privateKeyPem, authorityPem: otherHome.certificatePem, trustedAuthorityPems: [] }),
    );
    await expectCode("not_authenticated", misled.put(may("put", one), one));
    expect(await kept(one.id)).toEqual([false]);
  });

  test("hears that a node is away", async () => {
    const gone = await member.startNode("gone-01");
    await gone.kill();
    const one = chunk();
    const error = await expectCode("unavailable", client.put(ticketed(member, gone, { operation: "put", chunks: [one.id] }), one));
    expect(error.details.sent).toBe(false);
  });
});

test("stopping waits for no client that has fallen silent", async () => {
  const { id } = chunk();
  for (const sends of ["nothing", "half a request"]) {
    const held = await member.startNode(`held-${sends.length}`);
    const socket = rawConnection(member, held, dora);
    await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
    if (sends !== "nothing") {
      const { ticket: bytes } = ticketed(member, held, { operation: "put", chunks: [id] });
      socket.write(
        `PUT ${chunkPath(id)} HTTP/1.1\r\nhost: node\r\nauthorization: ${authorizationOf(bytes)}\r\ncontent-length: 1000\r\n\r\nbeginning`,
      );
    }
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await Promise.all([held.server.stop(), held.server.stop()]);
    await closed;
  }
});

test("reloading loses no request", async () => {
  const busy = await member.startNode("busy-01");
  const one = chunk(200_000);
  const target = (operation: TicketRequest["operation"]) => ticketed(member, busy, { operation, chunks: [one.id] });
  await client.put(target("put"), one);
  let stop = false;
  let done = 0;
  const failures: unknown[] = [];
  const working = Array.from({ length: 6 }, async (_, index) => {
    const into = new Uint8Array(smallChunkBytes * 4);
    while (!stop) {
      const call = index % 2 === 0 ? client.get(target("get"), one.id, into) : client.put(target("put"), one);
      await call.then(
        () => done++,
        (error: unknown) => failures.push(error),
      );
    }
  });
  for (let round = 0; round < 4; round++) {
    const before = done;
    busy.server.reload(await member.credentialsOf({ kind: "node", name: busy.name }));
    while (done < before + 40 && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  stop = true;
  await Promise.all(working);
  expect(failures).toEqual([]);
  expect(done).toBeGreaterThan(150);
});
