/**
 * The namespace over SQLite. The functions named after an interface method run inside one group
 * transaction each; a throw undoes the whole call.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, type GlobalName, type Inode, rootInode } from "../../protocol/ids.ts";
import { type Attr, defaultStorePolicy } from "../../protocol/schema.ts";
import { appendAudit } from "./audit.ts";
import {
  assertNamed,
  attrOf,
  childRow,
  chunkCodec,
  copyState,
  directoryRow,
  type InodeRow,
  inodeRow,
  insertInode,
  isWithin,
  linkEntry,
  type MetadataContext,
  nowNs,
  splitTime,
  statement,
  touchDirectory,
  typeCodes,
} from "./context.ts";
import { detach, reclaimStep } from "./reclaim.ts";
import type { EntryRef, LocatedExtent, Namespace, TreeUsage } from "./store.ts";
import { insertStore } from "./stores.ts";
import { endOfWalk, pathTo, walk, wayTo } from "./walk.ts";

/** Rows freed within the call that removes them; the rest is left to `reclaim`. */
const inlineReclaimRowsMax = 512;

export function createNamespace(context: MetadataContext): Namespace {
  const { db } = context;
  return {
    resolve: async (components) => endOfWalk(components, walk(context, components)),
    walk: async (components) => walk(context, components),
    pathOf: async (inode) => pathTo(wayTo(context, inode)),
    getAttr: async (inode) => attrOf(inodeRow(context, inode)),
    list: async (inode, page) => {
      directoryRow(context, inode, "it");
      const rows = statement<InodeRow & { name: string }, [number, string, number]>(
        context,
        "SELECT entry.name, inode.* FROM entry JOIN inode ON inode.id = entry.inode WHERE entry.parent = ? AND entry.name > ? ORDER BY entry.name LIMIT ?",
      ).all(inode, page.after ?? "", page.limit + 1);
      const entries = rows.slice(0, page.limit).map((row) => ({ name: row.name, attr: attrOf(row) }));
      return { entries, more: rows.length > page.limit };
    },
    makeDirectories: (directories, options) => db.write(() => directories.map((directory) => makeDirectory(context, directory, options))),
    makeSymlinks: (links, { owner }) => db.write(() => links.map((link) => makeSymlink(context, link, owner))),
    setAttr: (inode, change) => db.write(() => setAttr(context, inode, change)),
    remove: (entry, kind, { by }) => db.write(() => remove(context, entry, { kind, by })),
    rename: (from, to, options) => db.write(() => rename(context, { from, to, replace: options.replace })),
    clone: (source, to, options) => db.write(() => clone(context, { source, to, ...options })),
    usage: async (inode) => usage(context, inode),
    removeStore: (name, { by }) => db.write(() => removeStore(context, { name, by })),
    extents: async (inode, range) => extents(context, inode, range),
  };
}

function makeDirectory(
  context: MetadataContext,
  directory: EntryRef & { readonly mode: number },
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
    return attrOf(
      inodeRow(
        context,
        insertStore(context, { name: directory.name, policy: defaultStorePolicy, owner: options.owner, mode: directory.mode }),
      ),
    );
  }
  const inode = insertInode(context, {
    type: "directory",
    store: parent.store,
    mode: directory.mode,
    owner: options.owner,
    mtimeNs: nowNs(context),
  });
  linkEntry(context, directory.parent, directory.name, inode);
  touchDirectory(context, directory.parent);
  return attrOf(inodeRow(context, inode));
}

function makeSymlink(
  context: MetadataContext,
  link: EntryRef & { readonly target: string; readonly mtimeNs: bigint },
  owner: string,
): Attr {
  const parent = directoryRow(context, link.parent);
  if (parent.id === rootInode) throw new CollectiveError("invalid_argument", "only datastores can stand in the root");
  const existing = childRow(context, link.parent, link.name);
  if (existing && existing.type !== typeCodes.symlink)
    throw new CollectiveError("already_exists", `${link.name} exists and is not a symbolic link`);
  if (existing) detach(context, { parent: link.parent, name: link.name }, existing.id as Inode);
  const inode = insertInode(context, {
    type: "symlink",
    store: parent.store,
    mode: 0o777,
    owner,
    mtimeNs: link.mtimeNs,
    sizeBytes: Buffer.byteLength(link.target),
    target: link.target,
  });
  linkEntry(context, link.parent, link.name, inode);
  touchDirectory(context, link.parent);
  return attrOf(inodeRow(context, inode));
}

function setAttr(
  context: MetadataContext,
  inode: Inode,
  change: { readonly mode?: number | undefined; readonly mtimeNs?: bigint | undefined },
): Attr {
  const row = inodeRow(context, inode);
  const mtime = change.mtimeNs === undefined ? { seconds: row.mtime_s, nanos: row.mtime_n } : splitTime(change.mtimeNs);
  const ctime = splitTime(nowNs(context));
  statement<never, number[]>(context, "UPDATE inode SET mode = ?, mtime_s = ?, mtime_n = ?, ctime_s = ?, ctime_n = ? WHERE id = ?").run(
    change.mode ?? row.mode,
    mtime.seconds,
    mtime.nanos,
    ctime.seconds,
    ctime.nanos,
    inode,
  );
  return attrOf(inodeRow(context, inode));
}

