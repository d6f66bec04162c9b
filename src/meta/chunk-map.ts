/** Uploads, copies and garbage over SQLite; see `ChunkMap` for what each promises. */
import type { SQLQueryBindings } from "bun:sqlite";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdToBytes, type GlobalName, type Inode, rootInode } from "../../protocol/ids.ts";
import { uploadIdleMsMax } from "../../protocol/limits.ts";
import { type Attr, chunkCodecs, type FileCommit, type OfferedChunk } from "../../protocol/schema.ts";
import { chunkRow, copiesOfChunk } from "./chunks.ts";
import {
  assertNamed,
  attrOf,
  childRow,
  copyStateCodes,
  directoryRow,
  type InodeRow,
  inodeRow,
  insertInode,
  linkEntry,
  type MetadataContext,
  splitTime,
  statement,
  touchDirectory,
  touchInode,
  typeCodes,
} from "./context.ts";
import { changeContent, insertContent, removeAllExtents } from "./extents.ts";
import { isHeld, reclaimUnheld } from "./holds.ts";
import { usedAtHosts } from "./hosts.ts";
import { assertQuota } from "./namespace.ts";
import { reclaimStep } from "./reclaim.ts";
import type { ChooseNodes, ChunkMap, ConfirmedCopies, Garbage } from "./store.ts";

const reclaimRowsPerStep = 2_000;

export function createChunkMap(context: MetadataContext): ChunkMap {
  const { db } = context;
  return {
    offer: (announcement, choose) => db.writeRelaxed(() => offer(context, announcement, choose)),
    offerAlso: (store, copies) => db.writeRelaxed(() => copies.map((one) => offerAlso(context, store, one))),
    commit: (request) => (request.isRelaxed ? db.writeRelaxed : db.write)(() => commit(context, request)),
    copiesOf: async (store, chunks) =>
      chunks.map((id) => {
        const chunk = chunkRow(context, store, id);
        return chunk ? copiesToChooseBy(context, { id: chunk.id, hash: chunkIdToBytes(id) }) : [];
      }),
    markCopies: (node, states) =>
      db.write(() => {
        for (const { chunk, state } of states) markCopy(context, { node: nodeId(context, node), chunk, state });
      }),
    collectGarbage: (limit) => db.write(() => collectGarbage(context, limit)),
    forgetCopies: (garbage) => db.write(() => forgetCopies(context, garbage)),
    reclaim: () =>
      db.writeRelaxed(() => {
        reclaimUnheld(context);
        return reclaimStep(context, reclaimRowsPerStep);
      }),
  };
}

function nodeId(context: MetadataContext, name: GlobalName): number {
  const row = statement<{ id: number }, [string]>(context, "SELECT id FROM node WHERE name = ?").get(name);
  if (!row) throw new CollectiveError("not_found", `there is no node ${name}`);
  return row.id;
}

/**
 * A sign of life. What an upload that was given up had stored may be collected by now, so receipts of one
 * that is not known any more prove nothing.
 */
function touchUpload(
  context: MetadataContext,
  request: { readonly upload: string; readonly confirmed: readonly ConfirmedCopies[] },
): number {
  const nowMs = Math.trunc(context.clock.wallMs());
  const known = statement<{ id: number }, [number, string]>(context, "UPDATE upload SET touched_ms = ? WHERE token = ? RETURNING id").get(
    nowMs,
    request.upload,
  );
  if (known) return known.id;
  if (request.confirmed.length > 0) {
    throw new CollectiveError("conflict", "the upload was given up because nothing was heard of it for too long", {
      hint: "run the command again",
    });
  }
  const { lastInsertRowid } = statement<never, [string, number]>(context, "INSERT INTO upload (token, touched_ms) VALUES (?, ?)").run(
    request.upload,
    nowMs,
  );
  return Number(lastInsertRowid);
}

const deletingThere = `EXISTS (SELECT 1 FROM chunk AS same JOIN copy ON copy.chunk = same.id
  WHERE same.hash = chunk.hash AND copy.node = +?1 AND copy.state = ${copyStateCodes.deleting})`;

/**
 * Of what the upload has announced, in whatever store. Where these bytes are being deleted, for whatever store, nothing is
 * confirmed: they may vanish at any moment.
 */
