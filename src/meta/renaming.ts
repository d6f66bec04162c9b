/** Names that move, change places, or are added to what has one. Each function runs inside one group transaction. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { linksMax } from "../../protocol/limits.ts";
import type { Attr } from "../../protocol/schema.ts";
import {
  assertNamed,
  attrOf,
  childRow,
  directoryRow,
  type InodeRow,
  inodeRow,
  isWithin,
  linkEntry,
  type MetadataContext,
  statement,
  touchDirectory,
  touchInode,
  typeCodes,
} from "./context.ts";
import { detach } from "./reclaim.ts";
import type { EntryRef } from "./store.ts";

export function rename(context: MetadataContext, { from, to, replace }: { from: EntryRef; to: EntryRef; replace: boolean }): void {
  const source = movedRow(context, from, to);
  const existing = childRow(context, to.parent, to.name);
  if (existing?.id === source.id) {
    if (!replace && !isSameEntry(from, to)) throw new CollectiveError("already_exists", `${to.name} exists already`);
    return;
  }
  assertMovable(context, source, to);
  if (existing) {
    if (!replace) throw new CollectiveError("already_exists", `${to.name} exists already`);
    assertReplaceable(context, existing, { name: to.name, byDirectory: source.type === typeCodes.directory });
    detach(context, to, existing.id as Inode);
  }
  statement<never, [number, string, number, string]>(context, "UPDATE entry SET parent = ?, name = ? WHERE parent = ? AND name = ?").run(
    to.parent,
    to.name,
    from.parent,
    from.name,
  );
  for (const parent of [from.parent, to.parent]) touchDirectory(context, parent);
  touchInode(context, source.id);
}

/** Each gets the other's name, in one step. */
export function exchange(context: MetadataContext, one: EntryRef, other: EntryRef): void {
  const [ofOne, ofOther] = [movedRow(context, one, other), movedRow(context, other, one)];
  if (ofOne.id === ofOther.id) return;
  assertMovable(context, ofOne, other);
  assertMovable(context, ofOther, one);
  for (const { parent, name } of [one, other]) {
    statement<never, [number, string]>(context, "DELETE FROM entry WHERE parent = ? AND name = ?").run(parent, name);
  }
  linkEntry(context, other.parent, other.name, ofOne.id as Inode);
  linkEntry(context, one.parent, one.name, ofOther.id as Inode);
  for (const parent of [one.parent, other.parent]) touchDirectory(context, parent);
  for (const { id } of [ofOne, ofOther]) touchInode(context, id);
}

export function link(context: MetadataContext, inode: Inode, to: EntryRef): Attr {
  const source = inodeRow(context, inode);
  assertNamed(context, inode);
  const parent = directoryRow(context, to.parent);
  if (source.type === typeCodes.directory) throw new CollectiveError("is_a_directory", "a directory has one name only");
  if (parent.store !== source.store) throw crossStore("give it a name in its own datastore, or copy it");
  if (childRow(context, to.parent, to.name)) throw new CollectiveError("already_exists", `${to.name} exists already`);
  if (source.links >= linksMax) throw new CollectiveError("too_many_links", `a file has at most ${linksMax} names`);
  linkEntry(context, to.parent, to.name, inode);
  touchDirectory(context, to.parent);
  touchInode(context, inode);
  return attrOf(inodeRow(context, inode));
}

/** What is to be moved; throws unless both it and the two directories are there. */
function movedRow(context: MetadataContext, from: EntryRef, to: EntryRef): InodeRow {
  directoryRow(context, from.parent);
  directoryRow(context, to.parent);
  const source = childRow(context, from.parent, from.name);
  if (!source) throw new CollectiveError("not_found", `${from.name} does not exist`);
  return source;
}

/** Datastores stay in the root and everything else in its datastore, and a directory never comes below itself. */
function assertMovable(context: MetadataContext, source: InodeRow, to: EntryRef): void {
  const target = inodeRow(context, to.parent);
  const isStore = source.store === source.id;
  if (isStore !== (to.parent === rootInode) || (!isStore && source.store !== target.store)) {
    throw crossStore("copy it and remove the original");
  }
  if (source.type === typeCodes.directory && isWithin(context, to.parent, source.id))
    throw new CollectiveError("invalid_argument", "a directory cannot be moved below itself");
}

function crossStore(hint: string): CollectiveError {
  return new CollectiveError("cross_store", "source and target lie in different datastores", { hint });
}

function isSameEntry(one: EntryRef, other: EntryRef): boolean {
  return one.parent === other.parent && one.name === other.name;
}

export function assertReplaceable(context: MetadataContext, existing: InodeRow, by: { name: string; byDirectory: boolean }): void {
  const existingIsDirectory = existing.type === typeCodes.directory;
  if (by.byDirectory && !existingIsDirectory) throw new CollectiveError("not_a_directory", `${by.name} exists and is not a directory`);
  if (!by.byDirectory && existingIsDirectory) throw new CollectiveError("is_a_directory", `${by.name} is a directory`);
  if (existingIsDirectory && !isEmptyDirectory(context, existing.id)) throw new CollectiveError("not_empty", `${by.name} is not empty`);
}

export function isEmptyDirectory(context: MetadataContext, inode: number): boolean {
  return statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM entry WHERE parent = ? LIMIT 1").get(inode) === null;
}
