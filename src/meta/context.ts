/** What the parts of the SQLite engine share: the database, the time, and how rows become values. */
import type { SQLQueryBindings } from "bun:sqlite";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Inode, rootInode } from "../../protocol/ids.ts";
import { type Attr, type ChunkCodec, type CopyState, chunkCodecs, type FileType, fileTypes } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import type { CollectiveDatabase } from "../db/database.ts";

export interface MetadataContext {
  readonly db: CollectiveDatabase;
  readonly clock: Clock;
  /** Before that nobody could be heard. */
  readonly openedMs: number;
}

/**
 * Cached prepared statements, typed by what they return.
 *
 * Where a statement joins, limits or meets a partial index, SQLite plans with the value that is bound and compiles the statement again for
 * each other one, which takes ten times as long as running it. `+?` keeps a value from the planner, where no plan depends on it.
 */
export function statement<Row, Params extends SQLQueryBindings[]>(context: MetadataContext, sql: string) {
  return context.db.sqlite.query<Row, Params>(sql);
}

export const typeCodes = {
  directory: 1,
  file: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  character_device: 6,
  block_device: 7,
} as const satisfies Record<FileType, number>;
const typeOfCode: ReadonlyMap<number, FileType> = new Map(fileTypes.map((type) => [typeCodes[type], type]));

export const copyStateCodes = { offered: 0, stored: 1, damaged: 2, deleting: 3 } as const satisfies Record<CopyState, number>;
const copyStateOfCode: readonly CopyState[] = ["offered", "stored", "damaged", "deleting"];

export function copyState(code: number): CopyState {
  const state = copyStateOfCode[code];
  if (state === undefined) throw new CollectiveError("corrupt", `the database holds a copy in the unknown state ${code}`);
  return state;
}

export function chunkCodec(code: number): ChunkCodec {
  const codec = chunkCodecs[code];
  if (codec === undefined) throw new CollectiveError("corrupt", `the database holds a chunk of the unknown codec ${code}`);
  return codec;
}

const nanosPerSecond = 1_000_000_000n;

/** Seconds (floored, also before 1970) and the rest in nanoseconds. */
export function splitTime(timeNs: bigint): { seconds: number; nanos: number } {
  const rest = ((timeNs % nanosPerSecond) + nanosPerSecond) % nanosPerSecond;
  return { seconds: Number((timeNs - rest) / nanosPerSecond), nanos: Number(rest) };
}

function joinTime(seconds: number, nanos: number): bigint {
  return BigInt(seconds) * nanosPerSecond + BigInt(nanos);
}

export function nowNs(context: MetadataContext): bigint {
  return BigInt(Math.trunc(context.clock.wallMs())) * 1_000_000n;
}

export interface InodeRow {
  readonly id: number;
  readonly type: number;
  readonly store: number;
  readonly size: number;
  readonly mode: number;
  readonly owner: string;
  readonly version: number;
  readonly mtime_s: number;
  readonly mtime_n: number;
  readonly ctime_s: number;
  readonly ctime_n: number;
  readonly atime_s: number;
  readonly atime_n: number;
  readonly target: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly device: number;
  readonly links: number;
  readonly hole_bytes: number;
  readonly attributes: number;
}

export function attrOf(row: InodeRow): Attr {
  const type = typeOfCode.get(row.type);
  if (type === undefined) throw new CollectiveError("corrupt", `the database holds inode ${row.id} of the unknown type ${row.type}`);
  return {
    inode: row.id as Inode,
    type,
    sizeBytes: row.size,
    mode: row.mode,
    mtimeNs: joinTime(row.mtime_s, row.mtime_n),
    ctimeNs: joinTime(row.ctime_s, row.ctime_n),
    atimeNs: joinTime(row.atime_s, row.atime_n),
    owner: row.owner,
    uid: row.uid,
    gid: row.gid,
    links: row.links,
    extendedAttributes: row.attributes,
    version: row.version,
    ...(row.hole_bytes === 0 ? {} : { holeBytes: row.hole_bytes }),
    ...(row.store === 0 ? {} : { store: row.store as Inode }),
    ...(row.target === null ? {} : { target: row.target }),
    ...(type === "character_device" || type === "block_device" ? { device: row.device } : {}),
  };
}

export function inodeRow(context: MetadataContext, inode: Inode): InodeRow {
  const row = statement<InodeRow, [number]>(context, "SELECT * FROM inode WHERE id = ?").get(inode);
  if (!row) throw new CollectiveError("not_found", "the file or directory no longer exists");
  return row;
}

export function directoryRow(context: MetadataContext, inode: Inode, what = "the parent"): InodeRow {
  const row = inodeRow(context, inode);
  assertNamed(context, inode);
  if (row.type !== typeCodes.directory) throw new CollectiveError("not_a_directory", `${what} is not a directory`);
  return row;
}

