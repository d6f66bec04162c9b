/** Rights that were granted on directories. What they add up to for a person is decided in src/coordinator/access.ts. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Inode, rootInode } from "../../protocol/ids.ts";
import { formatRights, type Right, rights, type SubjectPattern } from "../../protocol/rights.ts";
import { appendAudit } from "./audit.ts";
import { directoryRow, type MetadataContext, statement } from "./context.ts";
import { withdrawTickets } from "./enrolments.ts";
import type { AccessGrant, GrantRegistry } from "./people.ts";

interface GrantRow {
  readonly inode: number;
  readonly subject: SubjectPattern;
  readonly granted_by: GlobalName;
  readonly rights: number;
  readonly granted_ms: number;
  readonly expires_ms: number | null;
}

export function createGrantRegistry(context: MetadataContext): GrantRegistry {
  const { db } = context;
  return {
    grantsAbove: async (inode) =>
      statement<GrantRow, [number]>(
        context,
        `WITH RECURSIVE up (id) AS (VALUES (?1) UNION SELECT entry.parent FROM up JOIN entry ON entry.inode = up.id)
         SELECT access_grant.* FROM up JOIN access_grant ON access_grant.inode = up.id`,
      )
        .all(inode)
        .map(grantOf),
    listGrants: async (below = rootInode) =>
      statement<GrantRow, []>(context, "SELECT * FROM access_grant ORDER BY inode, subject, granted_by")
        .all()
        .map(grantOf)
        .flatMap((grant) => {
          const place = pathOf(context, grant.inode);
          return place?.ancestors.has(below) === true ? [{ ...grant, path: place.path }] : [];
        })
        .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)),
    grant: (request) => db.write(() => grant(context, request)),
    revokeGrant: (request) => db.write(() => revokeGrant(context, request)),
  };
}

function grantOf(row: GrantRow): AccessGrant {
  return {
    inode: row.inode as Inode,
    subject: row.subject,
    rights: rightsOfBits(row.rights),
    grantedBy: row.granted_by,
    grantedMs: row.granted_ms,
    expiresMs: row.expires_ms,
  };
}

function bitsOf(granted: readonly Right[]): number {
  return granted.reduce((bits, right) => bits | (1 << rights.indexOf(right)), 0);
}

export function rightsOfBits(bits: number): Right[] {
  return rights.filter((_, index) => (bits & (1 << index)) !== 0);
}

/** Undefined for what is gone or hangs below a removed tree. */
export function pathOf(
  context: MetadataContext,
  inode: Inode,
): { readonly path: string; readonly ancestors: ReadonlySet<number> } | undefined {
  const names: string[] = [];
  const ancestors = new Set<number>([inode]);
  for (let at: number = inode; at !== rootInode; ) {
    const entry = statement<{ parent: number; name: string }, [number]>(
      context,
      "SELECT parent, name FROM entry WHERE inode = ? LIMIT 1",
    ).get(at);
    if (!entry) return undefined;
    names.unshift(entry.name);
    at = entry.parent;
    ancestors.add(at);
  }
  return { path: `/${names.join("/")}`, ancestors };
}

/** For use inside a transaction. */
export function grant(
  context: MetadataContext,
  { inode, subject, rights: granted, grantedBy, expiresMs }: Omit<AccessGrant, "grantedMs">,
): void {
  directoryRow(context, inode, "what rights are granted on");
  if (inode === rootInode) throw new CollectiveError("invalid_argument", "rights are granted on a datastore or a directory in one");
  statement<never, [number, string, string, number, number, number | null]>(
    context,
    `INSERT INTO access_grant (inode, subject, granted_by, rights, granted_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT DO UPDATE SET rights = ?4, granted_ms = ?5, expires_ms = ?6`,
  ).run(inode, subject, grantedBy, bitsOf(granted), Math.trunc(context.clock.wallMs()), expiresMs);
  // A smaller grant in place of a larger one takes something away.
  withdrawTickets(context, subject);
  appendAudit(context, {
    actor: grantedBy,
    action: "access.granted",
    subject,
    details: {
      path: pathOf(context, inode)?.path,
      rights: formatRights(granted),
      expires: expiresMs === null ? null : new Date(expiresMs).toISOString(),
    },
  });
}

function revokeGrant(context: MetadataContext, { inode, subject, grantedBy, by }: Parameters<GrantRegistry["revokeGrant"]>[0]): void {
  const { changes } = statement<never, [number, string, string | null]>(
    context,
    "DELETE FROM access_grant WHERE inode = ?1 AND subject = ?2 AND (?3 IS NULL OR granted_by = ?3)",
  ).run(inode, subject, grantedBy ?? null);
  if (changes === 0) throw new CollectiveError("not_found", `nothing there is granted to ${subject}`);
  withdrawTickets(context, subject);
  appendAudit(context, { actor: by, action: "access.revoked", subject, details: { path: pathOf(context, inode)?.path } });
}
