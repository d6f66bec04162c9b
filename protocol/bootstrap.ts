/**
 * What the bootstrap port offers to whoever holds no certificate that counts here yet: to see the authority, and to
 * redeem an invite code, as a person, a node or another member. Nothing else is served there.
 */
import { z } from "zod";
import { grantsPerInviteMax, inviteSecretBytes } from "./invite.ts";
import { rightsSchema } from "./rights.ts";
import type { Route } from "./routes.ts";
import { bytesSchema, globalNameSchema, siteSchema } from "./schema.ts";

export const bootstrapBodyBytesMax = 16 * 1024;
/** An answer names what a code grants, which may be a lot. */
export const bootstrapAnswerBytesMax = 256 * 1024;

const secretSchema = bytesSchema.refine(({ length }) => length === inviteSecretBytes, `a secret has ${inviteSecretBytes} bytes`);

export const bootstrapRoutes = {
  /** Asked before anything is trusted: the asker compares its key with what the code says of it. */
  authority: {
    path: "/v1/bootstrap/authority",
    input: z.object({}),
    output: z.object({ authorityPem: z.string().max(bootstrapBodyBytesMax) }),
    idempotent: true,
  },
  /** Takes one use of a code. The same key asking again gets its answer again and takes no second use. */
  redeem: {
    path: "/v1/bootstrap/redeem",
    input: z.object({
      secret: secretSchema,
      csrPem: z.string().max(8192),
      /** Who the joiner is, `dora` or `dora@home.collective.local`; a code that was made for one name insists on that. */
      name: z.string().max(255).optional(),
      /** Taken when neither the code nor the joiner insists on a name. */
      suggestedName: z.string().max(255).optional(),
    }),
    output: z.object({
      certificatePem: z.string().max(bootstrapBodyBytesMax),
      member: globalNameSchema,
      /** `host:port` of the control API, in the order to try them. */
      coordinators: z.array(z.string().max(300)).min(1).max(8),
      grants: z.array(z.object({ path: z.string().max(8192), rights: rightsSchema })).max(grantsPerInviteMax),
    }),
    idempotent: true,
  },
  /** Takes one use of a code for members; the asker is trusted from then on. The same member asking again takes no second use. */
  peer: {
    path: "/v1/bootstrap/peer",
    input: z.object({
      secret: secretSchema,
      member: globalNameSchema,
      authorityPem: z.string().max(4096),
      /** Of the member's coordinator, which signs the proof. */
      coordinatorPem: z.string().max(4096),
      /** `host:port` of its control API. */
      address: z.string().max(300),
      /** A signed `PeeringClaim`: the asker holds the coordinator's key, and means this code of this site. */
      proof: bytesSchema,
    }),
    output: z.object({ member: globalNameSchema, coordinatorPem: z.string().max(4096), address: z.string().max(300) }),
    idempotent: true,
  },
} as const satisfies Record<string, Route>;

/** What a coordinator signs when it asks to become the peer of another member. */
export const peeringClaimSchema = z.object({
  version: z.literal(1),
  member: globalNameSchema,
  address: z.string().max(300),
  /** Who is asked: whose code it is, or who is under the same root. */
  inviter: siteSchema,
  /** What it rests on: SHA-256 of the code's secret, or of the certificate of the federation root. */
  basis: bytesSchema,
});
export type PeeringClaim = Omit<z.output<typeof peeringClaimSchema>, "version">;
