/**
 * What stands in the records that gossip carries. Unknown fields are ignored, so that a later version may add some.
 *
 * Invariant: a record speaks of its author alone. An introduction says no more than "I vouch for this member, and these are its certificates".
 */
import { z } from "zod";
import { checkShape, decodeMessage, encodeMessage } from "./codec.ts";
import { addressesPerMemberMax, type Topic } from "./gossip.ts";
import { parseSubjectPattern, rightsSchema } from "./rights.ts";
import { bytesSchema, globalNameSchema, nodeStates, siteSchema, sizeSchema, withdrawalSchema } from "./schema.ts";

const pemSchema = z.string().max(4096);
const addressesSchema = z.array(z.string().min(1).max(300)).max(addressesPerMemberMax);
export const nodesToldMax = 64;
export const hostedSitesMax = 128;
export const withdrawalsToldMax = 256;
export const revocationsToldMax = 128;
export const keysToldMax = 16;
const revocableKinds = ["user", "node"] as const;

const patternSchema = z.string().max(300).refine(isPattern, "not a subject pattern");

function isPattern(text: string): boolean {
  try {
    parseSubjectPattern(text);
    return true;
  } catch {
    return false;
  }
}

const bodySchemas = {
  profile: z.object({ authorityPem: pemSchema, controlAddresses: addressesSchema, protocolVersion: z.number().int().positive() }),
  nodes: z.object({
    nodes: z
      .array(
        z.object({
          name: globalNameSchema,
          address: z.string().max(300),
          state: z.enum(nodeStates),
          capacityBytes: sizeSchema,
          freeBytes: sizeSchema,
        }),
      )
      .max(nodesToldMax),
  }),
  catalogue: z.object({
    stores: z
      .array(
        z.object({
          name: z.string().min(1).max(255),
          grants: z.array(z.object({ to: patternSchema, rights: rightsSchema })).max(32),
        }),
      )
      .max(64),
  }),
  pledge: z.object({
    /** What it lends to others in all. */
    pledgedBytes: sizeSchema,
    /** What of that others use now, by their sites. */
    hosted: z.array(z.object({ site: siteSchema, bytes: sizeSchema })).max(hostedSitesMax),
  }),
  /** Of its people and nodes whose certificates do not count any more, although their time is not over. */
  revocations: z.object({
    names: z
      .array(
        z.object({
          kind: z.enum(revocableKinds),
          name: globalNameSchema,
          revokedMs: z.number().int().nonnegative(),
          /** Of whoever was let in under the name again. */
          keysInForce: z.array(bytesSchema).max(keysToldMax),
        }),
      )
      .max(revocationsToldMax),
    serials: z.array(z.object({ serial: z.string().max(64), revokedMs: z.number().int().nonnegative() })).max(revocationsToldMax),
  }),
  /** Of tickets that it has signed: void are those of these holders. */
  withdrawals: z.object({ list: z.array(withdrawalSchema).max(withdrawalsToldMax) }),
  /** The coordinator's certificate carries the key that signs its statements; the authority's shows that it is its own. */
  introduction: z.object({ member: globalNameSchema, authorityPem: pemSchema, coordinatorPem: pemSchema, addresses: addressesSchema }),
} as const satisfies Record<Topic, z.ZodType>;

type Bodies = { readonly [T in Topic]: z.output<(typeof bodySchemas)[T]> };
export type RecordBody<T extends Topic> = Bodies[T];
const schemaOf: { readonly [T in Topic]: z.ZodType<Bodies[T]> } = bodySchemas;

/** Throws `invalid_argument` for what the others would refuse. */
export function encodeRecordBody<T extends Topic>(topic: T, body: RecordBody<T>): Uint8Array<ArrayBuffer> {
  return encodeMessage(checkShape(schemaOf[topic], body, `the record ${topic}`));
}

/** Throws `invalid_argument` for bytes that are no body of this topic. */
export function decodeRecordBody<T extends Topic>(topic: T, bytes: Uint8Array): RecordBody<T> {
  return decodeMessage(schemaOf[topic], bytes, `the record ${topic}`);
}
