/**
 * The namespace over SQLite. The functions named after an interface method run inside one group
 * transaction each; a throw undoes the whole call.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { type Attr, defaultStorePolicy, type PosixOwner } from "../../protocol/schema.ts";
import { copyExtendedAttributes } from "./attributes.ts";
import { appendAudit } from "./audit.ts";
import {
  assertNamed,
  attrOf,
  childRow,
  directoryRow,
  type InodeRow,
  inodeRow,
  insertInode,
  linkEntry,
  type MetadataContext,
  nowNs,
  statement,
  touchDirectory,
  typeCodes,
} from "./context.ts";
import { extentsOf } from "./extents.ts";
import { detach, reclaimStep } from "./reclaim.ts";
import { assertReplaceable, exchange, isEmptyDirectory, link, rename } from "./renaming.ts";
import type { EntryRef, Namespace, NewNode, TreeUsage } from "./store.ts";
import { insertStore } from "./stores.ts";
import { endOfWalk, pathTo, placesOf, walk, wayTo } from "./walk.ts";

/** Rows freed within the call that removes them; the rest is left to `reclaim`. */
const inlineReclaimRowsMax = 512;

export function createNamespace(context: MetadataContext): Namespace {
  const { db } = context;
  return {
    resolve: async (components) => endOfWalk(components, walk(context, components)),
    walk: async (components) => walk(context, components),
    pathOf: async (inode) => pathTo(wayTo(context, inode)),
    placesOf: async (inode) => placesOf(context, inode),
    lookup: async ({ parent, name }) => {
      directoryRow(context, parent, "it");
      const row = childRow(context, parent, name);
      return row && attrOf(row);
    },
    list: async (inode, page) => {
      directoryRow(context, inode, "it");
      const rows = statement<InodeRow & { name: string }, [number, string, number]>(
        context,
        "SELECT entry.name, inode.* FROM entry JOIN inode ON inode.id = entry.inode WHERE entry.parent = +? AND entry.name > +? ORDER BY entry.name LIMIT +?",
      ).all(inode, page.after ?? "", page.limit + 1);
      const entries = rows.slice(0, page.limit).map((row) => ({ name: row.name, attr: attrOf(row) }));
      return { entries, more: rows.length > page.limit };
    },
    makeDirectories: (directories, options) => db.write(() => directories.map((directory) => makeDirectory(context, directory, options))),
    makeSymlinks: (links, options) => db.write(() => links.map((one) => makeSymlink(context, one, options))),
    makeNode: (node, { owner }) => db.write(() => makeNode(context, node, owner)),
    link: (inode, to) => db.write(() => link(context, inode, to)),
    remove: (entry, kind, { by }) => db.write(() => remove(context, entry, { kind, by })),
    rename: (from, to, { replace }) =>
      db.write(() => {
        rename(context, { from, to, replace });
        reclaimStep(context, inlineReclaimRowsMax);
      }),
    exchange: (one, other) => db.write(() => exchange(context, one, other)),
    clone: (source, to, options) => db.write(() => clone(context, { source, to, ...options })),
    usage: async (inode) => usage(context, inode),
    removeStore: (name, { by }) => db.write(() => removeStore(context, { name, by })),
    extents: async (inode, range) => extentsOf(context, inode, range),
  };
}

function makeDirectory(
  context: MetadataContext,
  directory: EntryRef & PosixOwner & { readonly mode: number },
  options: { readonly existing: "keep" | "fail"; readonly owner: string },
): Attr {
  const parent = directoryRow(context, directory.parent);
  const existing = childRow(context, directory.parent, directory.name);
  if (existing) {
    if (existing.type !== typeCodes.directory)
      throw new CollectiveError("already_exists", `${directory.name} exists and is not a directory`);
    if (options.existing === "fail") throw new CollectiveError("already_exists", `${directory.name} exists already`);
    return attrOf(existing);
  }
  if (parent.id === rootInode) {
    return attrOf(inodeRow(context, insertStore(context, { ...directory, policy: defaultStorePolicy, owner: options.owner })));
  }
  const { mode, uid, gid } = directory;
  const inode = insertInode(context, {
    type: "directory",
    store: parent.store,
    mode,
    owner: options.owner,
    mtimeNs: nowNs(context),
    uid,
    gid,
  });
  linkEntry(context, directory.parent, directory.name, inode);
  touchDirectory(context, directory.parent);
  return attrOf(inodeRow(context, inode));
}

