/** Brings a database to the newest schema in one transaction, after a copy of it was put aside. */
import { Database } from "bun:sqlite";
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";

interface MigrationOptions {
  readonly path: string;
  readonly applicationId: number;
  readonly migrations: readonly { readonly name: string; readonly sql: string }[];
  readonly log: Log;
  readonly incrementalVacuum?: boolean;
}

/** The file appears under its name complete and durable, or not at all. */
export function createFresh(options: MigrationOptions): void {
  const unfinished = `${options.path}.new`;
  removeWithJournals(unfinished);
  const sqlite = new Database(unfinished, { create: true, readwrite: true, strict: true });
  try {
    chmodSync(unfinished, 0o600);
    // Not synced while it is made: that happens once, below.
    sqlite.run("PRAGMA synchronous = OFF");
    if (options.incrementalVacuum) sqlite.run("PRAGMA auto_vacuum = INCREMENTAL");
    sqlite.run(`PRAGMA application_id = ${options.applicationId}`);
    applyPending(sqlite, { ...options, path: unfinished });
    sqlite.run("PRAGMA journal_mode = WAL");
  } finally {
    sqlite.close();
  }
  syncPath(unfinished);
  renameSync(unfinished, options.path);
  syncPath(dirname(options.path));
  options.log.info("database created", { path: options.path, schema: options.migrations.length });
}

/** Leaves foreign keys on. */
export function migrate(sqlite: Database, options: MigrationOptions): void {
  const version = userVersion(sqlite);
  if (version < options.migrations.length) {
    if (options.path !== ":memory:") putAside(sqlite, `${options.path}.before-${version}`);
    applyPending(sqlite, options);
    if (options.path !== ":memory:") {
      // The header in the file itself has to name the new schema: an older program reads it there and leaves the file alone.
      sqlite.run("PRAGMA wal_checkpoint(TRUNCATE)");
      options.log.info("database upgraded", { path: options.path, from: version, to: options.migrations.length });
    }
  }
  sqlite.run("PRAGMA foreign_keys = ON");
}

function applyPending(sqlite: Database, options: MigrationOptions): void {
  const pending = options.migrations.slice(userVersion(sqlite));
  // Steps may rebuild tables that others refer to; the references are checked as a whole at the end.
  sqlite.run("PRAGMA foreign_keys = OFF");
  sqlite.run("BEGIN IMMEDIATE");
  try {
    for (const migration of pending) applyOne(sqlite, migration);
    if (sqlite.query("PRAGMA foreign_key_check").get()) throw new CollectiveError("internal", "the upgrade leaves references to nothing");
    sqlite.run(`PRAGMA user_version = ${options.migrations.length}`);
    sqlite.run("COMMIT");
  } catch (error) {
    if (sqlite.inTransaction) sqlite.run("ROLLBACK");
    throw error;
  }
}

function applyOne(sqlite: Database, migration: { name: string; sql: string }): void {
  try {
    sqlite.run(migration.sql);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CollectiveError("internal", `database step ${migration.name} failed: ${reason}`, { cause: error });
  }
}

/** Goes through SQLite, not through a copy of the file: what is still in the WAL belongs to it. */
function putAside(sqlite: Database, copyPath: string): void {
  const unfinished = `${copyPath}.new`;
  rmSync(unfinished, { force: true });
  sqlite.query("VACUUM INTO ?").run(unfinished);
  chmodSync(unfinished, 0o600);
  syncPath(unfinished);
  renameSync(unfinished, copyPath);
  syncPath(dirname(copyPath));
}

function userVersion(sqlite: Database): number {
  return sqlite.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

function removeWithJournals(path: string): void {
  for (const suffix of ["", "-journal", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

function syncPath(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
