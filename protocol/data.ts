/**
 * The data API of a node. The ticket travels in the `authorization` header of every request; bodies
 * of single chunks are raw stored bytes, batches are msgpack.
 */
import { z } from "zod";
import { CollectiveError } from "./errors.ts";
import { type ChunkId, chunkIdFromBytes, chunkIdToBytes } from "./ids.ts";
import { chunksPerTicketMax } from "./limits.ts";
import { bytesSchema } from "./schema.ts";

export const dataPaths = {
  /** PUT stores one chunk and answers a receipt; GET answers its stored bytes. */
  chunk: "/v1/chunks/:id",
  /** POST of `storeManySchema`, answers one receipt for all. */
  storeMany: "/v1/batch/store",
  /** POST of `chunkIdsSchema`, answers `fetchedManySchema`. */
  fetchMany: "/v1/batch/fetch",
  verify: "/v1/batch/verify",
  delete: "/v1/batch/delete",
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
