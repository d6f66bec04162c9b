/**
 * What each coordinator's tickets may allow on a node, whoever signed them rightly.
 *
 * Invariant: nothing comes in but by the node's own coordinator, which keeps to what its member gives to others; and no
 * other coordinator reaches chunks that are not its own member's.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Site } from "../../protocol/ids.ts";
import { ownerOf, type Ticket, type TicketOperation } from "../../protocol/ticket.ts";

/** With the chunks that it has here another member goes on when the node's own coordinator is away. */
const peerOperations: ReadonlySet<TicketOperation> = new Set(["get", "verify", "delete"]);

/** Throws `permission_denied` for a ticket that its issuer had no right to give, at a node of `site`. */
export function assertMayIssue(ticket: Pick<Ticket, "issuer" | "owner" | "operation">, site: Site): void {
  const { issuer, operation } = ticket;
  if (issuer === site) return;
  const owner = ownerOf(ticket);
  if (owner !== issuer) throw new CollectiveError("permission_denied", `${issuer} gives no tickets for chunks of ${owner}`);
  if (!peerOperations.has(operation))
    throw new CollectiveError("permission_denied", `tickets to ${operation} on nodes of ${site} are from ${site}, not from ${issuer}`);
}
