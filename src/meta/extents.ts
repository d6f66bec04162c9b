/** What files consist of: looking it up, giving a file new content, and changing parts of what it has. */
import { CollectiveError } from "../../protocol/errors.ts";
import { outside, type Span } from "../../protocol/extents.ts";
import type { ChunkId, Inode } from "../../protocol/ids.ts";
import { extentsPerWindowMax, largeChunkBytes } from "../../protocol/limits.ts";
import { type ContentChange, chunkPartOf, type Extent } from "../../protocol/schema.ts";
import { chunkRow, copiesOfChunk } from "./chunks.ts";
import { chunkCodec, type InodeRow, type MetadataContext, statement } from "./context.ts";
import type { LocatedExtent } from "./store.ts";

interface ExtentRow {
  readonly offset: number;
  readonly plainBytes: number;
  readonly chunk: number;
  readonly chunkOffset: number;
  readonly chunkBytes: number;
}

/** Those that overlap: extents are disjoint, so the first may be the last that begins before the span. */
const overlapping = `extent.inode = +?1 AND extent.offset < +?3 AND extent.offset + extent.length > +?2
  AND extent.offset >= coalesce((SELECT max(offset) FROM extent WHERE inode = +?1 AND offset <= +?2), 0)`;
const extentColumns = `extent.offset, extent.length AS plainBytes, extent.chunk, extent.chunk_offset AS chunkOffset,
  iif(extent.chunk_bytes = 0, extent.length, extent.chunk_bytes) AS chunkBytes`;

/** What is being freed goes little by little, and would pass for holes. */
export function extentsOf(
  context: MetadataContext,
  inode: Inode,
  range: { readonly offset: number; readonly lengthBytes: number; readonly limit: number },
): LocatedExtent[] {
  if (statement<{ one: number }, [number]>(context, "SELECT 1 AS one FROM reclaim WHERE inode = ?").get(inode))
    throw new CollectiveError("not_found", "the file no longer exists");
  const rows = statement<
    ExtentRow & { readonly id: string; readonly stored_bytes: number; readonly codec: number },
    [number, number, number, number]
  >(
    context,
    `SELECT ${extentColumns}, lower(hex(chunk.hash)) AS id, chunk.stored_bytes, chunk.codec
     FROM extent JOIN chunk ON chunk.id = extent.chunk WHERE ${overlapping} ORDER BY extent.offset LIMIT +?4`,
  ).all(inode, range.offset, range.offset + range.lengthBytes, range.limit);
  return rows.map(({ id, chunk, stored_bytes, codec, ...placed }) => ({
    ...placed,
    chunk: id as ChunkId,
    storedBytes: stored_bytes,
    codec: chunkCodec(codec),
    copies: copiesOfChunk(context, chunk),
  }));
}

export interface ChangedFile {
  readonly inode: Inode;
  readonly store: number;
  readonly name: string;
  readonly sizeBytes: number;
}

/** All of it, where there is no content yet. Answers how many of its chunks have fewer copies than the store wants. */
export function insertContent(context: MetadataContext, file: ChangedFile, extents: readonly Extent[]): number {
  const { end, dataBytes, degraded } = insertExtents(context, file, { offset: 0, extents });
  if (end !== file.sizeBytes)
    throw new CollectiveError("invalid_argument", `${file.name} has ${file.sizeBytes} bytes, its chunks add up to ${end}`);
  setHoles(context, file, file.sizeBytes - dataBytes);
  return degraded;
}

/** `before` is the file as it was. Answers how many of the chunks that came have fewer copies than the store wants. */
export function changeContent(context: MetadataContext, file: ChangedFile, before: InodeRow, changes: readonly ContentChange[]): number {
  const { inode, sizeBytes, name } = file;
  let dataBytes = before.size - before.hole_bytes;
  let degraded = 0;
  if (sizeBytes < before.size) dataBytes -= removeExtents(context, inode, { start: sizeBytes, end: before.size });
  for (const change of changes) {
    const end = change.extents.reduce((at, { plainBytes }) => at + plainBytes, change.offset);
    if (end > sizeBytes) throw new CollectiveError("invalid_argument", `${name} has ${sizeBytes} bytes, a change reaches to ${end}`);
    dataBytes -= removeExtents(context, inode, { start: change.offset, end });
    const inserted = insertExtents(context, file, change);
    dataBytes += inserted.dataBytes;
    degraded += inserted.degraded;
    assertFragments(context, file, { start: change.offset, end });
  }
  setHoles(context, file, sizeBytes - dataBytes);
  return degraded;
}

