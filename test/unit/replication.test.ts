/** A node that fetches chunks from another one: over real TLS, by its coordinator's ticket alone, and nothing unverified. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { encodeMessage } from "../../protocol/codec.ts";
import { authorizationOf, dataPaths } from "../../protocol/data.ts";
import { chunkIdToBytes } from "../../protocol/ids.ts";
import { batchBytesMax, inlineStoredBytesMax, mebibyte, storedChunkBytesMax } from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { ticketOperations } from "../../protocol/ticket.ts";
import { createMemoryChunkStore, type MemoryChunkStore } from "../../src/chunk/memory.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { createBufferPool } from "../../src/core/buffers.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { createLimiter } from "../../src/core/limiter.ts";
import type { DataClient } from "../../src/net/data-client.ts";
import { createReplication } from "../../src/node/replication.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, openReceipt } from "../../src/pki/ticket.ts";
import { type TestChunk, testChunk } from "../conformance/chunk-store.ts";
import { until } from "../support/content.ts";
import { nameAt, startTestMember, type TestMember, type TestNode, ticketed } from "../support/member.ts";
import { expectCode } from "../support/metadata.ts";
import { bob, garage } from "../support/pki.ts";
import { askNode } from "../support/raw-node.ts";

let member: TestMember;
let source: TestNode;
let target: TestNode;
let held: MemoryChunkStore;
let kept: MemoryChunkStore;
let client: DataClient;
let seeds = 500;
const buffers = createBufferPool({ bufferBytes: storedChunkBytesMax, keepMax: 1 });

beforeEach(async () => {
  member = await startTestMember();
  held = createMemoryChunkStore({ capacityBytes: 64 * mebibyte });
  kept = createMemoryChunkStore({ capacityBytes: 16 * mebibyte });
  source = await member.startNode("node-01", { store: held });
  target = await member.startNode("node-02", { store: kept });
  client = member.service.nodes;
});
afterEach(() => member[Symbol.asyncDispose]());

async function chunk(bytes = 1_000, store: ChunkStore = held): Promise<TestChunk> {
  const made = testChunk(bytes, ++seeds);
  await store.put(made.id, made.data);
  return made;
}

const wanted = (...chunks: readonly TestChunk[]) => chunks.map(({ id, data }) => ({ id, storedBytes: data.length }));
const idsOf = (chunks: readonly TestChunk[]) => chunks.map(({ id }) => id);
const from = (chunks: readonly TestChunk[], at: Pick<TestNode, "name" | "address"> = source): TicketedNode =>
  ticketed(member, at, { operation: "get", chunks: idsOf(chunks) });
const replicate = (chunks: readonly TestChunk[], at: TicketedNode = from(chunks)) =>
  client.replicate(ticketed(member, target, { operation: "replicate", chunks: idsOf(chunks) }), { source: at, chunks: wanted(...chunks) });

describe("a node fetches", () => {
  test("chunks of every size, and its receipt names them", async () => {
    const chunks = [];
    for (const bytes of [1, 1_000, inlineStoredBytesMax, inlineStoredBytesMax + 1, storedChunkBytesMax]) chunks.push(await chunk(bytes));
    const { receipt, failed } = await replicate(chunks);
    expect(failed).toEqual([]);
    const opened = openReceipt(receipt ?? new Uint8Array(0), target.signer.publicKeyRaw);
    expect([...opened.chunks].sort()).toEqual(idsOf(chunks).sort());
    for (const { id, data } of chunks) expect(Buffer.compare(await kept.get(id), data)).toBe(0);
  });

  test("only what it has not, and heals a copy of its own that is damaged", async () => {
    const [there, damaged] = [await chunk(), await chunk()];
    for (const { id, data } of [there, damaged]) await kept.put(id, data);
    kept.damage(damaged.id);
    await held.delete([there.id]);
    const { receipt, failed } = await replicate([there, damaged]);
    expect(failed).toEqual([]);
    expect(openReceipt(receipt ?? new Uint8Array(0), target.signer.publicKeyRaw).chunks).toHaveLength(2);
    expect(await kept.verify([there.id, damaged.id])).toEqual(["ok", "ok"]);
  });

  test("what it can, and says of each other chunk why not", async () => {
    const [good, damaged, gone] = [await chunk(), await chunk(), await chunk()];
    held.damage(damaged.id);
    await held.delete([gone.id]);
    const { receipt, failed } = await replicate([good, damaged, gone]);
    expect(openReceipt(receipt ?? new Uint8Array(0), target.signer.publicKeyRaw).chunks).toEqual([good.id]);
    expect(new Map(failed.map(({ id, code }) => [id, code]))).toEqual(
      new Map([
        [damaged.id, "corrupt"],
        [gone.id, "not_found"],
      ]),
    );
    expect(await kept.has([damaged.id, gone.id])).toEqual([false, false]);
  });

  test("no more than it has room for", async () => {
    const chunks = [await chunk(4 * mebibyte), await chunk(4 * mebibyte)];
    for (let i = 0; i < 3; i++) await chunk(4 * mebibyte, kept);
    const { receipt, failed } = await replicate(chunks);
    expect(openReceipt(receipt ?? new Uint8Array(0), target.signer.publicKeyRaw).chunks).toHaveLength(1);
    expect(failed.map(({ code }) => code)).toEqual(["no_space"]);
  });

  test("a guest's chunks for that guest alone, and its receipt says so", async () => {
    const one = testChunk(1_000, 77);
    await (await source.stores.open(garage)).put(one.id, one.data);
    const ofGuest = { operation: "replicate", owner: garage, chunks: [one.id] } as const;
    const at = ticketed(member, source, { ...ofGuest, operation: "get" });
    const { receipt } = await client.replicate(ticketed(member, target, ofGuest), { source: at, chunks: wanted(one) });
    expect(openReceipt(receipt ?? new Uint8Array(0), target.signer.publicKeyRaw)).toMatchObject({ owner: garage, chunks: [one.id] });
    expect([await kept.has([one.id]), await target.stores.find(garage).has([one.id])]).toEqual([[false], [true]]);
  });

  test("nothing from a node that is gone, and says so without a receipt", async () => {
    const chunks = [await chunk(), await chunk()];
    await source.kill();
    const { receipt, failed } = await replicate(chunks);
    expect(receipt).toBeNull();
    expect(failed.map(({ code }) => code)).toEqual(["unavailable", "unavailable"]);
  });
});

describe("a node refuses", () => {
  test("every ticket but one to replicate, for itself, from its own coordinator", async () => {
    const one = await chunk();
    const other = createSigner(generateKeyPair().privateKeyPem);
    const body = { source: from([one]), chunks: wanted(one) };
    for (const operation of ticketOperations) {
      if (operation === "replicate") continue;
      await expectCode("permission_denied", client.replicate(ticketed(member, target, { operation, chunks: [one.id] }), body));
    }
    const asks = (request: Parameters<typeof ticketed>[2]) => client.replicate(ticketed(member, target, request), body);
    const right = { operation: "replicate", chunks: [one.id] } as const;
    await expectCode("permission_denied", asks({ ...right, chunks: [(await chunk()).id] }));
    await expectCode("permission_denied", asks({ ...right, node: source.name }));
    await expectCode("not_authenticated", asks({ ...right, signer: other }));
    await expectCode("not_authenticated", asks({ ...right, issuer: garage, signer: other }));
    await expectCode("too_large", asks({ ...right, bytesMax: 999 }));
    expect(kept.usage().usedBytes).toBe(0);
  });

  test("to speak to anybody but the node that is named, whoever answers at the address", async () => {
    const one = await chunk();
    // Another node of the same member stands at the address.
    const third = await member.startNode("node-03", { store: held });
    const { failed } = await replicate([one], { ...from([one]), address: third.address });
    expect(failed.map(({ code }) => code)).toEqual(["not_authenticated"]);
    // And a node of a site whose authority nobody here trusts.
    const elsewhere = { ...from([one]), node: nameAt("node-01", bob) };
    expect((await replicate([one], elsewhere)).failed.map(({ code }) => code)).toEqual(["not_authenticated"]);
    expect(kept.usage().usedBytes).toBe(0);
  });

  test("what is more than one ticket allows, and more bytes than a chunk has", async () => {
    const one = await chunk();
    const longer = { id: one.id, data: one.data.subarray(0, 999) };
    const { failed } = await replicate([longer], from([one]));
    expect(failed.map(({ code }) => code)).toEqual(["corrupt"]);
    const many = [];
    for (let bytes = 0; bytes <= batchBytesMax; bytes += 4 * mebibyte) many.push(await chunk(4 * mebibyte));
    await expectCode("too_large", replicate(many));
    const answer = await askNode(member, target, {
      method: "POST",
      path: dataPaths.replicate,
      certificate: target.credentials,
      headers: { authorization: authorizationOf(ticketed(member, target, { operation: "replicate", chunks: [one.id] }).ticket) },
      body: encodeMessage({ source: from([one]), chunks: [{ id: chunkIdToBytes(one.id), storedBytes: storedChunkBytesMax + 1 }] }),
    });
    expect(answer.status).toBe(400);
  });
});

describe("what is under way", () => {
  test("ends with the request, and nothing stays of it", async () => {
    const one = await chunk();
    let asked = false;
    const release = Promise.withResolvers<undefined>();
    const silent = await member.startNode("node-04", {
      store: held,
      intercept: () => {
        asked = true;
        return release.promise;
      },
    });
    const stop = new AbortController();
    const ticket = ticketed(member, target, { operation: "replicate", chunks: [one.id] });
    const running = client.replicate(ticket, { source: from([one], silent), chunks: wanted(one) }, { signal: stop.signal });
    await until(() => asked, "the source is asked");
    stop.abort();
    await expectCode("cancelled", running);
    release.resolve(undefined);
    // The place it had is free again.
    expect((await replicate([one])).failed).toEqual([]);
  });

  test("is at most three chunks, so that writers find room", async () => {
    const chunks = [];
    for (let i = 0; i < 8; i++) chunks.push(await chunk(mebibyte));
    const receiving = createLimiter(24 * mebibyte);
    let most = 0;
    const sources: Pick<DataClient, "get"> = {
      get: async (_, id, into) => {
        most = Math.max(most, receiving.inUse);
        await Promise.resolve();
        into.set(await held.get(id));
        return into.length;
      },
    };
    const replication = createReplication({ sources, receiving, buffers, clock: systemClock });
    const signal = new AbortController().signal;
    const outcome = await replication.fetch({ store: kept, source: from(chunks), chunks: wanted(...chunks), signal });
    expect(outcome.failed).toEqual([]);
    expect(most).toBeLessThanOrEqual(3 * mebibyte);
    expect(receiving.inUse).toBe(0);
  });

  test("is given up when the source falls silent", async () => {
    const one = await chunk();
    let elapsedMs = 0;
    const clock: Clock = {
      ...systemClock,
      every: (_, fn) => systemClock.every(1, fn),
      monotonicMs: () => {
        elapsedMs += 1_000;
        return elapsedMs;
      },
    };
    const sources: Pick<DataClient, "get"> = {
      get: (_, __, ___, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
        }),
    };
    const replication = createReplication({ sources, receiving: createLimiter(mebibyte), buffers, clock });
    const signal = new AbortController().signal;
    const { failed } = await replication.fetch({ store: kept, source: from([one]), chunks: wanted(one), signal });
    expect(failed.map(({ code }) => code)).toEqual(["timed_out"]);
  });
});
