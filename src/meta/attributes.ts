/** Attributes of inodes: those of POSIX, and extended ones, which are bytes under a name. */
import type { SQLQueryBindings } from "bun:sqlite";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { extendedAttributesBytesMax } from "../../protocol/limits.ts";
import type { Attr, ExtendedAttribute } from "../../protocol/schema.ts";
import { attrOf, inodeRow, type MetadataContext, nowNs, splitTime, statement, touchInode } from "./context.ts";
import type { AttrChange, Attributes } from "./store.ts";

export function createAttributes(context: MetadataContext): Attributes {
  const { db } = context;
  return {
    getAttr: async (inode) => attrOf(inodeRow(context, inode)),
    setAttr: (inode, change) => db.write(() => setAttr(context, inode, change)),
    extendedAttributes: async (inode) => {
      inodeRow(context, inode);
      return extendedAttributes(context, inode);
    },
    setExtendedAttribute: (inode, attribute, existing) => db.write(() => setExtendedAttribute(context, { inode, ...attribute, existing })),
    removeExtendedAttribute: (inode, name) => db.write(() => removeExtendedAttribute(context, inode, name)),
  };
}

function setAttr(context: MetadataContext, inode: Inode, change: AttrChange): Attr {
  const { atimeNs, mtimeNs, ...before } = attrOf(inodeRow(context, inode));
  const changed = (to: bigint | "now" | undefined, from: bigint) => splitTime(to === "now" ? nowNs(context) : (to ?? from));
  const [accessed, modified] = [changed(change.atimeNs, atimeNs), changed(change.mtimeNs, mtimeNs)];
  statement<never, SQLQueryBindings[]>(
    context,
    "UPDATE inode SET mode = ?, uid = ?, gid = ?, atime_s = ?, atime_n = ?, mtime_s = ?, mtime_n = ? WHERE id = ?",
  ).run(
    change.mode ?? before.mode,
    change.uid ?? before.uid,
    change.gid ?? before.gid,
    accessed.seconds,
    accessed.nanos,
    modified.seconds,
    modified.nanos,
    inode,
  );
  touchInode(context, inode);
  return attrOf(inodeRow(context, inode));
}

function extendedAttributes(context: MetadataContext, inode: Inode): ExtendedAttribute[] {
  return statement<ExtendedAttribute, [number]>(context, "SELECT name, value FROM extended_attribute WHERE inode = ? ORDER BY name").all(
    inode,
  );
}

interface AttributeChange extends ExtendedAttribute {
  readonly inode: Inode;
  readonly existing: "either" | "create" | "replace";
}

function setExtendedAttribute(context: MetadataContext, { inode, name, value, existing }: AttributeChange): void {
  inodeRow(context, inode);
  const all = extendedAttributes(context, inode);
  const isThere = all.some((attribute) => attribute.name === name);
  if (existing === "create" && isThere) throw new CollectiveError("already_exists", `the attribute ${name} exists already`);
  if (existing === "replace" && !isThere) throw noAttribute(name);
  const rest = all.filter((attribute) => attribute.name !== name);
  const bytes = [...rest, { name, value }].reduce((sum, attribute) => sum + Buffer.byteLength(attribute.name) + attribute.value.length, 0);
  if (bytes > extendedAttributesBytesMax)
    throw new CollectiveError("no_space", `the attributes of one file have at most ${extendedAttributesBytesMax} bytes together`);
  statement<never, [number, string, Uint8Array]>(
    context,
    "INSERT INTO extended_attribute (inode, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3",
  ).run(inode, name, value);
  touchInode(context, inode);
}

function removeExtendedAttribute(context: MetadataContext, inode: Inode, name: string): void {
  inodeRow(context, inode);
  const removed = statement<{ inode: number }, [number, string]>(
    context,
    "DELETE FROM extended_attribute WHERE inode = ? AND name = ? RETURNING inode",
  ).get(inode, name);
  if (!removed) throw noAttribute(name);
  touchInode(context, inode);
}

function noAttribute(name: string): CollectiveError {
  return new CollectiveError("no_attribute", `there is no attribute ${name}`);
}

/** For use inside a transaction. */
export function copyExtendedAttributes(context: MetadataContext, from: number, to: number): void {
  statement<never, [number, number]>(
    context,
    "INSERT INTO extended_attribute (inode, name, value) SELECT ?, name, value FROM extended_attribute WHERE inode = ?",
  ).run(to, from);
}
