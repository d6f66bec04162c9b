/**
 * The rows of `chunks.db`: which chunks there are, and the bytes of the small ones.
 *
 * For a small (inline) chunk the row is the truth, so it is written durably. For one in a file the
 * file is the truth: its row is written relaxed, and made up for after an unclean stop (reconcile.ts).
 * The same holds for being quarantined.
 *
 * Totals are kept in memory. They are written down when the store is closed, together with the mark
 * that it was closed cleanly; that mark is taken away, durably, before a store may be used.
 */

import { type ChunkId, chunkIdFromBytes, chunkIdToBytes } from "../../protocol/ids.ts";
import type { Log } from "../core/log.ts";
import { type CollectiveDatabase, type Migration, openDatabase } from "../db/database.ts";
import type { ChunkState } from "./store.ts";

export const chunkApplicationId = 0x43534331;

export const chunkMigrations: readonly Migration[] = [
  {
    name: "0001-chunks",
    sql: `
-- state: 0 stored, 1 quarantined. inline: the row in inline_data, null for a chunk in a file.
CREATE TABLE chunk (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  bytes INTEGER NOT NULL,
  state INTEGER NOT NULL CHECK (state IN (0, 1)),
  stored_ms INTEGER NOT NULL,
  inline INTEGER
) STRICT, WITHOUT ROWID;
-- Apart from the index, and in the order of arrival, so that neither has to be rewritten for the other.
CREATE TABLE inline_data (inline INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
-- One row while the store is closed after a clean stop, none otherwise.
CREATE TABLE clean_stop (used_bytes INTEGER NOT NULL, chunks INTEGER NOT NULL, quarantined INTEGER NOT NULL) STRICT;
`,
  },
];

export interface ChunkRow {
  readonly bytes: number;
  readonly state: ChunkState;
  readonly inline: number | null;
}

export interface Totals {
  usedBytes: number;
  chunkCount: number;
  quarantinedCount: number;
}

export interface ChunkRows {
  readonly totals: Readonly<Totals>;
  find(id: ChunkId): ChunkRow | undefined;
  readInline(id: ChunkId): Uint8Array | undefined;
  /** Durable. Replaces a quarantined one. */
  putInline(id: ChunkId, data: Uint8Array): Promise<void>;
  /** Relaxed. Replaces any. */
  putFile(id: ChunkId, bytes: number, state: ChunkState): Promise<void>;
  quarantine(id: ChunkId): Promise<void>;
  /** Durable for inline ones. Answers what they took. */
  remove(id: ChunkId): Promise<number>;
  list(page: { readonly after?: ChunkId | undefined; readonly limit: number }): { id: ChunkId; bytes: number }[];
  /** Chunks in files whose id starts with these two hexadecimal digits. */
  filesWithPrefix(prefix: string): Map<ChunkId, ChunkRow>;
  /** Totals from the rows themselves. */
  recount(): void;
  /** Gives space of deleted inline chunks back to the disk, until there is none left or `stop` says so. */
  shrink(stop: () => boolean): Promise<void>;
  close(options: { readonly clean: boolean }): Promise<void>;
}

interface StoredRow {
  readonly bytes: number;
  readonly state: number;
  readonly inline: number | null;
}

/** A step of giving back moves this many pages at most, a few milliseconds. */
const shrinkPagesMax = 256;
/** Free pages below this are kept for the next chunks. */
const sparePagesMax = 512;

export interface OpenedRows {
  readonly rows: ChunkRows;
  /** False when the last stop was none, and rows and files may have parted. */
  readonly clean: boolean;
}

export async function openChunkRows(options: {
  readonly path: string;
  readonly log: Log;
  readonly nowMs: () => number;
}): Promise<OpenedRows> {
  const database = openDatabase({
    path: options.path,
    applicationId: chunkApplicationId,
    migrations: chunkMigrations,
    log: options.log,
    incrementalVacuum: true,
  });
  try {
    const mark = database.sqlite
      .query<Totals, []>("SELECT used_bytes AS usedBytes, chunks AS chunkCount, quarantined AS quarantinedCount FROM clean_stop")
      .get();
    await database.write(() => database.sqlite.run("DELETE FROM clean_stop"));
    return { rows: chunkRows(database, mark, options.nowMs), clean: mark !== null };
  } catch (error) {
    await database.close();
    throw error;
  }
}

