/** The audit trail: who joined, was granted, revoked or removed, when and by whom. The database refuses to change it. */
import { type MetadataContext, statement } from "./context.ts";
import type { AuditTrail } from "./people.ts";

interface AuditRow {
  readonly seq: number;
  readonly at_ms: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly details: string;
}

export function createAuditTrail(context: MetadataContext): AuditTrail {
  return {
    listAudit: async ({ beforeSeq = Number.MAX_SAFE_INTEGER, limit }) =>
      statement<AuditRow, [number, number]>(context, "SELECT * FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?")
        .all(beforeSeq, limit)
        .map(({ at_ms, details, ...row }) => ({ ...row, atMs: at_ms, details: JSON.parse(details) as Record<string, unknown> })),
  };
}

export const auditActions = [
  "person.joined",
  "node.joined",
  "identity.revoked",
  "certificate.revoked",
  "access.granted",
  "access.revoked",
  "invite.created",
  "invite.revoked",
  "store.created",
  "store.removed",
  "peer.added",
  "peer.removed",
  "pledge.set",
] as const;
export type AuditAction = (typeof auditActions)[number];

export interface AuditRecord {
  readonly actor: string;
  readonly action: AuditAction;
  /** Whom or what it was done to. */
  readonly subject: string;
  /** Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** For use inside the transaction of what it records. */
export function appendAudit(context: MetadataContext, { actor, action, subject, details = {} }: AuditRecord): void {
  statement<never, [number, string, string, string, string]>(
    context,
    "INSERT INTO audit (at_ms, actor, action, subject, details) VALUES (?, ?, ?, ?, ?)",
  ).run(Math.trunc(context.clock.wallMs()), actor, action, subject, JSON.stringify(details));
}
