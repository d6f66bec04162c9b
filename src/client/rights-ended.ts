/** What it means when a node has refused a ticket and the coordinator gives no new one. */
import { CollectiveError } from "../../protocol/errors.ts";

/** Whoever may not see a file any more is told `not_found` by the coordinator; that the node refused says what really happened. */
export function rightsEnded(error: CollectiveError, refusal: CollectiveError): CollectiveError {
  if (error.code !== "not_found") return error;
  return new CollectiveError("permission_denied", `the right to it was taken away meanwhile: ${refusal.message}`, { cause: error });
}