function confirm(context: MetadataContext, upload: number, confirmed: readonly ConfirmedCopies[]): void {
  for (const { node, chunks } of confirmed) {
    const id = nodeId(context, node);
    for (const chunk of chunks) {
      statement<never, [number, Uint8Array, number]>(
        context,
        `INSERT INTO copy (chunk, node, state) SELECT id, ?1, ${copyStateCodes.stored} FROM chunk
         WHERE hash = +?2 AND EXISTS (SELECT 1 FROM pin WHERE pin.chunk = chunk.id AND pin.upload = +?3) AND NOT ${deletingThere}
         ON CONFLICT (chunk, node) DO UPDATE SET state = ${copyStateCodes.stored}`,
      ).run(id, chunkIdToBytes(chunk), upload);
    }
  }
}

/** Its copies, and where another store's copy of the same bytes is being deleted. */
function copiesToChooseBy(context: MetadataContext, chunk: { readonly id: number; readonly hash: Uint8Array }) {
  const elsewhere = statement<{ node: GlobalName }, [Uint8Array, number]>(
    context,
    `SELECT DISTINCT node.name AS node FROM chunk JOIN copy ON copy.chunk = chunk.id JOIN node ON node.id = copy.node
     WHERE chunk.hash = +? AND chunk.id <> +? AND copy.state = ${copyStateCodes.deleting}`,
  ).all(chunk.hash, chunk.id);
  return [...copiesOfChunk(context, chunk.id), ...elsewhere.map(({ node }) => ({ node, state: "deleting" as const }))];
}

function offer(
  context: MetadataContext,
  announcement: {
    readonly upload: string;
    readonly store: Inode;
    readonly chunks: readonly OfferedChunk[];
    readonly confirmed: readonly ConfirmedCopies[];
  },
  choose: ChooseNodes,
): { targets: (readonly GlobalName[])[]; stored: number[] } {
  const upload = touchUpload(context, announcement);
  confirm(context, upload, announcement.confirmed);
  const used = usedAtHosts(context);
  const targets: (readonly GlobalName[])[] = [];
  const stored: number[] = [];
  for (const offered of announcement.chunks) {
    const hash = chunkIdToBytes(offered.id);
    const chunk = statement<{ id: number; copies: number }, [Uint8Array, number, number, number]>(
      context,
      "INSERT INTO chunk (hash, store, stored_bytes, codec) VALUES (?, ?, ?, ?) ON CONFLICT (hash, store) DO UPDATE SET hash = hash RETURNING id, copies",
    ).get(hash, announcement.store, offered.storedBytes, chunkCodecs.indexOf(offered.codec));
    if (!chunk) throw new CollectiveError("internal", "the chunk was not recorded");
    statement<never, [number, number]>(context, "INSERT OR IGNORE INTO pin (chunk, upload) VALUES (?, ?)").run(chunk.id, upload);
    const nodes = choose(offered, copiesToChooseBy(context, { id: chunk.id, hash }), used);
    for (const node of nodes) {
      statement<never, number[]>(
        context,
        `INSERT INTO copy (chunk, node, state) VALUES (?1, ?2, ${copyStateCodes.offered})
         ON CONFLICT (chunk, node) DO UPDATE SET state = ${copyStateCodes.offered} WHERE copy.state = ${copyStateCodes.damaged}`,
      ).run(chunk.id, nodeId(context, node));
    }
    targets.push(nodes);
    stored.push(chunk.copies);
  }
  return { targets, stored };
}

function offerAlso(context: MetadataContext, store: Inode, { node, chunks }: ConfirmedCopies): ConfirmedCopies {
  const id = nodeId(context, node);
  const standing = chunks.filter((chunk) => {
    const row = statement<{ chunk: number }, [number, Uint8Array, number]>(
      context,
      `INSERT INTO copy (chunk, node, state) SELECT id, ?1, ${copyStateCodes.offered} FROM chunk
       WHERE hash = +?2 AND store = +?3 AND NOT ${deletingThere}
       ON CONFLICT (chunk, node) DO UPDATE SET state = iif(state = ${copyStateCodes.damaged}, ${copyStateCodes.offered}, state)
       RETURNING chunk`,
    ).get(id, chunkIdToBytes(chunk), store);
    return row !== null;
  });
  return { node, chunks: standing };
}

function commit(
  context: MetadataContext,
  request: {
    readonly upload: string;
    readonly files: readonly FileCommit[];
    readonly confirmed: readonly ConfirmedCopies[];
    readonly last: boolean;
    readonly owner: string;
  },
): { attrs: Attr[]; degradedChunks: number } {
  // An upload that only ends, as that of a file without content does, need not have begun.
  const isOnlyEnding = request.last && request.confirmed.length === 0;
  if (!isOnlyEnding) confirm(context, touchUpload(context, request), request.confirmed);
  let degradedChunks = 0;
  const attrs: Attr[] = [];
  for (const file of request.files) {
    const { existing, store } = placeOf(context, file);
    const { inode, degraded } = commitFile(context, { file, existing, store, owner: request.owner });
    degradedChunks += degraded;
    attrs.push(attrOf(inodeRow(context, inode)));
  }
  if (request.last) statement<never, [string]>(context, "DELETE FROM upload WHERE token = ?").run(request.upload);
  reclaimStep(context, reclaimRowsPerStep);
  return { attrs, degradedChunks };
}

