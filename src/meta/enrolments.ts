/** Who holds certificates, and who is refused. */
import type { GlobalName } from "../../protocol/ids.ts";
import { clockSkewMsMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import { appendAudit } from "./audit.ts";
import { type MetadataContext, statement } from "./context.ts";
import type { Enrolment, EnrolmentRegistry } from "./people.ts";

interface EnrolmentRow {
  readonly kind: Enrolment["kind"];
  readonly name: GlobalName;
  readonly public_key: Uint8Array;
  readonly joined_ms: number;
  readonly joined_by: string;
  readonly revoked_ms: number | null;
}

/** `revokeName` is in revoked-names.ts. */
export function createEnrolmentRegistry(context: MetadataContext): Omit<EnrolmentRegistry, "revokeName"> {
  const { db } = context;
  return {
    listEnrolments: async () =>
      statement<EnrolmentRow, []>(context, "SELECT * FROM enrolment ORDER BY kind, name, joined_ms")
        .all()
        .map((row) => ({
          kind: row.kind,
          name: row.name,
          publicKeyRaw: row.public_key,
          joinedMs: row.joined_ms,
          joinedBy: row.joined_by,
          revokedMs: row.revoked_ms,
        })),
    listRevokedSerials: async () =>
      statement<{ serial: string; revoked_ms: number }, []>(context, "SELECT serial, revoked_ms FROM revoked_serial")
        .all()
        .map((row) => ({ serial: row.serial, revokedMs: row.revoked_ms })),
    enrol: (who, by) => db.write(() => enrol(context, who, by)),
    revokeSerial: (serial, by) =>
      db.write(() => {
        const { changes } = statement<never, [string, number]>(
          context,
          "INSERT INTO revoked_serial (serial, revoked_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
        ).run(serial, nowMs(context));
        if (changes > 0) appendAudit(context, { actor: by, action: "certificate.revoked", subject: serial });
      }),
    listWithdrawals: async () =>
      statement<{ holder: string; until_ms: number }, [number]>(
        context,
        "SELECT holder, until_ms FROM withdrawal WHERE until_ms > ? ORDER BY holder",
      )
        .all(nowMs(context) - withdrawalLifeMs)
        .map((row) => ({ holder: row.holder, untilMs: row.until_ms })),
  };
}

function nowMs(context: MetadataContext): number {
  return Math.trunc(context.clock.wallMs());
}

/** For use inside a transaction. */
export function enrol(
  context: MetadataContext,
  { kind, name, publicKeyRaw }: Pick<Enrolment, "kind" | "name" | "publicKeyRaw">,
  by: string,
): void {
  statement<never, [string, string, Uint8Array, number, string]>(
    context,
    `INSERT INTO enrolment (kind, name, public_key, joined_ms, joined_by) VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT DO UPDATE SET joined_ms = ?4, joined_by = ?5, revoked_ms = NULL`,
  ).run(kind, name, publicKeyRaw, nowMs(context), by);
  appendAudit(context, { actor: by, action: kind === "node" ? "node.joined" : "person.joined", subject: name });
}

/** By name as a whole, and not enrolled again. For use inside a transaction. */
export function isRevokedPerson(context: MetadataContext, name: GlobalName): boolean {
  const keys = statement<{ known: number; revoked: number }, [string]>(
    context,
    "SELECT count(*) AS known, count(revoked_ms) AS revoked FROM enrolment WHERE kind = 'user' AND name = ?",
  ).get(name);
  return keys !== null && keys.known > 0 && keys.known === keys.revoked;
}

/** No ticket lives longer, by the slowest clock that is tolerated. */
const withdrawalLifeMs = ticketLifetimeMs + 2 * clockSkewMsMax;

/** Voids all tickets of a holder, or of a pattern of holders, that were issued until now. For use inside a transaction. */
export function withdrawTickets(context: MetadataContext, holder: string): void {
  const untilMs = nowMs(context);
  statement<never, [number]>(context, "DELETE FROM withdrawal WHERE until_ms < ?").run(untilMs - withdrawalLifeMs);
  statement<never, [string, number]>(
    context,
    "INSERT INTO withdrawal (holder, until_ms) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until_ms = max(until_ms, ?2)",
  ).run(holder, untilMs);
}