type NewSymlink = Parameters<Namespace["makeSymlinks"]>[0][number];

function makeSymlink(
  context: MetadataContext,
  { parent: inParent, name, target, mtimeNs, uid, gid }: NewSymlink,
  { existing, owner }: Parameters<Namespace["makeSymlinks"]>[1],
): Attr {
  const parent = directoryRow(context, inParent);
  if (parent.id === rootInode) throw new CollectiveError("invalid_argument", "only datastores can stand in the root");
  const there = childRow(context, inParent, name);
  if (there && existing === "fail") throw new CollectiveError("already_exists", `${name} exists already`);
  if (there && there.type !== typeCodes.symlink) throw new CollectiveError("already_exists", `${name} exists and is not a symbolic link`);
  if (there) detach(context, { parent: inParent, name }, there.id as Inode);
  const inode = insertInode(context, {
    ...{ type: "symlink", store: parent.store, mode: 0o777, owner, mtimeNs, uid, gid },
    sizeBytes: Buffer.byteLength(target),
    target,
  });
  linkEntry(context, inParent, name, inode);
  touchDirectory(context, inParent);
  return attrOf(inodeRow(context, inode));
}

function makeNode(context: MetadataContext, { parent: inParent, name, ...node }: NewNode, owner: string): Attr {
  const parent = directoryRow(context, inParent);
  if (parent.id === rootInode) throw new CollectiveError("invalid_argument", "only datastores can stand in the root");
  if (childRow(context, inParent, name)) throw new CollectiveError("already_exists", `${name} exists already`);
  const inode = insertInode(context, { ...node, store: parent.store, owner, mtimeNs: nowNs(context) });
  linkEntry(context, inParent, name, inode);
  touchDirectory(context, inParent);
  return attrOf(inodeRow(context, inode));
}

function remove(
  context: MetadataContext,
  entry: EntryRef,
  { kind, by }: { readonly kind: "file" | "directory" | "tree"; readonly by: string },
): bigint {
  directoryRow(context, entry.parent);
  const row = childRow(context, entry.parent, entry.name);
  if (!row) throw new CollectiveError("not_found", `${entry.name} does not exist`);
  const isDirectory = row.type === typeCodes.directory;
  if (kind === "file" && isDirectory) throw new CollectiveError("is_a_directory", `${entry.name} is a directory`);
  if (kind === "directory" && !isDirectory) throw new CollectiveError("not_a_directory", `${entry.name} is not a directory`);
  if (kind === "directory" && !isEmptyDirectory(context, row.id)) throw new CollectiveError("not_empty", `${entry.name} is not empty`);
  detach(context, entry, row.id as Inode);
  if (entry.parent === rootInode) appendAudit(context, { actor: by, action: "store.removed", subject: entry.name });
  touchDirectory(context, entry.parent);
  const { ctimeNs } = attrOf(inodeRow(context, entry.parent));
  reclaimStep(context, inlineReclaimRowsMax);
  return ctimeNs;
}