interface PlacedFile {
  readonly file: FileCommit;
  readonly existing: InodeRow | null;
  readonly store: number;
}

/** What is there already, found by its number or by its name, and the store. */
function placeOf(context: MetadataContext, file: FileCommit): Omit<PlacedFile, "file"> {
  if (file.inode !== undefined) {
    const existing = inodeRow(context, file.inode);
    if (!isHeld(context, file.inode)) assertNamed(context, file.inode);
    return { existing, store: existing.store };
  }
  const { id, store } = directoryRow(context, file.parent);
  if (id === rootInode)
    throw new CollectiveError("invalid_argument", "only datastores can stand in the root", { hint: "write to /STORE/NAME" });
  return { existing: childRow(context, file.parent, file.name), store };
}

function commitFile(
  context: MetadataContext,
  { file, existing, store, owner }: PlacedFile & { readonly owner: string },
): { inode: Inode; degraded: number } {
  if (existing?.type === typeCodes.directory) throw new CollectiveError("is_a_directory", `${file.name} is a directory`);
  if (existing && existing.type !== typeCodes.file) {
    const kind = existing.type === typeCodes.symlink ? "a symbolic link" : "a special file";
    throw new CollectiveError("already_exists", `${file.name} is ${kind}`);
  }
  assertReplaces(file, existing);
  assertQuota(context, store, file.sizeBytes - (existing?.size ?? 0));
  const inode = existing ? replaceInode(context, existing, file) : createFile(context, { file, store, owner });
  const { name, sizeBytes, extents, changes } = file;
  const changed = { inode, store, name, sizeBytes };
  if (changes && existing) return { inode, degraded: changeContent(context, changed, existing, changes) };
  if (!extents) throw new CollectiveError("invalid_argument", `${name} has no content to be changed`);
  if (existing) removeAllExtents(context, inode);
  return { inode, degraded: insertContent(context, changed, extents) };
}

function createFile(context: MetadataContext, { file, store, owner }: { file: FileCommit; store: number; owner: string }): Inode {
  const { mode, mtimeNs, sizeBytes, uid, gid } = file;
  if (mode === undefined || mtimeNs === undefined)
    throw new CollectiveError("invalid_argument", `${file.name} is new and has no mode or time`);
  const inode = insertInode(context, { type: "file", store, mode, owner, mtimeNs, sizeBytes, uid, gid });
  linkEntry(context, file.parent, file.name, inode);
  touchDirectory(context, file.parent);
  return inode;
}

function replaceInode(context: MetadataContext, existing: InodeRow, file: FileCommit): Inode {
  const { mode, mtimeNs } = attrOf(existing);
  const mtime = splitTime(file.mtimeNs ?? mtimeNs);
  statement<never, SQLQueryBindings[]>(
    context,
    "UPDATE inode SET size = ?, mode = ?, mtime_s = ?, mtime_n = ?, uid = ?, gid = ?, version = version + 1 WHERE id = ?",
  ).run(file.sizeBytes, file.mode ?? mode, mtime.seconds, mtime.nanos, file.uid ?? existing.uid, file.gid ?? existing.gid, existing.id);
  touchInode(context, existing.id, file.changedNs);
  return existing.id as Inode;
}

function markCopy(context: MetadataContext, copy: { node: number; chunk: ChunkId; state: "stored" | "damaged" | "missing" }): void {
  const chunks = statement<{ id: number }, [Uint8Array]>(context, "SELECT id FROM chunk WHERE hash = ?").all(chunkIdToBytes(copy.chunk));
  for (const { id } of chunks) {
    if (copy.state === "missing") {
      statement<never, [number, number, number]>(context, "DELETE FROM copy WHERE chunk = ? AND node = ? AND state <> ?").run(
        id,
        copy.node,
        copyStateCodes.deleting,
      );
    } else {
      statement<never, number[]>(
        context,
        `UPDATE copy SET state = ? WHERE chunk = ? AND node = ? AND state <> ${copyStateCodes.deleting}`,
      ).run(copyStateCodes[copy.state], id, copy.node);
    }
  }
}