function isEmptyDirectory(context: MetadataContext, inode: number): boolean {
  return statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM entry WHERE parent = ? LIMIT 1").get(inode) === null;
}

function remove(
  context: MetadataContext,
  entry: EntryRef,
  { kind, by }: { readonly kind: "file" | "directory" | "tree"; readonly by: string },
): void {
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
  reclaimStep(context, inlineReclaimRowsMax);
}

function rename(context: MetadataContext, { from, to, replace }: { from: EntryRef; to: EntryRef; replace: boolean }): void {
  directoryRow(context, from.parent);
  const target = directoryRow(context, to.parent);
  const source = childRow(context, from.parent, from.name);
  if (!source) throw new CollectiveError("not_found", `${from.name} does not exist`);
  const existing = childRow(context, to.parent, to.name);
  if (existing?.id === source.id) return;
  const isStore = from.parent === rootInode;
  if (isStore !== (to.parent === rootInode) || (!isStore && source.store !== target.store)) {
    throw new CollectiveError("cross_store", "source and target lie in different datastores", { hint: "copy it and remove the original" });
  }
  const isDirectory = source.type === typeCodes.directory;
  if (isDirectory && isWithin(context, to.parent, source.id))
    throw new CollectiveError("invalid_argument", "a directory cannot be moved below itself");
  if (existing) {
    if (!replace) throw new CollectiveError("already_exists", `${to.name} exists already`);
    assertReplaceable(context, existing, { name: to.name, byDirectory: isDirectory });
    detach(context, to, existing.id as Inode);
  }
  statement<never, [number, string, number, string]>(context, "UPDATE entry SET parent = ?, name = ? WHERE parent = ? AND name = ?").run(
    to.parent,
    to.name,
    from.parent,
    from.name,
  );
  touchDirectory(context, from.parent);
  touchDirectory(context, to.parent);
  reclaimStep(context, inlineReclaimRowsMax);
}

function assertReplaceable(context: MetadataContext, existing: InodeRow, by: { name: string; byDirectory: boolean }): void {
  const existingIsDirectory = existing.type === typeCodes.directory;
  if (by.byDirectory && !existingIsDirectory) throw new CollectiveError("not_a_directory", `${by.name} exists and is not a directory`);
  if (!by.byDirectory && existingIsDirectory) throw new CollectiveError("is_a_directory", `${by.name} is a directory`);
  if (existingIsDirectory && !isEmptyDirectory(context, existing.id)) throw new CollectiveError("not_empty", `${by.name} is not empty`);
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
    ...(source.target === null ? {} : { target: source.target }),
  });
  statement<never, [number, number]>(
    context,
    "INSERT INTO extent (inode, offset, length, chunk) SELECT ?, offset, length, chunk FROM extent WHERE inode = ?",
  ).run(inode, source.id);
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
  const tree = "WITH RECURSIVE tree (id) AS (SELECT ?1 UNION ALL SELECT entry.inode FROM tree JOIN entry ON entry.parent = tree.id)";
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

interface ExtentRow {
  readonly offset: number;
  readonly length: number;
  readonly chunk: number;
  readonly id: string;
  readonly stored_bytes: number;
  readonly codec: number;
}

function extents(context: MetadataContext, inode: Inode, range: { offset: number; lengthBytes: number; limit: number }): LocatedExtent[] {
  const rows = statement<ExtentRow, [number, number, number, number]>(
    context,
    `SELECT extent.offset, extent.length, extent.chunk, lower(hex(chunk.hash)) AS id, chunk.stored_bytes, chunk.codec
     FROM extent JOIN chunk ON chunk.id = extent.chunk
     WHERE extent.inode = ?1 AND extent.offset < ?3 AND extent.offset + extent.length > ?2
       AND extent.offset >= coalesce((SELECT max(offset) FROM extent WHERE inode = ?1 AND offset <= ?2), 0)
     ORDER BY extent.offset LIMIT ?4`,
  ).all(inode, range.offset, range.offset + range.lengthBytes, range.limit);
  return rows.map((row) => ({
    offset: row.offset,
    chunk: row.id as ChunkId,
    plainBytes: row.length,
    storedBytes: row.stored_bytes,
    codec: chunkCodec(row.codec),
    copies: copiesOfChunk(context, row.chunk),
  }));
}

export function copiesOfChunk(context: MetadataContext, chunk: number) {
  return statement<{ name: GlobalName; state: number }, [number]>(
    context,
    "SELECT node.name, copy.state FROM copy JOIN node ON node.id = copy.node WHERE copy.chunk = ? ORDER BY node.id",
  )
    .all(chunk)
    .map((row) => ({ node: row.name, state: copyState(row.state) }));
}