interface PlacedExtents {
  readonly offset: number;
  readonly extents: readonly Extent[];
}

export function removeAllExtents(context: MetadataContext, inode: number): void {
  statement<never, [number]>(context, "DELETE FROM extent WHERE inode = ?").run(inode);
}

function setHoles(context: MetadataContext, { inode }: ChangedFile, holeBytes: number): void {
  statement<never, [number, number]>(context, "UPDATE inode SET hole_bytes = ?1 WHERE id = ?2 AND hole_bytes <> ?1").run(holeBytes, inode);
}

function insertExtents(context: MetadataContext, file: ChangedFile, { offset, extents }: PlacedExtents) {
  const replicas =
    statement<{ replicas: number }, [number]>(context, "SELECT replicas FROM datastore WHERE inode = ?").get(file.store)?.replicas ?? 1;
  let end = offset;
  let dataBytes = 0;
  let degraded = 0;
  for (const extent of extents) {
    const { chunk: id, plainBytes } = extent;
    if (id !== null) {
      const chunk = chunkRow(context, file.store, id);
      if (!chunk || chunk.copies === 0) {
        throw new CollectiveError("conflict", `chunk ${id.slice(0, 12)}… of ${file.name} has no confirmed copy`, {
          hint: "write the file again",
        });
      }
      if (chunk.copies < replicas) degraded++;
      insertExtent(context, file.inode, { offset: end, plainBytes, chunk: chunk.id, ...chunkPartOf(extent) });
      dataBytes += plainBytes;
    }
    end += plainBytes;
  }
  return { end, dataBytes, degraded };
}

function insertExtent(context: MetadataContext, inode: number, { offset, plainBytes, chunk, chunkOffset, chunkBytes }: ExtentRow): void {
  statement<never, number[]>(
    context,
    "INSERT INTO extent (inode, offset, length, chunk, chunk_offset, chunk_bytes) VALUES (?, ?, ?, ?, ?, ?)",
  ).run(inode, offset, plainBytes, chunk, chunkOffset, chunkBytes);
}

/** Makes the span a hole, with what reaches into it cut at its edges. Answers how many bytes of chunks were there. */
function removeExtents(context: MetadataContext, inode: number, span: Span): number {
  const { start, end } = span;
  const rows = statement<ExtentRow, number[]>(context, `SELECT ${extentColumns} FROM extent WHERE ${overlapping}`).all(inode, start, end);
  let removedBytes = 0;
  for (const row of rows) {
    const { before, after } = outside(row, span);
    removedBytes += row.plainBytes - (before?.plainBytes ?? 0) - (after?.plainBytes ?? 0);
    // The new part first: a chunk that is used throughout is not counted as freed meanwhile.
    if (after) insertExtent(context, inode, after);
    if (before) {
      statement<never, number[]>(context, "UPDATE extent SET length = ?, chunk_bytes = ? WHERE inode = ? AND offset = ?").run(
        before.plainBytes,
        row.chunkBytes,
        inode,
        row.offset,
      );
    } else {
      statement<never, [number, number]>(context, "DELETE FROM extent WHERE inode = ? AND offset = ?").run(inode, row.offset);
    }
  }
  return removedBytes;
}

/** Of the aligned windows that the span lies in; in one question, for a hole of one extent may be as long as the longest file. */
function assertFragments(context: MetadataContext, { inode, name }: ChangedFile, { start, end }: Span): void {
  const from = start - (start % largeChunkBytes);
  const to = Math.ceil(end / largeChunkBytes) * largeChunkBytes;
  const found = statement<{ one: number }, [number, number, number]>(
    context,
    `SELECT 1 AS one FROM extent WHERE inode = ? AND offset >= ? AND offset < ?
     GROUP BY offset / ${largeChunkBytes} HAVING count(*) > ${extentsPerWindowMax} LIMIT 1`,
  ).get(inode, from, to);
  if (!found) return;
  throw new CollectiveError("too_large", `${name} would consist of more than ${extentsPerWindowMax} pieces in one place`, {
    hint: "write larger pieces, or the whole file",
  });
}
