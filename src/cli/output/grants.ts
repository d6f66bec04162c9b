/** Grants for people, and as the fields of `access list --json`. */
import { formatRights } from "../../../protocol/rights.ts";
import type { ListedGrant } from "../../../protocol/schema.ts";
import { renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { printable } from "./text.ts";

export function jsonGrant(grant: ListedGrant): Record<string, unknown> {
  return {
    path: grant.path,
    subject: grant.subject,
    rights: grant.rights,
    in_force: grant.inForce,
    granted_by: grant.grantedBy,
    granted: new Date(grant.grantedMs).toISOString(),
    expires: grant.expiresMs === null ? null : new Date(grant.expiresMs).toISOString(),
  };
}

/** On one line: `dora@home.collective.local may read+write /photos until 2026-05-01 12:00:00 UTC`. */
export function describeGrant({ subject, rights, path, expiresMs }: ListedGrant): string {
  return `${subject} may ${formatRights(rights)} ${printable(path)}${expiresMs === null ? "" : ` until ${timeText(expiresMs)} UTC`}`;
}

export function renderGrants(
  grants: readonly ListedGrant[],
  { nowMs, terminal }: { readonly nowMs: number; readonly terminal: Terminal },
): string {
  const { colours, unicode, columns: width } = terminal;
  return renderTable({
    columns: [
      { header: "PATH", flexible: true },
      { header: "WHO", flexible: true },
      { header: "RIGHTS" },
      { header: "GRANTED BY", flexible: true },
      { header: "EXPIRES" },
      { header: "IN FORCE" },
    ],
    rows: grants.map((grant) => {
      const { expiresMs, rights, inForce } = grant;
      const isWhole = inForce.length === rights.length;
      const hasEnded = expiresMs !== null && expiresMs <= nowMs;
      return [
        grant.path,
        grant.subject,
        formatRights(rights),
        grant.grantedBy,
        expiresMs === null ? "never" : timeText(expiresMs),
        isWhole ? "yes" : { text: hasEnded ? "ended" : inForce.length === 0 ? "no" : formatRights(inForce), paint: colours.warn },
      ];
    }),
    width,
    colours,
    unicode,
  });
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace("T", " ");
}
