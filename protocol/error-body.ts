import { z } from "zod";
import { errorCodes } from "./errors.ts";

/** What any error looks like between two processes, control and data API alike. */
export const errorBodySchema = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  hint: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});
