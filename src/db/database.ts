/**
 * A SQLite database owned by one process, whose writes are grouped and wait for the disk without
 * keeping the event loop waiting.
 *
 * Why an acknowledged `write` is as durable as with `synchronous=FULL`. In WAL mode FULL differs from
 * NORMAL in one thing: after each commit it syncs the WAL (it also pads to the sector on devices that
 * damage neighbours of a torn write, which SQLite has assumed away on all systems since 3.7.13). Here
 * SQLite runs with NORMAL, and after each group's COMMIT the WAL is synced through a descriptor of our
 * own by `fdatasync` on the thread pool; waiters are answered after that. What NORMAL still syncs
 * itself is what keeps the order right: the WAL's header when the WAL is created (together with its
 * directory entry) or started over, before any frame follows it; otherwise old frames could be replayed
 * over newer pages. See https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous.
 *
 * Checkpoints need the WAL on disk before pages are copied, and the database on disk before the WAL is
 * started over. Automatic checkpoints would do both syncs on the event loop, so they are off: when the
 * WAL is long enough, and no write can run, its pages are copied with `synchronous=OFF` (the WAL has been
 * synced just before) and the database is synced through a second descriptor. Only then the next group
 * may begin, and with it the WAL may start over.
 *
 * Our descriptors stay open as long as SQLite's: closing any descriptor of a file drops all POSIX
 * locks of the process on it. SQLite locks the database and the shared memory, never the WAL.
 *
 * Files: `<path>`, `-wal` and `-shm` of SQLite, `<path>.lock` (held while open, vanishes with the
 * process), `<path>.before-<n>` (a copy from before the upgrade from schema n), `<path>.new` (a fresh
 * database until it is complete: so an empty file at `<path>` is damage and never a beginning).
 *
 * Reads on `sqlite` see what is committed, which may not be durable for another moment.
 */
import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";
import { openDurability } from "./durability.ts";
import { databaseError } from "./errors.ts";
import { createGroupCommit } from "./group-commit.ts";
import { damaged, inspectDatabase } from "./inspect.ts";
import { lockDatabase } from "./lock.ts";
import { createFresh, migrate } from "./migrate.ts";

/** Applied in order; `PRAGMA user_version` counts the applied ones. A released step never changes. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

export interface DatabaseOptions {
  /** `:memory:` gives a private one without durability, for tests. */
  readonly path: string;
  /** `PRAGMA application_id`: says whose file this is. Not 0. */
  readonly applicationId: number;
  readonly migrations: readonly Migration[];
  readonly log: Log;
  /** Keeps what SQLite needs for `PRAGMA incremental_vacuum`; takes effect when the database is created. */
  readonly incrementalVacuum?: boolean;
  /** Replaces the sync of a file descriptor, to inject failures of the disk. */
  readonly syncFile?: (fd: number) => Promise<void>;
}

export interface CollectiveDatabase {
  /** For reads, on the caller's thread. */
  readonly sqlite: Database;
  /**
   * Runs `fn` inside the next group transaction, as a savepoint of its own: a throw undoes `fn` alone.
   * Resolves when durable (after power loss too). `fn` must be synchronous and short. `weightBytes` says
   * how much it writes when that is a lot, so that groups stay short.
   */
  write<T>(fn: () => T, weightBytes?: number): Promise<T>;
  /** The same, but resolves as soon as it is committed and visible; survives `kill -9`, may be lost by power failure. */
  writeRelaxed<T>(fn: () => T, weightBytes?: number): Promise<T>;
  /** Copies the WAL into the database now, so that a database that has shrunk gives its space back. */
  checkpoint(): Promise<void>;
  /** Idempotent; waits for queued writes; checkpoints. */
  close(): Promise<void>;
}

/** Up to this size the whole file is checked at every start; it takes a few milliseconds. */
const fullCheckBytesMax = 2 * 1024 * 1024;
const busyTimeoutMs = 1_000;

/** More than there are: a statement that is not kept is compiled each time, which takes longer than running it. */
Database.MAX_QUERY_CACHE_SIZE = 1_000;