function chunkRows(database: CollectiveDatabase, known: Totals | null, nowMs: () => number): ChunkRows {
  const { sqlite } = database;
  const totals: Totals = { usedBytes: 0, chunkCount: 0, quarantinedCount: 0 };
  const findRow = sqlite.query<StoredRow, [Uint8Array]>("SELECT bytes, state, inline FROM chunk WHERE id = ?");
  const readData = sqlite.query<{ data: Uint8Array }, [Uint8Array]>("SELECT data FROM chunk JOIN inline_data USING (inline) WHERE id = +?");
  const insertRow = sqlite.query("INSERT INTO chunk (id, bytes, state, stored_ms, inline) VALUES (?, ?, ?, ?, ?)");
  const insertData = sqlite.query("INSERT INTO inline_data (data) VALUES (?)");
  const deleteRow = sqlite.query("DELETE FROM chunk WHERE id = ?");
  const deleteData = sqlite.query("DELETE FROM inline_data WHERE inline = ?");
  const setQuarantined = sqlite.query("UPDATE chunk SET state = 1 WHERE id = ? AND state = 0");
  const listRows = sqlite.query<{ id: Uint8Array; bytes: number }, [Uint8Array, number]>(
    "SELECT id, bytes FROM chunk WHERE id > ? AND state = 0 ORDER BY id LIMIT ?",
  );
  const prefixRows = sqlite.query<StoredRow & { id: Uint8Array }, [Uint8Array, Uint8Array]>(
    "SELECT id, bytes, state, inline FROM chunk WHERE id >= ? AND id <= ? AND inline IS NULL",
  );

  function find(key: Uint8Array): ChunkRow | undefined {
    const row = findRow.get(key);
    return row ? rowOf(row) : undefined;
  }

  /** Inside a write. */
  function drop(key: Uint8Array): ChunkRow | undefined {
    const row = find(key);
    if (!row) return undefined;
    if (row.inline !== null) deleteData.run(row.inline);
    deleteRow.run(key);
    return row;
  }

  /** After a write. */
  function count(row: Pick<ChunkRow, "bytes" | "state"> | undefined, sign: 1 | -1): void {
    if (!row) return;
    totals.usedBytes += sign * row.bytes;
    if (row.state === "stored") totals.chunkCount += sign;
    else totals.quarantinedCount += sign;
  }

  const rows: ChunkRows = {
    totals,
    find: (id) => find(chunkIdToBytes(id)),
    readInline: (id) => readData.get(chunkIdToBytes(id))?.data,
    async putInline(id, data) {
      const key = chunkIdToBytes(id);
      const replaced = await database.write(() => {
        const old = drop(key);
        const { lastInsertRowid } = insertData.run(data);
        insertRow.run(key, data.length, 0, nowMs(), lastInsertRowid);
        return old;
      }, data.length);
      count(replaced, -1);
      count({ bytes: data.length, state: "stored" }, 1);
    },
    async putFile(id, bytes, state) {
      const key = chunkIdToBytes(id);
      const replaced = await database.writeRelaxed(() => {
        const old = drop(key);
        insertRow.run(key, bytes, state === "stored" ? 0 : 1, nowMs(), null);
        return old;
      });
      count(replaced, -1);
      count({ bytes, state }, 1);
    },
    async quarantine(id) {
      const key = chunkIdToBytes(id);
      const { changes } = await database.writeRelaxed(() => setQuarantined.run(key));
      totals.chunkCount -= changes;
      totals.quarantinedCount += changes;
    },
    async remove(id) {
      const key = chunkIdToBytes(id);
      const row = find(key);
      if (!row) return 0;
      const removed = await (row.inline === null ? database.writeRelaxed(() => drop(key)) : database.write(() => drop(key)));
      count(removed, -1);
      return removed?.bytes ?? 0;
    },
    list({ after, limit }) {
      const key = after === undefined ? new Uint8Array(0) : chunkIdToBytes(after);
      return listRows.all(key, limit).map((row) => ({ id: chunkIdFromBytes(row.id), bytes: row.bytes }));
    },
    filesWithPrefix(prefix) {
      const from = Buffer.alloc(32);
      from.write(prefix, "hex");
      const to = Buffer.alloc(32, 0xff);
      to.write(prefix, "hex");
      return new Map(prefixRows.all(from, to).map((row) => [chunkIdFromBytes(row.id), rowOf(row)]));
    },
    recount() {
      const sums = sqlite
        .query<Totals, []>(
          "SELECT coalesce(sum(bytes), 0) AS usedBytes, coalesce(sum(state = 0), 0) AS chunkCount, coalesce(sum(state = 1), 0) AS quarantinedCount FROM chunk",
        )
        .get();
      if (sums) Object.assign(totals, sums);
    },
    async shrink(stop) {
      const free = () => sqlite.query<{ freelist_count: number }, []>("PRAGMA freelist_count").get()?.freelist_count ?? 0;
      if (free() <= sparePagesMax) return;
      // Each row that it answers stands for one page; it has to be run to its end.
      const step = sqlite.query(`PRAGMA incremental_vacuum(${shrinkPagesMax})`);
      while (!stop() && free() > sparePagesMax) await database.writeRelaxed(() => step.all());
      if (!stop()) await database.checkpoint();
    },
    async close({ clean }) {
      if (clean) {
        await database
          .write(() =>
            sqlite.query("INSERT INTO clean_stop VALUES (?, ?, ?)").run(totals.usedBytes, totals.chunkCount, totals.quarantinedCount),
          )
          // A database that can no longer write is closed like one that was killed.
          .catch(() => undefined);
      }
      await database.close();
    },
  };
  if (known) Object.assign(totals, known);
  else rows.recount();
  return rows;
}

function rowOf(row: StoredRow): ChunkRow {
  return { bytes: row.bytes, state: row.state === 0 ? "stored" : "quarantined", inline: row.inline };
}
