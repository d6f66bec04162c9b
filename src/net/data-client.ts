/**
 * Calls nodes. Bodies travel over pooled HTTP/1.1 connections: measured on loopback with mutual TLS
 * and 4 MiB bodies they move about 30 % more than one HTTP/2 connection does (test/bench/README.md).
 *
 * Nothing that was answered is repeated here: the caller knows the other copies and decides. After a request that ran out of time, the
 * node's connections are not used again: one that leads nowhere seldom comes alone, as when a router has forgotten them all.
 */
import type { z } from "zod";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import {
  authorizationOf,
  chunkIdList,
  dataPaths,
  deletedManySchema,
  fetchedManySchema,
  type Replicated,
  replicatedSchema,
  type VerifiedState,
  verifiedManySchema,
} from "../../protocol/data.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdToBytes, type GlobalName, type Identity } from "../../protocol/ids.ts";
import { dataTimeoutMs, storeTimeoutMs } from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { releaseMemory } from "../core/buffers.ts";
import type { Credentials } from "../pki/credentials.ts";
import { numbered } from "./connection-watch.ts";
import { neverSent, type RequestFacts, requestError, responseError } from "./errors.ts";
import { type ClientTls, clientTls } from "./tls.ts";

export interface DataCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface FetchCallOptions extends DataCallOptions {
  /** Called whenever a part of the answer has come. */
  readonly onBytes?: (() => void) | undefined;
}

export interface DataClient {
  /** Answers the node's receipt: the chunk is durable there. `data` must stay unchanged until then. */
  put(target: TicketedNode, chunk: { readonly id: ChunkId; readonly data: Uint8Array }, options?: DataCallOptions): Promise<Uint8Array>;
  putMany(
    target: TicketedNode,
    chunks: readonly { readonly id: ChunkId; readonly data: Uint8Array }[],
    options?: DataCallOptions,
  ): Promise<Uint8Array>;
  /** Writes the stored bytes to the start of `into` and answers how many; not verified yet. */
  get(target: TicketedNode, id: ChunkId, into: Uint8Array, options?: FetchCallOptions): Promise<number>;
  /** In the order asked for, null where the node cannot give it; not verified yet. */
  getMany(target: TicketedNode, ids: readonly ChunkId[], options?: FetchCallOptions): Promise<(Uint8Array | null)[]>;
  verify(target: TicketedNode, ids: readonly ChunkId[], options?: DataCallOptions): Promise<VerifiedState[]>;
  delete(target: TicketedNode, ids: readonly ChunkId[], options?: DataCallOptions): Promise<{ deletedBytes: number }>;
  /** Has the target fetch chunks from `source`, whose ticket is for the target to show there. At most `batchBytesMax` in all. */
  replicate(target: TicketedNode, request: ReplicateRequest, options?: DataCallOptions): Promise<Replicated>;
}

export interface ReplicateRequest {
  readonly source: TicketedNode;
  readonly chunks: readonly { readonly id: ChunkId; readonly storedBytes: number }[];
}

interface RequestParts {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  /** `dataTimeoutMs` unless told. */
  readonly timeoutMs?: number;
}