/** What hung below a removed tree is still there until it is freed; whatever is added to it would be freed too. */
export function assertNamed(context: MetadataContext, inode: Inode): void {
  if (!isNamed(context, inode)) throw new CollectiveError("not_found", "the file or directory no longer exists");
}

/** False for what is about to be freed, and for what is only held open. */
export function isNamed(context: MetadataContext, inode: Inode): boolean {
  const removed = statement<{ one: number }, []>(
    context,
    "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM reclaim) OR EXISTS (SELECT 1 FROM unnamed)",
  ).get();
  return removed === null || isWithin(context, inode, rootInode);
}

/** True when `inode` is `ancestor` or lies below it, however deep. */
export function isWithin(context: MetadataContext, inode: Inode, ancestor: number): boolean {
  const found = statement<{ one: number }, [number, number]>(
    context,
    `WITH RECURSIVE up (id) AS (VALUES (?1) UNION SELECT entry.parent FROM up JOIN entry ON entry.inode = up.id)
     SELECT 1 AS one FROM up WHERE id = ?2`,
  ).get(inode, ancestor);
  return found !== null;
}

export function childRow(context: MetadataContext, parent: Inode, name: string): InodeRow | null {
  return statement<InodeRow, [number, string]>(
    context,
    "SELECT inode.* FROM entry JOIN inode ON inode.id = entry.inode WHERE entry.parent = +? AND entry.name = +?",
  ).get(parent, name);
}

/** What is left out nobody has said. */
export interface NewInode {
  readonly type: FileType;
  readonly store: number;
  readonly mode: number;
  readonly owner: string;
  readonly mtimeNs: bigint;
  readonly sizeBytes?: number;
  readonly holeBytes?: number;
  readonly target?: string | null;
  readonly device?: number;
  readonly uid?: number | null | undefined;
  readonly gid?: number | null | undefined;
}

export function insertInode(context: MetadataContext, fresh: NewInode): Inode {
  const mtime = splitTime(fresh.mtimeNs);
  const now = splitTime(nowNs(context));
  const { lastInsertRowid } = statement<never, SQLQueryBindings[]>(
    context,
    `INSERT INTO inode (type, store, size, mode, owner, mtime_s, mtime_n, ctime_s, ctime_n, atime_s, atime_n, target, uid, gid, device, hole_bytes)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?9, ?10, ?11, ?12, ?13, ?14)`,
  ).run(
    typeCodes[fresh.type],
    fresh.store,
    fresh.sizeBytes ?? 0,
    fresh.mode,
    fresh.owner,
    mtime.seconds,
    mtime.nanos,
    now.seconds,
    now.nanos,
    fresh.target ?? null,
    fresh.uid ?? null,
    fresh.gid ?? null,
    fresh.device ?? 0,
    fresh.holeBytes ?? 0,
  );
  return Number(lastInsertRowid) as Inode;
}

export function linkEntry(context: MetadataContext, parent: Inode, name: string, inode: Inode): void {
  statement<never, [number, string, number]>(context, "INSERT INTO entry (parent, name, inode) VALUES (?, ?, ?)").run(parent, name, inode);
}

/** A change in a directory shows in its times. */
export function touchDirectory(context: MetadataContext, inode: Inode): void {
  const now = splitTime(nowNs(context));
  statement<never, number[]>(context, "UPDATE inode SET mtime_s = ?1, mtime_n = ?2, ctime_s = ?1, ctime_n = ?2 WHERE id = ?3").run(
    now.seconds,
    now.nanos,
    inode,
  );
}

/** It has changed: now, or when a client says it has. That is between its last change and now. */
export function touchInode(context: MetadataContext, inode: number, changedNs?: bigint): void {
  const now = splitTime(changedNs === undefined ? nowNs(context) : believable(context, inode, changedNs));
  statement<never, number[]>(context, "UPDATE inode SET ctime_s = ?1, ctime_n = ?2 WHERE id = ?3").run(now.seconds, now.nanos, inode);
}

function believable(context: MetadataContext, inode: number, changedNs: bigint): bigint {
  const latest = nowNs(context);
  const { ctimeNs: earliest } = attrOf(inodeRow(context, inode as Inode));
  if (changedNs > latest) return latest;
  return changedNs < earliest ? earliest : changedNs;
}

export interface CopyRow {
  readonly chunk: number;
  readonly node: GlobalName;
  readonly state: number;
}

/**
 * How many copies of `chunk` count when those on some nodes do not. Without such nodes the partial
 * index on chunks in use answers alone; with them, each chunk in question is looked at.
 */
export function usableCopies(unusable: readonly GlobalName[]): { readonly sql: string; readonly params: string[] } {
  if (unusable.length === 0) return { sql: "chunk.copies", params: [] };
  const sql = `chunk.copies - (SELECT count(*) FROM copy JOIN node ON node.id = copy.node WHERE copy.chunk = chunk.id
    AND copy.state = ${copyStateCodes.stored} AND node.name IN (SELECT value FROM json_each(?1)))`;
  return { sql, params: [JSON.stringify(unusable)] };
}
