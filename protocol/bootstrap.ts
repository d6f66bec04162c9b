/**
 * What the bootstrap port offers to whoever holds no certificate yet: to see the authority, and to redeem
 * an invite code. Nothing else is served there.
 */
import { z } from "zod";
import { grantsPerInviteMax, inviteSecretBytes } from "./invite.ts";
import { rightsSchema } from "./rights.ts";
import type { Route } from "./routes.ts";
import { bytesSchema, globalNameSchema } from "./schema.ts";

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
} as const satisfies Record<string, Route>;
