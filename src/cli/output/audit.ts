/** The audit trail for people and for programs. */
import type { AuditEntry } from "../../client/audit-trail.ts";
import { formatTime } from "./entries.ts";
import { type Cell, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export function jsonAuditEntry({ seq, atMs, actor, action, subject, details }: AuditEntry): Record<string, unknown> {
  return { seq, time: new Date(atMs).toISOString(), actor, action, subject, details };
}

export function renderAudit(entries: readonly AuditEntry[], { colours, unicode, columns }: Terminal): string {
  return renderTable({
    columns: [
      { header: "TIME (UTC)" },
      { header: "WHO", flexible: true },
      { header: "WHAT" },
      { header: "WHOM", flexible: true },
      { header: "DETAILS", flexible: true },
    ],
    rows: entries.map((entry): Cell[] => [
      formatTime(BigInt(entry.atMs) * 1_000_000n),
      entry.actor,
      entry.action,
      { text: entry.subject, paint: colours.bold },
      describe(entry.details),
    ]),
    width: columns,
    colours,
    unicode,
  });
}

/** `path=/media rights=read+write`, without what is not there. */
function describe(details: AuditEntry["details"]): string {
  return Object.entries(details)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
}