function assertReplaces({ name, replaces }: FileCommit, existing: InodeRow | null): void {
  if (replaces === undefined) return;
  if (replaces === null) {
    if (existing) throw new CollectiveError("already_exists", `${name} exists already, with version ${existing.version}`);
    return;
  }
  if (existing?.id === replaces.inode && existing.version === replaces.version) return;
  const now =
    existing === null
      ? "it is gone"
      : existing.id === replaces.inode
        ? `it has version ${existing.version}, not ${replaces.version}`
        : "another file has its name";
  const found = existing && { inode: existing.id, version: existing.version };
  throw new CollectiveError("conflict", `${name} was changed meanwhile: ${now}`, { details: { found, expected: replaces } });
}

/**
 * Unused chunks lose their copies; chunks in use lose offers that no running upload stands behind.
 * Where another store has the same bytes on the same node, the row goes and the bytes stay.
 */
function collectGarbage(context: MetadataContext, limit: number): Garbage[] {
  statement<never, [number]>(context, "DELETE FROM upload WHERE touched_ms < ?").run(Math.trunc(context.clock.wallMs()) - uploadIdleMsMax);
  const notPinned = "NOT EXISTS (SELECT 1 FROM pin WHERE pin.chunk = chunk.id)";
  const unused = `SELECT id FROM chunk WHERE refs = 0 AND ${notPinned}`;
  statement<never, [number]>(
    context,
    `UPDATE copy SET state = ${copyStateCodes.deleting} WHERE state <> ${copyStateCodes.deleting} AND chunk IN (
       ${unused} AND EXISTS (SELECT 1 FROM copy WHERE copy.chunk = chunk.id AND copy.state <> ${copyStateCodes.deleting}) LIMIT ?)`,
  ).run(limit);
  statement<never, [number]>(
    context,
    `DELETE FROM chunk WHERE id IN (${unused} AND NOT EXISTS (SELECT 1 FROM copy WHERE copy.chunk = chunk.id) LIMIT ?)`,
  ).run(limit);
  statement<never, number[]>(
    context,
    `UPDATE copy SET state = ?1 WHERE (chunk, node) IN (
       SELECT copy.chunk, copy.node FROM copy JOIN chunk ON chunk.id = copy.chunk WHERE copy.state = ?2 AND ${notPinned} LIMIT ?3)`,
  ).run(copyStateCodes.deleting, copyStateCodes.offered, limit);
  const sharedBytes = `EXISTS (SELECT 1 FROM chunk AS mine JOIN chunk AS other ON other.hash = mine.hash AND other.id <> mine.id
    JOIN copy AS kept ON kept.chunk = other.id AND kept.node = copy.node AND kept.state <> ${copyStateCodes.deleting} WHERE mine.id = copy.chunk)`;
  statement<never, []>(context, `DELETE FROM copy WHERE state = ${copyStateCodes.deleting} AND ${sharedBytes}`).run();
  return deletingCopies(context, limit);
}

/** By node, so that what a node that is away has to delete does not stand in the way of the others. */
function deletingCopies(context: MetadataContext, limit: number): Garbage[] {
  const nodes = statement<{ id: number; name: GlobalName }, []>(context, "SELECT id, name FROM node ORDER BY id").all();
  return nodes.flatMap(({ id, name }) => {
    const chunks = statement<{ id: ChunkId }, [number, number, number]>(
      context,
      "SELECT lower(hex(chunk.hash)) AS id FROM copy JOIN chunk ON chunk.id = copy.chunk WHERE copy.node = ? AND copy.state = ? LIMIT ?",
    ).all(id, copyStateCodes.deleting, limit);
    return chunks.length === 0 ? [] : [{ node: name, chunks: chunks.map((chunk) => chunk.id) }];
  });
}

function forgetCopies(context: MetadataContext, garbage: Garbage): void {
  const node = nodeId(context, garbage.node);
  for (const chunk of garbage.chunks) {
    for (const { id } of statement<{ id: number }, [Uint8Array]>(context, "SELECT id FROM chunk WHERE hash = ?").all(
      chunkIdToBytes(chunk),
    )) {
      statement<never, number[]>(context, "DELETE FROM copy WHERE chunk = ? AND node = ? AND state = ?").run(
        id,
        node,
        copyStateCodes.deleting,
      );
      statement<never, number[]>(
        context,
        `DELETE FROM chunk WHERE id = ?1 AND refs = 0 AND NOT EXISTS (SELECT 1 FROM copy WHERE chunk = ?1) AND NOT EXISTS (SELECT 1 FROM pin WHERE chunk = ?1)`,
      ).run(id);
    }
  }
}
