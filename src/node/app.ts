/**
 * The data API of one node. It knows chunks, tickets and whose chunks a ticket is about, and nothing of files or
 * people's rights.
 *
 * Invariants:
 * - A receipt leaves this file only after the chunk store has said that the bytes, whose hash was
 *   computed here from what arrived, are durable.
 * - Which store a request reaches is said by the verified ticket alone.
 */
import { type Context, Hono } from "hono";
import { decodeMessage } from "../../protocol/codec.ts";
import { chunkIdsSchema, dataPaths, replicateSchema, storeManySchema, ticketFromAuthorization } from "../../protocol/data.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdToBytes, type GlobalName, parseChunkId, siteOf } from "../../protocol/ids.ts";
import { batchBytesMax, mebibyte, storedChunkBytesMax } from "../../protocol/limits.ts";
import { ownerOf, type Ticket, type TicketOperation } from "../../protocol/ticket.ts";
import type { ChunkStore } from "../chunk/store.ts";
import type { ChunkStores } from "../chunk/stores.ts";
import { createBufferPool, releaseMemory } from "../core/buffers.ts";
import type { Clock } from "../core/clock.ts";
import { directBlockBytes } from "../core/direct-io.ts";
import { createLimiter } from "../core/limiter.ts";
import type { Log } from "../core/log.ts";
import type { DataClient } from "../net/data-client.ts";
import { errorResponse, messageResponse } from "../net/respond.ts";
import { assertAllows, type Signer, signReceipt, type TicketVerifier } from "../pki/ticket.ts";
import { createReplication } from "./replication.ts";

export interface NodeAppOptions {
  readonly name: GlobalName;
  readonly stores: ChunkStores;
  readonly tickets: TicketVerifier;
  /** Other nodes, to fetch from. */
  readonly sources: Pick<DataClient, "get">;
  /** Asked for every receipt, so that a renewed key is used at once. */
  readonly signer: () => Signer;
  readonly clock: Clock;
  readonly log: Log;
}

/** Request bodies in memory at once; a request beyond waits, and its sender with it. */
const receivingBytesMax = 24 * mebibyte;
const buffersKeptMax = 6;
/** Whole blocks, so that a chunk can be written from here without a copy by the system. */
const receiveBufferBytes = Math.ceil(storedChunkBytesMax / directBlockBytes) * directBlockBytes;

