/** The data API from outside: real TLS, and nothing without a ticket that says so. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encodeMessage } from "../../protocol/codec.ts";
import { authorizationOf, chunkIdList, dataPaths } from "../../protocol/data.ts";
import type { ErrorCode } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdToBytes } from "../../protocol/ids.ts";
import {
  batchBytesMax,
  clockSkewMsMax,
  inlineStoredBytesMax,
  mebibyte,
  storedChunkBytesMax,
  ticketLifetimeMs,
} from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { ticketOperations } from "../../protocol/ticket.ts";
import { createMemoryChunkStore, type MemoryChunkStore } from "../../src/chunk/memory.ts";
import { createDataClient, type DataClient } from "../../src/net/data-client.ts";
import type { Credentials } from "../../src/pki/credentials.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, openReceipt } from "../../src/pki/ticket.ts";
import { type TestChunk, testChunk } from "../conformance/chunk-store.ts";
import { nameAt, startTestMember, type TestMember, type TestNode, type TicketRequest, ticketed } from "../support/member.ts";
import { expectCode, failureOf } from "../support/metadata.ts";
import { garage, hourMs } from "../support/pki.ts";
import { askNode, chunkPath, type RawRequest, rawConnection } from "../support/raw-node.ts";

let member: TestMember;
let node: TestNode;
let store: MemoryChunkStore;
let dora: Credentials;
let client: DataClient;
let seeds = 100;

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

function ticket(request: TicketRequest): TicketedNode {
  return ticketed(member, node, request);
}

const may = (operation: TicketRequest["operation"], ...chunks: readonly (TestChunk | ChunkId)[]) =>
  ticket({ operation, chunks: chunks.map((one) => (typeof one === "string" ? one : one.id)) });

async function kept(...ids: readonly ChunkId[]): Promise<boolean[]> {
  return store.has(ids);
}

const ask = (request: Omit<RawRequest, "certificate">) => askNode(member, node, { certificate: dora, ...request });

describe("chunks", () => {
  test("come and go, large and small, and a receipt says so", async () => {
    for (const bytes of [1, 1_000, inlineStoredBytesMax, inlineStoredBytesMax + 1, mebibyte, storedChunkBytesMax]) {
      const { id, data } = chunk(bytes);
      const receipt = openReceipt(await client.put(may("put", id), { id, data }), node.signer.publicKeyRaw);
      expect(receipt).toEqual({ version: 1, node: node.name, chunks: [id], storedAtMs: member.clock.nowMs });
      const into = new Uint8Array(bytes);
      expect(await client.get(may("get", id), id, into)).toBe(bytes);
      expect(Buffer.compare(into, data)).toBe(0);
      // Whoever stores it again gets a receipt again.
      expect(openReceipt(await client.put(may("put", id), { id, data }), node.signer.publicKeyRaw).chunks).toEqual([id]);
      expect(await client.delete(may("delete", id), [id])).toEqual({ deletedBytes: bytes });
      expect(await client.delete(may("delete", id), [id])).toEqual({ deletedBytes: 0 });
      await expectCode("not_found", client.get(may("get", id), id, into));
    }
  });

  test("come and go many at once, in the order asked", async () => {
    const many = Array.from({ length: 128 }, () => chunk(500));
    const receipt = await client.putMany(may("put", ...many), many);
    expect(openReceipt(receipt, node.signer.publicKeyRaw).chunks).toEqual(many.map(({ id }) => id));
    const missing = chunk();
    const wanted = [many[5], missing, many[0]].filter((one) => one !== undefined);
    const [five, none, zero] = await client.getMany(
      may("get", ...wanted),
      wanted.map(({ id }) => id),
    );
    expect(none).toBeNull();
    expect(Buffer.compare(five ?? new Uint8Array(0), many[5]?.data ?? new Uint8Array(1))).toBe(0);
    expect(Buffer.compare(zero ?? new Uint8Array(0), many[0]?.data ?? new Uint8Array(1))).toBe(0);
    const half = many.slice(0, 64).map(({ id }) => id);
    expect(await client.delete(may("delete", ...half), half)).toEqual({ deletedBytes: 64 * 500 });
    expect(await kept(half[0] as ChunkId, many[100]?.id as ChunkId)).toEqual([false, true]);
  });

  test("that do not fit one answer are left for another", async () => {
    const [one, two, three] = [chunk(3 * mebibyte), chunk(3 * mebibyte), chunk(3 * mebibyte)];
    const small = chunk(100);
    const wanted = [one, two, three, small];
    for (const each of wanted) await client.put(may("put", each), each);
    const answers = await client.getMany(
      may("get", ...wanted),
      wanted.map(({ id }) => id),
    );
    expect(answers.map((answer) => answer?.length ?? null)).toEqual([3 * mebibyte, 3 * mebibyte, null, 100]);
    await client.delete(
      may("delete", ...wanted),
      wanted.map(({ id }) => id),
    );
  });

  test("are checked where they lie, and the damaged ones are set aside", async () => {
    const [good, bad, gone] = [chunk(), chunk(), chunk()];
    await client.putMany(may("put", good, bad), [good, bad]);
    store.damage(bad.id);
    expect(await client.verify(may("verify", good, bad, gone), [good.id, bad.id, gone.id])).toEqual(["ok", "damaged", "missing"]);
    await expectCode("not_found", client.get(may("get", bad), bad.id, new Uint8Array(1_000)));
    // And can be brought back whole.
    await client.put(may("put", bad), bad);
    expect(await client.verify(may("verify", bad), [bad.id])).toEqual(["ok"]);
  });
});

describe("a ticket", () => {
  test("is needed for everything", async () => {
    const { id, data } = chunk();
    const requests: Omit<RawRequest, "certificate">[] = [
      { method: "PUT", path: chunkPath(id), body: data },
      { method: "GET", path: chunkPath(id) },
      ...[dataPaths.storeMany, dataPaths.fetchMany, dataPaths.verify, dataPaths.delete].map((path) => ({
        method: "POST",
        path,
        body: encodeMessage(chunkIdList([id])),
      })),
    ];
    for (const request of requests) {
      for (const authorization of [undefined, "", "Ticket", "Ticket ", "Bearer abc", "Ticket !!!!", `Ticket ${"A".repeat(4_000)}`]) {
        const headers = authorization === undefined ? {} : { authorization };
        expect(await ask({ ...request, headers })).toMatchObject({ status: 401, code: "not_authenticated" });
      }
    }
    expect(await kept(id)).toEqual([false]);
  });

  test("allows nothing but what it says", async () => {
    const [one, two] = [chunk(), chunk()];
    await client.put(may("put", two), two);
    const into = new Uint8Array(1_000);
    const other = nameAt("node-02");
    const key = createSigner(generateKeyPair().privateKeyPem);
    const nowMs = member.clock.nowMs;
    const table: readonly (readonly [string, ErrorCode, Partial<TicketRequest>])[] = [
      ["forged", "not_authenticated", { signer: key }],
      ["signed by a node", "not_authenticated", { signer: node.signer }],
      ["of another member", "not_authenticated", { issuer: garage }],
      ["for another node", "permission_denied", { node: other }],
      ["for another chunk", "permission_denied", { chunks: [chunk().id] }],
      ["expired", "permission_denied", { notBeforeMs: nowMs - 2 * hourMs, expiresMs: nowMs - clockSkewMsMax - 1 }],
      ["not valid yet", "permission_denied", { notBeforeMs: nowMs + clockSkewMsMax + 1, expiresMs: nowMs + hourMs }],
    ];
    for (const [, code, change] of table) {
      const bad = (operation: TicketRequest["operation"], id: ChunkId) => ticket({ operation, chunks: [id], ...change });
      await expectCode(code, client.put(bad("put", one.id), one));
      await expectCode(code, client.putMany(bad("put", one.id), [one]));
      await expectCode(code, client.get(bad("get", two.id), two.id, into));
      await expectCode(code, client.getMany(bad("get", two.id), [two.id]));
      await expectCode(code, client.verify(bad("verify", two.id), [two.id]));
      await expectCode(code, client.delete(bad("delete", two.id), [two.id]));
    }
    expect(await kept(one.id, two.id)).toEqual([false, true]);
  });

  test("allows one operation", async () => {
    const { id, data } = chunk();
    await client.put(may("put", id), { id, data });
    for (const operation of ticketOperations) {
      const calls = {
        put: () => client.put(may(operation, id), { id, data }),
        get: () => client.get(may(operation, id), id, new Uint8Array(1_000)),
        verify: () => client.verify(may(operation, id), [id]),
        delete: () => client.delete(may(operation, id), [id]),
      };
      for (const [name, call] of Object.entries(calls)) if (name !== operation) await expectCode("permission_denied", call());
    }
    expect(await kept(id)).toEqual([true]);
  });

  test("covers a batch only when it covers all of it", async () => {
    const [one, two, three] = [chunk(), chunk(), chunk()];
    await expectCode("permission_denied", client.putMany(may("put", one, two), [one, two, three]));
    expect(await kept(one.id, two.id, three.id)).toEqual([false, false, false]);
    await client.putMany(may("put", one, two, three), [one, two, three]);
    await expectCode("permission_denied", client.getMany(may("get", one), [one.id, two.id]));
    await expectCode("permission_denied", client.delete(may("delete", one), [one.id, two.id]));
    expect(await kept(one.id, two.id)).toEqual([true, true]);
  });

  test("may be used again until it expires, and not after", async () => {
    const { id, data } = chunk();
    const target = may("put", id);
    await client.put(target, { id, data });
    await client.put(target, { id, data });
    const startedMs = member.clock.nowMs;
    try {
      member.clock.nowMs += ticketLifetimeMs + clockSkewMsMax;
      await client.put(target, { id, data });
      member.clock.nowMs += 1;
      await expectCode("permission_denied", client.put(target, { id, data }));
    } finally {
      member.clock.nowMs = startedMs;
    }
  });

  test("limits what one request may carry", async () => {
    const [one, two] = [chunk(1_000), chunk(1_000)];
    await expectCode("too_large", client.put(ticket({ operation: "put", chunks: [one.id], bytesMax: 999 }), one));
    await expectCode("too_large", client.putMany(ticket({ operation: "put", chunks: [one.id, two.id], bytesMax: 1_999 }), [one, two]));
    expect(await kept(one.id, two.id)).toEqual([false, false]);
    await client.putMany(ticket({ operation: "put", chunks: [one.id, two.id], bytesMax: 2_000 }), [one, two]);
  });
});

describe("a body", () => {
  const put = (id: ChunkId, body: RawRequest["body"], headers: Readonly<Record<string, string>> = {}) =>
    ask({
      method: "PUT",
      path: chunkPath(id),
      headers: { authorization: authorizationOf(may("put", id).ticket), ...headers },
      ...(body === undefined ? {} : { body }),
    });

  test("that is not the chunk it claims to be is refused", async () => {
    const [one, two] = [chunk(), chunk()];
    expect(await put(one.id, two.data)).toMatchObject({ status: 500, code: "corrupt" });
    const flipped = Uint8Array.from(one.data);
    flipped[999] = 1;
    expect(await put(one.id, flipped)).toMatchObject({ code: "corrupt" });
    expect(await put(one.id, one.data.subarray(0, 999))).toMatchObject({ code: "corrupt" });
    await expectCode("corrupt", client.putMany(may("put", one, two), [two, { id: one.id, data: two.data }]));
    expect(await kept(one.id)).toEqual([false]);
  });

  test("that is empty, endless or too long is refused", async () => {
    const { id } = chunk();
    expect(await put(id, undefined)).toMatchObject({ status: 400, code: "invalid_argument" });
    expect(await put(id, new Uint8Array(storedChunkBytesMax + 1))).toMatchObject({ status: 413, code: "too_large" });
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(new Uint8Array(1_000));
        controller.close();
      },
    });
    expect(await put(id, stream)).toMatchObject({ status: 400, code: "invalid_argument" });
    await expectCode("unavailable", client.putMany(may("put", id), [{ id, data: new Uint8Array(batchBytesMax + 2 * mebibyte) }]));
    expect(await kept(id)).toEqual([false]);
  });

  test("that is no message is refused", async () => {
    const { id } = chunk();
    for (const [path, operation] of [
      [dataPaths.storeMany, "put"],
      [dataPaths.fetchMany, "get"],
      [dataPaths.verify, "verify"],
      [dataPaths.delete, "delete"],
    ] as const) {
      const headers = { authorization: authorizationOf(may(operation, id).ticket) };
      const bodies = [
        new Uint8Array(0),
        new Uint8Array([0xc1]),
        encodeMessage({ ids: [] }),
        encodeMessage({ chunks: [] }),
        encodeMessage({ ids: [new Uint8Array(31)] }),
        encodeMessage({ ids: Array.from({ length: 129 }, () => chunkIdToBytes(id)) }),
      ];
      for (const body of bodies)
        expect(await ask({ method: "POST", path, headers, body })).toMatchObject({ status: 400, code: "invalid_argument" });
    }
    const headers = { authorization: authorizationOf(may("get", id).ticket) };
    for (const path of ["/v1/chunks/", "/v1/chunks/x/y", "/", "/v1/batch/nothing"])
      expect(await ask({ method: "GET", path, headers })).toMatchObject({ status: 501, code: "unsupported" });
    expect(await ask({ method: "GET", path: chunkPath("abc"), headers })).toMatchObject({ status: 400, code: "invalid_argument" });
  });

  test("that breaks off leaves nothing, and the node goes on", async () => {
    const { id, data } = chunk(mebibyte);
    const before = store.usage();
    for (const sentBytes of [0, 1, 500_000, mebibyte - 1]) {
      await new Promise<void>((resolve, reject) => {
        const socket = rawConnection(member, node, dora);
        socket.on("error", reject);
        socket.on("close", () => resolve());
        socket.on("secureConnect", () => {
          const authorization = authorizationOf(may("put", id).ticket);
          socket.write(
            `PUT ${chunkPath(id)} HTTP/1.1\r\nhost: node\r\nauthorization: ${authorization}\r\ncontent-length: ${data.length}\r\n\r\n`,
          );
          socket.write(data.subarray(0, sentBytes), () => socket.destroy());
        });
      });
    }
    // As many more as the receiving memory could hold if those before had kept theirs.
    for (let i = 0; i < 30; i++) await client.put(may("put", id), { id, data });
    await client.delete(may("delete", id), [id]);
    expect(store.usage()).toEqual(before);
  });

  test("is cut off when its sender gives up", async () => {
    const { id, data } = chunk(storedChunkBytesMax);
    const stop = new AbortController();
    const sending = failureOf(client.put(may("put", id), { id, data }, { signal: stop.signal }));
    stop.abort();
    expect((await sending).code).toBe("cancelled");
    const other = chunk();
    await client.put(may("put", other), other);
    expect(await kept(other.id)).toEqual([true]);
  });
});