/** `credentials` is asked at every request, so that renewed certificates are used at once. */
export function createDataClient(credentials: () => Credentials): DataClient {
  const pools = createPools(credentials);
  const request = async <T>(target: TicketedNode, parts: RequestParts, read: (response: Response) => Promise<T>): Promise<T> => {
    const server: Identity = { kind: "node", name: target.node };
    const facts: RequestFacts = { peer: target.node, address: target.address };
    const timeout = AbortSignal.timeout(parts.timeoutMs ?? dataTimeoutMs);
    const tls = pools.tlsOf(server, target.authorityPem);
    const init = {
      method: parts.method,
      ...(parts.body === undefined ? {} : { body: parts.body }),
      headers: { authorization: authorizationOf(target.ticket) },
      signal: parts.signal ? AbortSignal.any([parts.signal, timeout]) : timeout,
      tls,
    };
    try {
      const response = await fetchAgainIfLost(`https://${target.address}${parts.path}`, init as RequestInit, facts);
      if (!response.ok) throw nodeError(await responseError(response, facts), facts);
      return await read(response);
    } catch (thrown) {
      const error = requestError(thrown, facts);
      if (error.code === "timed_out") pools.leave(server, tls);
      throw error;
    }
  };
  const batch = <S extends z.ZodType>(
    target: TicketedNode,
    call: { path: string; body: unknown; answer: S } & FetchCallOptions,
  ): Promise<z.output<S>> =>
    request(target, { method: "POST", path: call.path, body: encodeMessage(call.body), signal: call.signal }, async (response) =>
      decodeMessage(call.answer, await bytesOf(response, call.onBytes), `the answer of ${target.node}`, "unavailable"),
    );
  return {
    put: (target, { id, data }, { signal } = {}) =>
      request(target, { method: "PUT", path: chunkPath(id), body: data, signal, timeoutMs: storeTimeoutMs(data.length) }, wholeBody),
    putMany: (target, chunks, { signal } = {}) => {
      const body = encodeMessage({ chunks: chunks.map(({ id, data }) => ({ id: chunkIdToBytes(id), data })) });
      return request(
        target,
        { method: "POST", path: dataPaths.storeMany, body, signal, timeoutMs: storeTimeoutMs(body.length) },
        wholeBody,
      );
    },
    get: (target, id, into, { signal, onBytes } = {}) =>
      request(target, { method: "GET", path: chunkPath(id), signal }, (response) =>
        readInto(response, into, { node: target.node, onBytes }),
      ),
    getMany: async (target, ids, { signal, onBytes } = {}) =>
      (await batch(target, { path: dataPaths.fetchMany, body: chunkIdList(ids), answer: fetchedManySchema, signal, onBytes })).chunks,
    verify: async (target, ids, { signal } = {}) =>
      (await batch(target, { path: dataPaths.verify, body: chunkIdList(ids), answer: verifiedManySchema, signal })).states,
    delete: (target, ids, { signal } = {}) =>
      batch(target, { path: dataPaths.delete, body: chunkIdList(ids), answer: deletedManySchema, signal }),
    replicate: (target, { source, chunks }, { signal } = {}) => {
      const body = { source, chunks: chunks.map(({ id, storedBytes }) => ({ id: chunkIdToBytes(id), storedBytes })) };
      return batch(target, { path: dataPaths.replicate, body, answer: replicatedSchema, signal });
    },
  };
}

/**
 * A node closes connections that idle, all of them when its certificate changes, and one of those may
 * just be taken from the pool. Every call can be made twice, so that is done once, on a new connection.
 */
async function fetchAgainIfLost(url: string, init: RequestInit, facts: RequestFacts): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const reason = requestError(error, facts);
    if (reason.code !== "unavailable" || neverSent(reason)) throw error;
    return await fetch(url, { ...init, keepalive: false });
  }
}

/** `internal` would say that this process has a fault; it is the node that has, and another may do. */
function nodeError(error: CollectiveError, { peer, address }: RequestFacts): CollectiveError {
  if (error.code !== "internal") return error;
  return new CollectiveError("unavailable", `${peer} at ${address}: ${error.message}`, { cause: error });
}

function chunkPath(id: ChunkId): string {
  return dataPaths.chunk.replace(":id", id);
}

interface Pools {
  tlsOf(server: Identity, authorityPem: string | undefined): ClientTls;
  /** Requests go over new connections, unless they already do. */
  leave(server: Identity, tls: ClientTls): void;
}

/** Options objects must stay the same for connections to be pooled, and change when the certificate does. */
function createPools(credentials: () => Credentials): Pools {
  let from: Credentials | undefined;
  const byName = new Map<GlobalName, { readonly authorityPem: string | undefined; readonly tls: ClientTls }>();
  const generations = new Map<GlobalName, number>();
  return {
    tlsOf: (server, authorityPem) => {
      const current = credentials();
      if (current !== from) byName.clear();
      from = current;
      const known = byName.get(server.name);
      if (known && known.authorityPem === authorityPem) return known.tls;
      const tls = numbered(clientTls(current, server, authorityPem), generations.get(server.name) ?? 0);
      byName.set(server.name, { authorityPem, tls });
      return tls;
    },
    leave: ({ name }, tls) => {
      if (byName.get(name)?.tls !== tls) return;
      byName.delete(name);
      generations.set(name, (generations.get(name) ?? 0) + 1);
    },
  };
}

async function wholeBody(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

async function bytesOf(response: Response, onBytes: FetchCallOptions["onBytes"]): Promise<Uint8Array> {
  if (!onBytes || !response.body) return await wholeBody(response);
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
    pieces.push(piece);
    onBytes();
  }
  return Buffer.concat(pieces);
}

async function readInto(
  response: Response,
  into: Uint8Array,
  { node, onBytes }: { readonly node: string; readonly onBytes: FetchCallOptions["onBytes"] },
): Promise<number> {
  if (!response.body) return 0;
  let bytes = 0;
  for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (bytes + piece.length > into.length) throw new CollectiveError("corrupt", `${node} sent more bytes than the chunk has`);
    into.set(piece, bytes);
    bytes += piece.length;
    releaseMemory(piece);
    onBytes?.();
  }
  return bytes;
}