export function createNodeApp(options: NodeAppOptions): Hono {
  const { stores, log } = options;
  const receiving = createLimiter(receivingBytesMax);
  const buffers = createBufferPool({ bufferBytes: receiveBufferBytes, keepMax: buffersKeptMax });
  const replication = createReplication({ sources: options.sources, receiving, buffers, clock: options.clock });
  const app = new Hono();
  app.onError((error, c) => errorResponse(error, { log, path: c.req.path }));
  app.notFound((c) =>
    errorResponse(new CollectiveError("unsupported", `this node has no ${c.req.method} ${c.req.path}`), { log, path: c.req.path }),
  );

  const ticketOf = (c: Context): Ticket => options.tickets.verify(ticketFromAuthorization(c.req.header("authorization")));
  const allow = (ticket: Ticket, operation: TicketOperation, ids: readonly ChunkId[]): void => {
    for (const id of ids) assertAllows(ticket, operation, id);
  };
  const receiptFor = (ticket: Ticket, chunks: readonly ChunkId[]): Uint8Array<ArrayBuffer> => {
    const owner = ownerOf(ticket) === siteOf(options.name) ? undefined : ownerOf(ticket);
    return signReceipt(options.signer(), { version: 1, node: options.name, owner, chunks, storedAtMs: options.clock.wallMs() });
  };
  const batchOf = async (c: Context, operation: TicketOperation): Promise<{ ids: ChunkId[]; store: ChunkStore }> => {
    const ticket = ticketOf(c);
    const { ids } = decodeMessage(chunkIdsSchema, new Uint8Array(await c.req.arrayBuffer()), "the request");
    allow(ticket, operation, ids);
    return { ids, store: stores.find(ownerOf(ticket)) };
  };

  app.put(dataPaths.chunk, async (c) => {
    const id = parseChunkId(c.req.param("id"));
    const ticket = ticketOf(c);
    allow(ticket, "put", [id]);
    const bytes = Number(c.req.header("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(bytes) || bytes <= 0)
      throw new CollectiveError("invalid_argument", "the request must say how long its body is");
    if (bytes > Math.min(ticket.bytesMax, storedChunkBytesMax))
      throw new CollectiveError("too_large", `the ticket allows ${ticket.bytesMax} bytes, not ${bytes}`);
    const { signal } = c.req.raw;
    await receiving.run(
      () =>
        buffers.lend(async (buffer) => {
          const data = await receive(c.req.raw, buffer.subarray(0, bytes), id);
          const store = await stores.open(ownerOf(ticket));
          await store.put(id, data, { signal, verified: true });
        }),
      { permits: bytes, signal },
    );
    return new Response(receiptFor(ticket, [id]));
  });

  app.get(dataPaths.chunk, async (c) => {
    const id = parseChunkId(c.req.param("id"));
    const ticket = ticketOf(c);
    allow(ticket, "get", [id]);
    const store = stores.find(ownerOf(ticket));
    const located = store.locate(id);
    const file = located && Bun.file(located.path);
    // Of a file that is gone the server could only break off the answer; the store says what is wrong.
    if (file && (await file.exists())) return new Response(file);
    return new Response((await store.get(id, { verify: false, signal: c.req.raw.signal })) as Uint8Array<ArrayBuffer>);
  });

  app.post(dataPaths.storeMany, async (c) => {
    const ticket = ticketOf(c);
    const bytes = Number(c.req.header("content-length") ?? batchBytesMax);
    const { signal } = c.req.raw;
    const ids = await receiving.run(
      async () => {
        const { chunks } = decodeMessage(storeManySchema, new Uint8Array(await c.req.arrayBuffer()), "the request");
        const sent = chunks.map((chunk) => chunk.id);
        allow(ticket, "put", sent);
        const total = chunks.reduce((sum, chunk) => sum + chunk.data.length, 0);
        if (total > ticket.bytesMax) throw new CollectiveError("too_large", `the ticket allows ${ticket.bytesMax} bytes, not ${total}`);
        const store = await stores.open(ownerOf(ticket));
        await store.putMany(chunks, { signal });
        return sent;
      },
      { permits: Math.min(bytes, batchBytesMax), signal },
    );
    return new Response(receiptFor(ticket, ids));
  });

  app.post(dataPaths.fetchMany, async (c) => {
    const { ids, store } = await batchOf(c, "get");
    return messageResponse({ chunks: await fetchMany(store, ids, c.req.raw.signal) });
  });

  app.post(dataPaths.verify, async (c) => {
    const { ids, store } = await batchOf(c, "verify");
    const states = await store.verify(ids, { signal: c.req.raw.signal });
    for (const [index, state] of states.entries()) {
      if (state === "damaged") log.warn("damaged copy quarantined", { chunk: ids[index] });
    }
    return messageResponse({ states });
  });

  app.post(dataPaths.replicate, async (c) => {
    const ticket = ticketOf(c);
    const { source, chunks } = decodeMessage(replicateSchema, new Uint8Array(await c.req.arrayBuffer()), "the request");
    allow(
      ticket,
      "replicate",
      chunks.map((chunk) => chunk.id),
    );
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.storedBytes, 0);
    if (bytes > ticket.bytesMax) throw new CollectiveError("too_large", `the ticket allows ${ticket.bytesMax} bytes, not ${bytes}`);
    const store = await stores.open(ownerOf(ticket));
    const { stored, failed } = await replication.fetch({ store, source, chunks, signal: c.req.raw.signal });
    const told = failed.map((failure) => ({ ...failure, id: chunkIdToBytes(failure.id) }));
    return messageResponse({ receipt: stored.length === 0 ? null : receiptFor(ticket, stored), failed: told });
  });

  app.post(dataPaths.delete, async (c) => {
    const { ids, store } = await batchOf(c, "delete");
    return messageResponse(await store.delete(ids));
  });
  return app;
}

/** Reads the whole body into `buffer`, hashing as it comes. Throws `corrupt` when it is not the chunk it claims to be. */
async function receive(request: Request, buffer: Uint8Array, id: ChunkId): Promise<Uint8Array> {
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const piece of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    if (bytes + piece.length > buffer.length) throw new CollectiveError("invalid_argument", "the body is longer than it said");
    hash.update(piece);
    buffer.set(piece, bytes);
    bytes += piece.length;
    releaseMemory(piece);
  }
  if (bytes !== buffer.length) throw new CollectiveError("invalid_argument", `the body ended after ${bytes} of ${buffer.length} bytes`);
  if (hash.digest("hex") !== id) throw new CollectiveError("corrupt", "the bytes that arrived are not those of the chunk");
  return buffer;
}

/** What is missing or does not fit the answer is null: the caller asks for it alone, or elsewhere. */
async function fetchMany(store: ChunkStore, ids: readonly ChunkId[], signal: AbortSignal): Promise<(Uint8Array | null)[]> {
  let bytesLeft = batchBytesMax;
  const chunks: (Uint8Array | null)[] = [];
  for (const id of ids) {
    const file = store.locate(id);
    if (file && file.bytes > bytesLeft) {
      chunks.push(null);
      continue;
    }
    try {
      const data = await store.get(id, { verify: false, signal });
      const fits = data.length <= bytesLeft;
      chunks.push(fits ? data : null);
      if (fits) bytesLeft -= data.length;
    } catch (error) {
      if (!(error instanceof CollectiveError) || (error.code !== "not_found" && error.code !== "corrupt")) throw error;
      chunks.push(null);
    }
  }
  return chunks;
}
