/**
 * What a coordinator offers on its control port to the coordinator of a member that it does not know yet: to show that a federation
 * root has signed its authority, and to become peers. Whoever asks is identified by nothing but what it shows and proves.
 */
import { z } from "zod";
import type { Route } from "./route.ts";
import { bytesSchema, globalNameSchema } from "./schema.ts";

export const rootBodyBytesMax = 16 * 1024;

const pemSchema = z.string().max(4096);
/** A member's authority, and the same as the root has signed it. */
const membershipSchema = { authorityPem: pemSchema, membershipPem: pemSchema };

export const rootRoutes = {
  /** Asked before anything is trusted: the asker looks for the signature of the root that it knows. `not_found` where there is no root. */
  membership: { path: "/v1/root/membership", input: z.object({}), output: z.object(membershipSchema), idempotent: true },
  /** The asker's coordinator is the one whose certificate is presented in the TLS handshake; it is trusted from then on. */
  peer: {
    path: "/v1/root/peer",
    input: z.object({
      ...membershipSchema,
      member: globalNameSchema,
      /** `host:port` of its control API. */
      address: z.string().max(300),
      /** A signed `PeeringClaim`, which rests on the root that both are under. */
      proof: bytesSchema,
    }),
    output: z.object({ member: globalNameSchema, coordinatorPem: pemSchema }),
    idempotent: true,
  },
} as const satisfies Record<string, Route>;