function clone(context: MetadataContext, request: { source: Inode; to: EntryRef; replace: boolean; owner: string }): Attr {
  const source = inodeRow(context, request.source);
  assertNamed(context, request.source);
  if (source.type === typeCodes.directory) throw new CollectiveError("is_a_directory", "a directory cannot be cloned as a file");
  const parent = directoryRow(context, request.to.parent);
  if (parent.id === rootInode) throw new CollectiveError("invalid_argument", "only datastores can stand in the root");
  if (parent.store !== source.store) throw new CollectiveError("cross_store", "source and target lie in different datastores");
  const existing = childRow(context, request.to.parent, request.to.name);
  if (existing?.id === source.id) throw new CollectiveError("invalid_argument", "source and target are the same file");
  if (existing) {
    if (!request.replace) throw new CollectiveError("already_exists", `${request.to.name} exists already`);
    assertReplaceable(context, existing, { name: request.to.name, byDirectory: false });
    detach(context, request.to, existing.id as Inode);
  }
  const attr = attrOf(source);
  assertQuota(context, source.store, fileBytes(source) - (existing ? fileBytes(existing) : 0));
  const inode = insertInode(context, {
    type: attr.type,
    store: source.store,
    mode: source.mode,
    owner: request.owner,
    mtimeNs: attr.mtimeNs,
    sizeBytes: source.size,
    ...{ holeBytes: source.hole_bytes, target: source.target, uid: source.uid, gid: source.gid, device: source.device },
  });
  statement<never, [number, number]>(
    context,
    `INSERT INTO extent (inode, offset, length, chunk, chunk_offset, chunk_bytes)
     SELECT ?, offset, length, chunk, chunk_offset, chunk_bytes FROM extent WHERE inode = ?`,
  ).run(inode, source.id);
  copyExtendedAttributes(context, source.id, inode);
  linkEntry(context, request.to.parent, request.to.name, inode);
  touchDirectory(context, request.to.parent);
  reclaimStep(context, inlineReclaimRowsMax);
  return attrOf(inodeRow(context, inode));
}

/** Links do not count against a quota. */
function fileBytes(row: InodeRow): number {
  return row.type === typeCodes.file ? row.size : 0;
}

/** Throws `quota_exceeded` when the store's files would grow past its quota by `moreBytes`. */
export function assertQuota(context: MetadataContext, store: number, moreBytes: number): void {
  const row = statement<{ quota_bytes: number | null; logical_bytes: number }, [number]>(
    context,
    "SELECT quota_bytes, logical_bytes FROM datastore WHERE inode = ?",
  ).get(store);
  if (row?.quota_bytes == null || moreBytes <= 0 || row.logical_bytes + moreBytes <= row.quota_bytes) return;
  throw new CollectiveError(
    "quota_exceeded",
    // What others have stored is not for everybody who may write.
    `the datastore's quota is ${row.quota_bytes} bytes, and ${moreBytes} more do not fit`,
    {
      hint: "remove files, or raise the quota with: collective store set NAME --quota SIZE",
      details: { quotaBytes: row.quota_bytes, neededBytes: moreBytes },
    },
  );
}

function usage(context: MetadataContext, inode: Inode): TreeUsage {
  inodeRow(context, inode);
  // A set: what has several names below counts once.
  const tree = "WITH RECURSIVE tree (id) AS (SELECT ?1 UNION SELECT entry.inode FROM tree JOIN entry ON entry.parent = tree.id)";
  const counts = statement<{ files: number; directories: number; bytes: number }, [number]>(
    context,
    `${tree} SELECT coalesce(sum(type = 2), 0) AS files, coalesce(sum(type = 1), 0) AS directories, coalesce(sum(iif(type = 2, size, 0)), 0) AS bytes
     FROM tree JOIN inode ON inode.id = tree.id`,
  ).get(inode);
  const stored = statement<{ bytes: number }, [number]>(
    context,
    `${tree} SELECT coalesce(sum(stored_bytes), 0) AS bytes FROM chunk WHERE id IN (SELECT extent.chunk FROM tree JOIN extent ON extent.inode = tree.id)`,
  ).get(inode);
  return {
    files: counts?.files ?? 0,
    directories: counts?.directories ?? 0,
    logicalBytes: counts?.bytes ?? 0,
    storedBytes: stored?.bytes ?? 0,
  };
}

function removeStore(context: MetadataContext, { name, by }: { readonly name: string; readonly by: string }): TreeUsage {
  const store = childRow(context, rootInode, name);
  if (!store) throw new CollectiveError("not_found", `there is no datastore named ${name}`);
  const gone = usage(context, store.id as Inode);
  remove(context, { parent: rootInode, name }, { kind: "tree", by });
  return gone;
}