/**
 * Creates the database if there is none. Throws `corrupt` (damaged, nothing changed), `configuration`
 * (another program's file, written by a newer version, folder missing), `conflict` (another process has it open).
 */
export function openDatabase(options: DatabaseOptions): CollectiveDatabase {
  if (options.path === ":memory:") return openInMemory(options);
  const lock = lockDatabase(options.path);
  try {
    return openLocked(options, lock);
  } catch (error) {
    lock.release();
    throw databaseError(error, options.path);
  }
}

function openLocked(options: DatabaseOptions, lock: { release(): void }): CollectiveDatabase {
  const { path, log } = options;
  if (!existsSync(path)) {
    // SQLite would replay it into the new database.
    if (existsSync(`${path}-wal`)) throw damaged(path, `it is missing, while its log ${path}-wal is there`);
    createFresh(options);
  }
  const header = inspectDatabase(path);
  refuseForeign(options, header);
  const sqlite = new Database(path, { readwrite: true, strict: true });
  try {
    prepareConnection(sqlite, path);
    migrate(sqlite, options);
    const durability = openDurability(sqlite, options);
    const commits = createGroupCommit(sqlite, { path, log, durability });
    return databaseOf(sqlite, commits, () => {
      try {
        sqlite.run("PRAGMA wal_checkpoint(TRUNCATE)");
      } catch (error) {
        // A full disk, perhaps. The WAL stays, and the next opening reads it.
        log.warn("database closed without a checkpoint", { path, reason: databaseError(error, path).message });
      }
      sqlite.close();
      durability.close();
      lock.release();
    });
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

function databaseOf(sqlite: Database, commits: ReturnType<typeof createGroupCommit>, release: () => void): CollectiveDatabase {
  let closing: Promise<void> | undefined;
  return {
    sqlite,
    write: (fn, weightBytes = 0) => commits.submit(fn, { durable: true, weightBytes }),
    writeRelaxed: (fn, weightBytes = 0) => commits.submit(fn, { durable: false, weightBytes }),
    checkpoint: () => commits.checkpoint(),
    close() {
      closing ??= commits.drain().then(release);
      return closing;
    },
  };
}

function openInMemory(options: DatabaseOptions): CollectiveDatabase {
  const sqlite = new Database(":memory:", { strict: true });
  migrate(sqlite, options);
  sqlite.run("PRAGMA foreign_keys = ON");
  const durability = { sync: () => Promise.resolve(), checkpointIfDue: () => Promise.resolve() };
  const commits = createGroupCommit(sqlite, { path: options.path, log: options.log, durability });
  return databaseOf(sqlite, commits, () => sqlite.close());
}

function refuseForeign(options: DatabaseOptions, header: { applicationId: number; userVersion: number }): void {
  const { path } = options;
  if (header.applicationId !== options.applicationId) {
    throw new CollectiveError("configuration", `${path} is a database of another program`, {
      hint: "choose another folder; nothing was changed",
      details: { path, applicationId: header.applicationId, expected: options.applicationId },
    });
  }
  if (header.userVersion > options.migrations.length) {
    throw new CollectiveError(
      "configuration",
      `${path} was written by a newer version: its schema is ${header.userVersion}, this program knows ${options.migrations.length}`,
      { hint: "install the newer version; nothing was changed", details: { path } },
    );
  }
}

function prepareConnection(sqlite: Database, path: string): void {
  sqlite.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  sqlite.run("PRAGMA journal_mode = WAL");
  sqlite.run("PRAGMA synchronous = NORMAL");
  // What a savepoint would undo, and what a statement has to remember, otherwise goes to files once it is more than a few pages.
  sqlite.run("PRAGMA temp_store = MEMORY");
  // Also makes SQLite open the WAL, so that it exists from here on.
  const size = sqlite.query<{ bytes: number }, []>("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size").get();
  sqlite.query("SELECT count(*) FROM sqlite_schema").get();
  if (size && size.bytes <= fullCheckBytesMax) {
    const found = sqlite.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    if (found !== "ok") throw damaged(path, found?.split("\n").at(-1) ?? "its check gave no answer");
  }
}
