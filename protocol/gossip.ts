/**
 * What members tell each other: four kinds of signed statements, and the messages that carry them.
 *
 * Invariant: a statement is signed by the member it is about. The one exception is `suspect`, which is
 * signed by its accuser and is nobody's fact: it only makes the others look for themselves.
 * A message is not signed: mutual TLS says who sent it, and what it carries is signed piece by piece.
 * Each topic's body has its schema in protocol/gossip-records.ts.
 */
import { z } from "zod";
import { signedBytesMax } from "./envelope.ts";
import { kibibyte } from "./limits.ts";
import { bytesSchema, globalNameSchema } from "./schema.ts";

/** Of one message, request or answer; a page of anti-entropy is the largest. */
export const gossipMessageBytesMax = 256 * kibibyte;
/** Signed statements in one message, over all its lists. */
export const statementsPerMessageMax = 512;
export const addressesPerMemberMax = 8;
export const nonceBytes = 16;
export const recordBodyBytesMax = 16 * kibibyte;
/** A fingerprint is compared for this many parts of the key space in one message of anti-entropy. */
export const rangesPerMessageMax = 64;
/** Entries named one by one in one message of anti-entropy. */
export const headsPerMessageMax = 1_024;
/** Counters of a member's own statements; far from where a double stops counting. */
export const counterMax = 2 ** 52;

/** What a member keeps beside its membership, one record each. `introduction` has one per introduced member. */
export const topics = ["profile", "nodes", "catalogue", "pledge", "revocations", "withdrawals", "introduction"] as const;
export type Topic = (typeof topics)[number];

const counterSchema = z.number().int().nonnegative().max(counterMax);
const addressSchema = z.string().min(1).max(300);
/** The program's version of these statements; a later one that is not understood is left alone. */
const version = z.literal(1);

/** I am up (or leaving), in this incarnation, and there I listen. */
export const aliveSchema = z.object({
  version,
  member: globalNameSchema,
  incarnation: counterSchema,
  status: z.enum(["up", "left"]),
  addresses: z.array(addressSchema).max(addressesPerMemberMax),
});
export type AliveFields = Omit<z.output<typeof aliveSchema>, "version">;

/** I could not reach this member in this incarnation. */
export const suspectSchema = z.object({ version, accuser: globalNameSchema, member: globalNameSchema, incarnation: counterSchema });
export type SuspectFields = Omit<z.output<typeof suspectSchema>, "version">;

/** What I say about myself on a topic; `clock` is a Lamport time and replaces what was said earlier. */
export const recordSchema = z.object({
  version,
  member: globalNameSchema,
  topic: z.enum(topics),
  /** Of an introduction, who is introduced; otherwise empty. */
  item: z.string().max(255),
  clock: counterSchema,
  /** Empty when the record is withdrawn. */
  body: bytesSchema.refine((body) => body.length <= recordBodyBytesMax, `a record has at most ${recordBodyBytesMax} bytes`),
});
export type RecordFields = Omit<z.output<typeof recordSchema>, "version">;

/** I have just seen this nonce: what a helper brings back from a member that it was asked to probe. */
const nonceSchema = bytesSchema.refine((nonce) => nonce.length === nonceBytes, `a nonce has ${nonceBytes} bytes`);
export const presenceSchema = z.object({ version, member: globalNameSchema, nonce: nonceSchema });
export type PresenceFields = Omit<z.output<typeof presenceSchema>, "version">;

const statementSchema = bytesSchema.refine((bytes) => bytes.length <= signedBytesMax("record"), "the statement is too long");
const statementsSchema = z.array(statementSchema).max(statementsPerMessageMax);

const wordSchema = z.number().int().nonnegative().max(0xffffffff);
/** Two 32-bit words: the exclusive or of the digests of all that is in a part of the key space. */
const digestSchema = z.tuple([wordSchema, wordSchema]);
/** A part of one of the two key spaces: all keys whose path starts with these hexadecimal digits. */
const placeSchema = z.object({ space: z.enum(["members", "records"]), path: z.string().regex(/^[0-9a-f]{0,16}$/) });
/** A key and what there is of it: its counter (incarnation or clock) and digest. */
const headSchema = z.tuple([z.string().max(600), counterSchema, wordSchema, wordSchema]);

const syncSchema = {
  ranges: z.array(placeSchema.extend({ digest: digestSchema })).max(rangesPerMessageMax),
  /** Each lists all that its sender has in a place. */
  listings: z.array(placeSchema.extend({ heads: z.array(headSchema).max(headsPerMessageMax) })).max(rangesPerMessageMax),
  wants: z.array(placeSchema.pick({ space: true }).extend({ key: z.string().max(600) })).max(headsPerMessageMax),
  /** The page was full, and there is more to send. */
  more: z.boolean(),
};

const news = { version, news: statementsSchema };
export const gossipMessageSchema = z.discriminatedUnion("kind", [
  z.object({ ...news, kind: z.literal("ping"), nonce: nonceSchema.optional() }),
  /** Asks a helper to ping the target. */
  z.object({
    ...news,
    kind: z.literal("probe"),
    target: globalNameSchema,
    nonce: nonceSchema,
    timeoutMs: z.number().int().min(1).max(60_000),
  }),
  z.object({ ...news, kind: z.literal("news") }),
  z.object({ ...news, kind: z.literal("ack"), proof: statementSchema.optional() }),
  /** A helper's answer: the target did not answer me either. */
  z.object({ ...news, kind: z.literal("nack") }),
  z.object({ ...news, kind: z.literal("sync"), ...syncSchema, statements: statementsSchema }),
]);
export type GossipWireMessage = z.output<typeof gossipMessageSchema>;
export type GossipMessageKind = GossipWireMessage["kind"];
