/**
 * Many writes, one transaction, one wait for the disk.
 *
 * Invariants:
 * - Writes run in the order they were queued, one group after the other, and never while a sync or a
 *   checkpoint is under way.
 * - Each write is a savepoint: one that throws undoes itself and nothing else of its group.
 * - A durable write is acknowledged after the WAL, up to and including its commit, was synced.
 * - After one failed sync nothing is acknowledged any more: the kernel may have dropped the dirty
 *   pages and report success the next time, so trying again proves nothing.
 */
import { type Database, SQLiteError } from "bun:sqlite";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";
import { databaseError } from "./errors.ts";

/** Both bound the time for which one group keeps the event loop. */
export const groupWritesMax = 128;
export const groupBytesMax = 1024 * 1024;
/** So many must succeed one after the other before a full disk is news again. */
export const groupsUntilRecovered = 100;
/** Beyond this the caller is told to come back later. */
export const queuedWritesMax = 16_384;

export interface Durability {
  /** Resolves when all that was committed so far survives a power failure. */
  sync(): Promise<void>;
  /** Called between groups. `force` makes it due however little there is. */
  checkpointIfDue(options: { readonly force: boolean }): Promise<void>;
}

export interface GroupCommit {
  submit<T>(fn: () => T, options: { durable: boolean; weightBytes: number }): Promise<T>;
  /** Resolves when the WAL was copied into the database, if that is possible now. */
  checkpoint(): Promise<void>;
  /** Refuses further writes and waits for the queued ones. */
  drain(): Promise<void>;
}

interface Waiting {
  readonly fn: () => unknown;
  readonly durable: boolean;
  readonly weightBytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CollectiveError) => void;
}

interface Done {
  readonly write: Waiting;
  readonly value: unknown;
}

export function createGroupCommit(sqlite: Database, deps: { path: string; log: Log; durability: Durability }): GroupCommit {
  const { path, log, durability } = deps;
  const queue: Waiting[] = [];
  const runTransaction = createTransactionRunner(sqlite, { path, space: createSpaceReport(log, path) });
  let failure: CollectiveError | undefined;
  let closed = false;
  let unsynced = false;
  let checkpointWanted = false;
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    while (queue.length > 0) {
      // Lets everything that is ready in this turn of the event loop join the group.
      await new Promise<void>((resolve) => setImmediate(resolve));
      await commitGroup(takeGroup(queue));
    }
    running = undefined;
  }

  async function commitGroup(group: readonly Waiting[]): Promise<void> {
    try {
      if (failure) throw failure;
      const done = runTransaction(group);
      if (done.length === 0) return;
      unsynced = true;
      for (const { write, value } of done) if (!write.durable) write.resolve(value);
      const durable = done.filter(({ write }) => write.durable);
      if (durable.length > 0) await syncAll();
      for (const { write, value } of durable) write.resolve(value);
      const force = checkpointWanted;
      checkpointWanted = false;
      await durability.checkpointIfDue({ force });
    } catch (error) {
      failure ??= refuse(error);
      // Without effect on those that were answered already.
      for (const write of group) write.reject(failure);
    }
  }

  async function syncAll(): Promise<void> {
    await durability.sync();
    unsynced = false;
  }

  function refuse(error: unknown): CollectiveError {
    const cause = databaseError(error, path);
    log.error("database refuses writes after a failed sync", { path, reason: cause.message });
    return new CollectiveError(
      "internal",
      `${path}: the disk failed to store what was written (${cause.message}); no more writes until a restart`,
      {
        hint: "check the disk and the system's log, then restart",
        cause: error,
      },
    );
  }

  function submit<T>(fn: () => T, options: { durable: boolean; weightBytes: number }): Promise<T> {
    if (closed) return Promise.reject(new CollectiveError("unavailable", `${path} is closed`));
    if (failure) return Promise.reject(failure);
    if (queue.length >= queuedWritesMax) {
      return Promise.reject(new CollectiveError("rate_limited", `${queue.length} writes to ${path} are waiting already`));
    }
    return new Promise<T>((resolve, reject) => {
      queue.push({ fn, ...options, resolve: resolve as (value: unknown) => void, reject });
      running ??= run();
    });
  }

  return {
    submit,
    async checkpoint() {
      checkpointWanted = true;
      // The first one's group ends with the checkpoint, the second one's cannot begin before.
      for (let i = 0; i < 2; i++) await submit(() => undefined, { durable: false, weightBytes: 0 });
    },
    async drain() {
      closed = true;
      await running;
      if (unsynced && !failure) await syncAll().catch((error) => (failure = refuse(error)));
    },
  };
}

function takeGroup(queue: Waiting[]): Waiting[] {
  let count = 0;
  let bytes = 0;
  for (const write of queue) {
    bytes += write.weightBytes;
    if (count === groupWritesMax || (count > 0 && bytes > groupBytesMax)) break;
    count++;
  }
  return queue.splice(0, count);
}

interface SpaceReport {
  committed(): void;
  failed(reason: CollectiveError): void;
}

/** Says that the disk is full when that begins and ends, not with each write that meets it. */
function createSpaceReport(log: Log, path: string): SpaceReport {
  let groupsWell = groupsUntilRecovered;
  return {
    committed() {
      if (++groupsWell === groupsUntilRecovered) log.info("disk has room again", { path });
    },
    failed(reason) {
      if (reason.code !== "no_space") return;
      if (groupsWell >= groupsUntilRecovered) log.warn("disk is full, writes are refused", { path });
      groupsWell = 0;
    },
  };
}

/** Runs a group and answers the writes that are committed; the others have been rejected. */
function createTransactionRunner(
  sqlite: Database,
  { path, space }: { readonly path: string; readonly space: SpaceReport },
): (group: readonly Waiting[]) => Done[] {
  const exec = (sql: string): void => void sqlite.query(sql).run();

  function runOne(write: Waiting): Done | undefined {
    exec("SAVEPOINT one");
    try {
      const value = write.fn();
      if (value instanceof Promise) throw new CollectiveError("internal", "a database write must not be asynchronous");
      exec("RELEASE one");
      return { write, value };
    } catch (error) {
      // A full or failing disk makes SQLite undo the whole transaction by itself: nobody's write is left then.
      if (!sqlite.inTransaction) throw error;
      exec("ROLLBACK TO one");
      exec("RELEASE one");
      const reason = databaseError(error, path);
      if (error instanceof SQLiteError) space.failed(reason);
      write.reject(reason);
      return undefined;
    }
  }

  return (group) => {
    try {
      exec("BEGIN IMMEDIATE");
      const done = group.map(runOne).filter((result) => result !== undefined);
      exec("COMMIT");
      if (done.length > 0) space.committed();
      return done;
    } catch (error) {
      if (sqlite.inTransaction) exec("ROLLBACK");
      const reason = databaseError(error, path);
      space.failed(reason);
      for (const write of group) write.reject(reason);
      return [];
    }
  };
}
