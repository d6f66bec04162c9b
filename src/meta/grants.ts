/** Rights that were granted on directories. What they add up to for a person is decided in src/coordinator/access.ts. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Inode, rootInode } from "../../protocol/ids.ts";
import { formatRights, matchesSubject, type Right, rights, type SubjectPattern } from "../../protocol/rights.ts";
import { appendAudit } from "./audit.ts";
import { directoryRow, type MetadataContext, statement } from "./context.ts";
import { isRevokedPerson, withdrawTickets } from "./enrolments.ts";
import type { AccessGrant, GrantRegistry } from "./people.ts";
import { pathTo, wayTo } from "./walk.ts";

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
    grantsAbove: async (inode, person) =>
      statement<GrantRow, [number, string | null]>(
        context,
        // A directory may be shared with a thousand people; of them only the one who asks matters, and who has granted something.
        `WITH RECURSIVE up (id, height) AS (VALUES (?1, 0) UNION ALL SELECT entry.parent, height + 1 FROM up JOIN entry ON entry.inode = up.id),
           above AS (SELECT access_grant.*, height FROM up JOIN access_grant ON access_grant.inode = up.id)
         SELECT * FROM above WHERE ?2 IS NULL OR subject = ?2 OR instr(subject, '*') > 0 OR subject IN (SELECT granted_by FROM above)
         ORDER BY height`,
      )
        .all(inode, person ?? null)
        .map(grantOf),
    groundOf: async (directories) => groundOf(context, directories),
    directoriesGrantedTo: async (person) => {
      const rows = statement<Pick<GrantRow, "inode" | "subject">, [string]>(
        context,
        "SELECT DISTINCT inode, subject FROM access_grant WHERE subject = ? OR instr(subject, '*') > 0",
      ).all(person);
      const inodes = new Set(rows.filter((row) => matchesSubject(row.subject, person)).map((row) => row.inode));
      return [...inodes].flatMap((inode) => {
        const way = wayTo(context, inode as Inode);
        return way ? [way] : [];
      });
    },
    listGrants: async (below = rootInode) =>
      statement<GrantRow, []>(context, "SELECT * FROM access_grant ORDER BY inode, subject, granted_by")
        .all()
        .map(grantOf)
        .flatMap((grant) => {
          const way = wayTo(context, grant.inode);
          const path = pathTo(way);
          const isBelow = below === rootInode || way?.some(({ attr }) => attr.inode === below) === true;
          return path !== undefined && isBelow ? [{ ...grant, path }] : [];
        })
        .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)),
    grant: (request) => db.write(() => grant(context, request)),
    revokeGrant: (request) => db.write(() => revokeGrant(context, request)),
    withdrawEnded: async (fromMs) => {
      const ended = statement<Pick<GrantRow, "subject">, [number, number]>(
        context,
        "SELECT DISTINCT subject FROM access_grant WHERE expires_ms > ? AND expires_ms <= ?",
      ).all(fromMs, context.clock.wallMs());
      if (ended.length === 0) return;
      await db.write(() => {
        for (const { subject } of ended) withdrawFrom(context, subject);
      });
    },
  };
}

function groundOf(context: MetadataContext, directories: readonly Inode[]): { directory: Inode; grantedBelow: boolean } {
  const ways = directories.map((inode) => {
    const way = wayTo(context, inode);
    if (!way) throw new CollectiveError("not_found", "the file or directory no longer exists");
    return way.map(({ attr }) => attr.inode);
  });
  const [first = []] = ways;
  const parting = first.findIndex((inode, depth) => ways.some((way) => way[depth] !== inode));
  const shared = parting < 0 ? first.length : parting;
  const isGranted = (inode: Inode): boolean =>
    statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM access_grant WHERE inode = ? LIMIT 1").get(inode) !== null;
  return { directory: first[shared - 1] ?? rootInode, grantedBelow: ways.some((way) => way.slice(shared).some(isGranted)) };
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

/** For use inside a transaction. */
export function grant(
  context: MetadataContext,
  { inode, subject, rights: granted, grantedBy, expiresMs }: Omit<AccessGrant, "grantedMs">,
): void {
  // Who was revoked while the request was under way would leave behind what nobody takes back.
  if (isRevokedPerson(context, grantedBy)) throw new CollectiveError("not_authenticated", `${grantedBy} was revoked`);
  directoryRow(context, inode, "what rights are granted on");
  if (inode === rootInode) throw new CollectiveError("invalid_argument", "rights are granted on a datastore or a directory in one");
  const before = statement<{ one: number }, [number, string, string]>(
    context,
    "SELECT 1 AS one FROM access_grant WHERE inode = ? AND subject = ? AND granted_by = ?",
  ).get(inode, subject, grantedBy);
  statement<never, [number, string, string, number, number, number | null]>(
    context,
    `INSERT INTO access_grant (inode, subject, granted_by, rights, granted_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT DO UPDATE SET rights = ?4, granted_ms = ?5, expires_ms = ?6`,
  ).run(inode, subject, grantedBy, bitsOf(granted), Math.trunc(context.clock.wallMs()), expiresMs);
  // A smaller grant in place of a larger one takes something away.
  if (before) withdrawFrom(context, subject);
  appendAudit(context, {
    actor: grantedBy,
    action: "access.granted",
    subject,
    details: {
      path: pathTo(wayTo(context, inode)),
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
  withdrawFrom(context, subject);
  appendAudit(context, { actor: by, action: "access.revoked", subject, details: { path: pathTo(wayTo(context, inode)) } });
}

/** What was granted to somebody by name, and what it has granted; a pattern that it matches stays. For use inside a transaction. */
export function removeGrantsOf(context: MetadataContext, person: GlobalName, by: GlobalName): void {
  withdrawFrom(context, person as string as SubjectPattern);
  const removed = statement<Pick<GrantRow, "inode" | "subject" | "granted_by">, [string]>(
    context,
    "DELETE FROM access_grant WHERE subject = ?1 OR granted_by = ?1 RETURNING inode, subject, granted_by",
  ).all(person);
  for (const { inode, subject, granted_by } of removed) {
    const path = pathTo(wayTo(context, inode as Inode));
    appendAudit(context, { actor: by, action: "access.revoked", subject, details: { path, granted_by } });
  }
}

/**
 * From the subject and from all to whom it, or they in turn, have granted anything: some of that may have rested on what
 * is gone. Too many does no harm: who still has a right asks again.
 */
function withdrawFrom(context: MetadataContext, subject: SubjectPattern): void {
  const grants = statement<Pick<GrantRow, "subject" | "granted_by">, []>(
    context,
    "SELECT DISTINCT subject, granted_by FROM access_grant",
  ).all();
  const reached = new Set([subject]);
  // A set goes on with what is added to it meanwhile.
  for (const pattern of reached) {
    for (const passedOn of grants) if (matchesSubject(pattern, passedOn.granted_by)) reached.add(passedOn.subject);
  }
  for (const pattern of reached) withdrawTickets(context, pattern);
}
