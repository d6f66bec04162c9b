/**
 * Revoking a name as a whole.
 *
 * Invariant: nothing of a name outlives its revocation: not what was granted to it, not what it has granted, not an open code that
 * would let it in again. So whoever is enrolled under the name later begins with nothing.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import { appendAudit } from "./audit.ts";
import { type MetadataContext, statement } from "./context.ts";
import { withdrawTickets } from "./enrolments.ts";
import { removeGrantsOf } from "./grants.ts";
import { revokeInvitesFor } from "./invites.ts";
import type { Enrolment, EnrolmentRegistry } from "./people.ts";

/** Stands for every key of a name that has no row of its own. */
const anyOtherKey = new Uint8Array(0);

export function createNameRevocation(context: MetadataContext): Pick<EnrolmentRegistry, "revokeName"> {
  return { revokeName: (who, by) => context.db.write(() => revokeName(context, who, by)) };
}

function revokeName(context: MetadataContext, who: Pick<Enrolment, "kind" | "name">, by: GlobalName): void {
  const { kind, name } = who;
  const revokedMs = Math.trunc(context.clock.wallMs());
  statement<never, [string, string, Uint8Array, number, string]>(
    context,
    "INSERT INTO enrolment (kind, name, public_key, joined_ms, joined_by) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
  ).run(kind, name, anyOtherKey, revokedMs, by);
  const { changes } = statement<never, [number, string, string]>(
    context,
    "UPDATE enrolment SET revoked_ms = ? WHERE kind = ? AND name = ? AND revoked_ms IS NULL",
  ).run(revokedMs, kind, name);
  withdrawTickets(context, name);
  if (changes > 0) appendAudit(context, { actor: by, action: "identity.revoked", subject: name, details: { kind } });
  if (kind === "user") removeGrantsOf(context, name, by);
  revokeInvitesFor(context, who, by);
}
