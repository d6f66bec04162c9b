/**
 * Freeing what has lost its name. Removing a tree only cuts its entry, in constant time; the inodes
 * below are queued here and freed in bounded steps, so that no transaction grows with the tree.
 * The queue is a table: a crash loses none of it. What somebody holds waits in another one, see holds.ts.
 */
import type { Inode } from "../../protocol/ids.ts";
import { type MetadataContext, statement, touchInode } from "./context.ts";
import { isHeld } from "./holds.ts";
import type { EntryRef } from "./store.ts";

/** Cuts one name. Who has no other is queued to be freed, with all that is below it. */
export function detach(context: MetadataContext, entry: EntryRef, inode: Inode): void {
  detachFrom(context, { entry, inode, home: entry.parent });
}

interface Detached {
  readonly entry: EntryRef;
  readonly inode: number;
  /** The nearest directory above that stays. */
  readonly home: number;
}

function detachFrom(context: MetadataContext, { entry, inode, home }: Detached): void {
  statement<never, [number, string]>(context, "DELETE FROM entry WHERE parent = ? AND name = ?").run(entry.parent, entry.name);
  const other = statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM entry WHERE inode = ? LIMIT 1").get(inode);
  if (other) {
    touchInode(context, inode);
    return;
  }
  statement<never, [number, number]>(context, "UPDATE unnamed SET home = ?2 WHERE home = ?1").run(inode, home);
  const held = isHeld(context, inode);
  if (held) touchInode(context, inode);
  const queue = held ? "unnamed" : "reclaim";
  statement<never, [number, number]>(context, `INSERT OR IGNORE INTO ${queue} (inode, home) VALUES (?, ?)`).run(inode, home);
}

/** Frees at most about `rowsMax` rows; true while something is left. */
export function reclaimStep(context: MetadataContext, rowsMax: number): boolean {
  let rowsLeft = rowsMax;
  while (rowsLeft > 0) {
    const next = statement<{ inode: number; home: number }, []>(context, "SELECT inode, home FROM reclaim LIMIT 1").get();
    if (!next) return false;
    rowsLeft -= freePart(context, next, rowsLeft);
  }
  return true;
}

/** Frees children and extents of one inode, then the inode itself. Answers how many rows it touched. */
function freePart(context: MetadataContext, { inode, home }: { readonly inode: number; readonly home: number }, rowsMax: number): number {
  const children = statement<{ name: string; inode: number }, [number, number]>(
    context,
    "SELECT name, inode FROM entry WHERE parent = +? LIMIT +?",
  ).all(inode, rowsMax);
  for (const child of children) {
    detachFrom(context, { entry: { parent: inode as Inode, name: child.name }, inode: child.inode, home });
  }
  if (children.length === rowsMax) return rowsMax;
  const room = rowsMax - children.length;
  const { changes } = statement<never, [number, number]>(
    context,
    "DELETE FROM extent WHERE inode = +?1 AND offset IN (SELECT offset FROM extent WHERE inode = +?1 LIMIT +?2)",
  ).run(inode, room);
  // Rows that triggers change are counted too, so ask instead of comparing `changes` with the limit.
  const rest = statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM extent WHERE inode = ? LIMIT 1").get(inode);
  if (!rest) {
    statement<never, [number]>(context, "DELETE FROM reclaim WHERE inode = ?").run(inode);
    statement<never, [number]>(context, "DELETE FROM inode WHERE id = ?").run(inode);
    statement<never, [number]>(context, "DELETE FROM datastore WHERE inode = ?").run(inode);
  }
  return children.length + Math.min(changes, room) + 1;
}
