/**
 * Files that clients have open. A session says which, and goes on saying that it is there; what is held when its last name goes is
 * kept in the table `unnamed`, until nobody holds it or those who do have been silent for too long. Time in which the
 * coordinator was away does not count as silence.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { heldInodesPerSessionMax, sessionSilentMsMax, sessionsPerCallerMax } from "../../protocol/limits.ts";
import { type InodeRow, isNamed, type MetadataContext, statement, typeCodes } from "./context.ts";
import type { Holds, Session } from "./store.ts";

export function createHolds(context: MetadataContext): Holds {
  const { db } = context;
  return {
    hold: (session, inodes) => db.writeRelaxed(() => hold(context, session, inodes)),
    hasSessions: async () => statement<{ one: number }, []>(context, "SELECT 1 AS one FROM session LIMIT 1").get() !== null,
    isHeldByOthers: async (session, inode) => isHeldByOthers(context, session, inode),
    release: (session, inodes) => db.writeRelaxed(() => release(context, session, inodes)),
  };
}

/** Also when its names are gone: who holds it may still use it. */
export function isHeld(context: MetadataContext, inode: number): boolean {
  return statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM hold WHERE inode = ? LIMIT 1").get(inode) !== null;
}

function hold(context: MetadataContext, session: Session, inodes: readonly Inode[]): { gone: Inode[] } {
  const id = touchSession(context, session);
  const gone = inodes.filter((inode) => !canBeHeld(context, inode));
  for (const inode of inodes) {
    if (gone.includes(inode)) continue;
    statement<never, [number, number]>(context, "INSERT OR IGNORE INTO hold (session, inode) VALUES (?, ?)").run(id, inode);
  }
  const held = statement<{ count: number }, [number]>(context, "SELECT count(*) AS count FROM hold WHERE session = ?").get(id)?.count ?? 0;
  if (held > heldInodesPerSessionMax) throw new CollectiveError("too_large", `one client may hold ${heldInodesPerSessionMax} open files`);
  return { gone };
}

function isHeldByOthers(context: MetadataContext, { caller, token }: Session, inode: number): boolean {
  const sql = `SELECT 1 AS one FROM hold JOIN session ON session.id = hold.session
    WHERE hold.inode = +? AND NOT (session.caller = +? AND session.token = +?) LIMIT 1`;
  return statement<{ one: number }, [number, string, string]>(context, sql).get(inode, caller, token) !== null;
}

function canBeHeld(context: MetadataContext, inode: Inode): boolean {
  const row = statement<InodeRow, [number]>(context, "SELECT * FROM inode WHERE id = ?").get(inode);
  if (row?.type === typeCodes.directory) throw new CollectiveError("is_a_directory", "a directory cannot be held");
  return row !== null && (isNamed(context, inode) || isHeld(context, inode));
}

function touchSession(context: MetadataContext, { caller, token }: Session): number {
  const nowMs = Math.trunc(context.clock.wallMs());
  const row = statement<{ id: number }, [string, string, number]>(
    context,
    "INSERT INTO session (caller, token, touched_ms) VALUES (?1, ?2, ?3) ON CONFLICT (caller, token) DO UPDATE SET touched_ms = ?3 RETURNING id",
  ).get(caller, token, nowMs);
  if (!row) throw new CollectiveError("internal", "the session was not recorded");
  const sessions = statement<{ count: number }, [string]>(context, "SELECT count(*) AS count FROM session WHERE caller = ?").get(caller);
  if ((sessions?.count ?? 0) > sessionsPerCallerMax) {
    throw new CollectiveError("too_large", `${caller} has files open from more than ${sessionsPerCallerMax} clients`);
  }
  return row.id;
}

function release(context: MetadataContext, { caller, token }: Session, inodes: readonly Inode[] | "all"): void {
  const session = statement<{ id: number }, [number, string, string]>(
    context,
    "UPDATE session SET touched_ms = ? WHERE caller = ? AND token = ? RETURNING id",
  ).get(Math.trunc(context.clock.wallMs()), caller, token);
  if (!session) return;
  if (inodes === "all") statement<never, [number]>(context, "DELETE FROM session WHERE id = ?").run(session.id);
  else {
    for (const inode of inodes) {
      statement<never, [number, number]>(context, "DELETE FROM hold WHERE session = ? AND inode = ?").run(session.id, inode);
    }
  }
  reclaimUnheld(context);
}

/** Ends the sessions that nobody has heard of, and queues what nobody holds any more to be freed. */
export function reclaimUnheld(context: MetadataContext): void {
  const silentSinceMs = Math.trunc(context.clock.wallMs()) - sessionSilentMsMax;
  if (silentSinceMs > context.openedMs) {
    statement<never, [number]>(context, "DELETE FROM session WHERE touched_ms < ?").run(silentSinceMs);
  }
  const unheld = "NOT EXISTS (SELECT 1 FROM hold WHERE hold.inode = unnamed.inode)";
  statement<never, []>(context, `INSERT OR IGNORE INTO reclaim (inode, home) SELECT inode, home FROM unnamed WHERE ${unheld}`).run();
  statement<never, []>(context, `DELETE FROM unnamed WHERE ${unheld}`).run();
}
