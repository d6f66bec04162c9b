/**
 * The data API of a node. The ticket travels in the `authorization` header of every request; bodies
 * of single chunks are raw stored bytes, batches are msgpack.
 */
import { z } from "zod";
import { CollectiveError, errorCodes } from "./errors.ts";
import { type ChunkId, chunkIdFromBytes, chunkIdToBytes } from "./ids.ts";
import { chunksPerTicketMax, storedChunkBytesMax } from "./limits.ts";
import { bytesSchema, ticketedNodeSchema } from "./schema.ts";

export const dataPaths = {
  /** PUT stores one chunk and answers a receipt; GET answers its stored bytes. */
  chunk: "/v1/chunks/:id",
  /** POST of `storeManySchema`, answers one receipt for all. */
  storeMany: "/v1/batch/store",
  /** POST of `chunkIdsSchema`, answers `fetchedManySchema`. */
  fetchMany: "/v1/batch/fetch",
  verify: "/v1/batch/verify",
  delete: "/v1/batch/delete",
  /** POST of `replicateSchema`: the node fetches chunks from another one; answers `replicatedSchema`. */
  replicate: "/v1/batch/replicate",
} as const;

const rawIdSchema = bytesSchema.transform((bytes, context): ChunkId => {
  if (bytes.length === 32) return chunkIdFromBytes(bytes);
  context.addIssue({ code: "custom", message: "a chunk id has 32 bytes" });
  return z.NEVER;
});

export const storeManySchema = z.object({
  chunks: z
    .array(z.object({ id: rawIdSchema, data: bytesSchema }))
    .min(1)
    .max(chunksPerTicketMax),
});
export const chunkIdsSchema = z.object({ ids: z.array(rawIdSchema).min(1).max(chunksPerTicketMax) });
/** In the order asked for; null where this node cannot give it. */
export const fetchedManySchema = z.object({ chunks: z.array(bytesSchema.nullable()).max(chunksPerTicketMax) });
export const verifiedManySchema = z.object({ states: z.array(z.enum(["ok", "damaged", "missing"])).max(chunksPerTicketMax) });
export const deletedManySchema = z.object({ deletedBytes: z.number() });
/** `source` is a node that holds the chunks, with a ticket to get them there. */
export const replicateSchema = z.object({
  source: ticketedNodeSchema,
  chunks: z
    .array(z.object({ id: rawIdSchema, storedBytes: z.number().int().positive().max(storedChunkBytesMax) }))
    .min(1)
    .max(chunksPerTicketMax),
});
const replicationFailureSchema = z.object({ id: rawIdSchema, code: z.enum(errorCodes), message: z.string() });
/** One receipt for all that is stored now, none when nothing is; and why the rest is not. */
export const replicatedSchema = z.object({
  receipt: bytesSchema.nullable(),
  failed: z.array(replicationFailureSchema).max(chunksPerTicketMax),
});
export type ReplicationFailure = z.output<typeof replicationFailureSchema>;
export type Replicated = z.output<typeof replicatedSchema>;
export type VerifiedState = "ok" | "damaged" | "missing";

export function chunkIdList(ids: readonly ChunkId[]): { ids: Uint8Array[] } {
  return { ids: ids.map(chunkIdToBytes) };
}

const scheme = "Ticket ";

export function authorizationOf(ticket: Uint8Array): string {
  return scheme + Buffer.from(ticket.buffer, ticket.byteOffset, ticket.byteLength).toString("base64url");
}

export function ticketFromAuthorization(header: string | null | undefined): Uint8Array {
  if (!header?.startsWith(scheme)) throw new CollectiveError("not_authenticated", "the request carries no ticket");
  return new Uint8Array(Buffer.from(header.slice(scheme.length), "base64url"));
}
