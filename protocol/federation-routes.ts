/** The part of the control API that is about other members. */
import { z } from "zod";
import { errorCodes } from "./errors.ts";
import { nodesToldMax } from "./gossip-records.ts";
import { chunksPerTicketMax } from "./limits.ts";
import { route } from "./route.ts";
import { bytesSchema, globalNameSchema, nodeStates, offeredChunkSchema, sizeSchema, ticketedNodeSchema } from "./schema.ts";

export const peerStates = ["alive", "suspect", "dead", "left", "unknown"] as const;
export type PeerState = (typeof peerStates)[number];

/** What a member gives and takes. */
const pledgeSchema = z.object({
  pledgedBytes: sizeSchema,
  /** What others have on its nodes. */
  givenBytes: sizeSchema,
  /** What it has on the nodes of others. */
  takenBytes: sizeSchema,
});

const ownPledgeSchema = pledgeSchema.extend({
  /** Of the own nodes. */
  capacityBytes: sizeSchema,
  /** What may be used at others in all. */
  shareBytes: sizeSchema,
  giveToGet: z.number().nonnegative(),
});
export type OwnPledge = z.output<typeof ownPledgeSchema>;

const peerSchema = z.object({
  member: globalNameSchema,
  address: z.string(),
  /** As gossip has it; `unknown` until the member was reached for the first time. */
  state: z.enum(peerStates),
  /** Who vouched for it; null for one that came by a code or under a federation root. */
  introducer: globalNameSchema.nullable(),
  /** It came under the federation root. */
  underRoot: z.boolean(),
  addedMs: z.number(),
  /** Of one message and its answer; null before the first. */
  latencyMs: z.number().nullable(),
  /** By what it says of itself. */
  nodes: z.array(
    z.object({ name: globalNameSchema, address: z.string(), state: z.enum(nodeStates), capacityBytes: sizeSchema, freeBytes: sizeSchema }),
  ),
  /** Whether it grants the caller something. */
  shares: z.boolean(),
  /** By what it and the others have signed; null until it has. */
  pledge: z
    .object({
      ...pledgeSchema.shape,
      /** Of what it gives, what this member has there; of what it takes, what it has here. */
      givenHereBytes: sizeSchema,
      takenHereBytes: sizeSchema,
    })
    .nullable(),
});
export type PeerSummary = z.output<typeof peerSchema>;

/** A member that is not trusted, known because trusted ones vouch for it. */
const vouchedSchema = z.object({ member: globalNameSchema, address: z.string().nullable(), introducers: z.array(globalNameSchema).min(1) });
export type VouchedMember = z.output<typeof vouchedSchema>;
/** Of those, in one answer. */
export const vouchedMembersMax = 1_000;

const empty = z.object({});

const hostedChunkSchema = offeredChunkSchema.pick({ id: true, storedBytes: true });

export const federationRoutes = {
  /** Gossip of another member's coordinator: see protocol/gossip.ts. */
  gossip: route("/v1/federation/gossip", {
    input: z.object({ message: bytesSchema }),
    output: z.object({ message: bytesSchema }),
    idempotent: true,
  }),
  /** Becomes the peer of the member whose code this is; by the administrator. */
  addPeer: route("/v1/federation/peers/add", {
    input: z.object({ code: z.string().max(2048) }),
    output: z.object({ member: globalNameSchema, address: z.string() }),
    idempotent: true,
  }),
  /** Becomes the peer of a member without a code: on the word of trusted members, or under a common root; by the administrator. */
  connectPeer: route("/v1/federation/peers/connect", {
    input: z.object({ member: globalNameSchema, address: z.string().max(300).optional() }),
    output: z.object({ address: z.string(), trust: z.enum(["before", "introduced", "root"]), introducer: globalNameSchema.nullable() }),
    idempotent: true,
  }),
  /** Ends trust in a member and all its people, at once; by the administrator. */
  removePeer: route("/v1/federation/peers/remove", {
    input: z.object({ member: globalNameSchema }),
    output: empty,
    idempotent: true,
  }),
  /** What this member lends to others, and may use at them; for people of the own site. */
  showPledge: route("/v1/federation/pledge/show", { input: empty, output: ownPledgeSchema, idempotent: true }),
  /** By the administrator. */
  setPledge: route("/v1/federation/pledge/set", {
    input: z.object({ pledgedBytes: sizeSchema }),
    output: ownPledgeSchema,
    idempotent: true,
  }),
  /**
   * Asks another member, by its coordinator alone, to keep chunks: for each node a ticket to write them, or why it keeps none.
   * `holder` is who will write them.
   */
  host: route("/v1/federation/host", {
    input: z.object({
      holder: globalNameSchema,
      nodes: z
        .array(z.object({ node: globalNameSchema, chunks: z.array(hostedChunkSchema).min(1).max(chunksPerTicketMax) }))
        .min(1)
        .max(nodesToldMax),
    }),
    output: z.object({
      nodes: z.array(ticketedNodeSchema.extend({ publicKeyRaw: bytesSchema })),
      refused: z.array(
        z.object({
          node: globalNameSchema,
          code: z.enum(errorCodes),
          message: z.string().max(1_000),
          hint: z.string().max(1_000).optional(),
        }),
      ),
    }),
    idempotent: true,
  }),
  /** The members that are trusted, and those that these vouch for; for people of the own site. */
  listPeers: route("/v1/federation/peers/list", {
    input: empty,
    output: z.object({ peers: z.array(peerSchema), vouched: z.array(vouchedSchema).max(vouchedMembersMax) }),
    idempotent: true,
  }),
  /** Where a member is and how it is known, for people of the own site who want to speak to it. */
  findPeer: route("/v1/federation/peers/find", {
    input: z.object({ member: globalNameSchema }),
    output: z.object({ address: z.string(), authorityPem: z.string() }),
    idempotent: true,
  }),
} as const;
