/** The two files that acknowledged writes depend on, and the only code that waits for the disk. See database.ts for the reasoning. */
import type { Database } from "bun:sqlite";
import { closeSync, constants, fdatasync, openSync } from "node:fs";
import { promisify } from "node:util";
import type { Log } from "../core/log.ts";
import { databaseError } from "./errors.ts";
import type { Durability } from "./group-commit.ts";

/** Copying this many pages takes a few milliseconds of the event loop. */
const checkpointPagesMin = 1_000;
/** After a copy that failed, the disk being full, the WAL has to grow by this much before the next try. */
const checkpointRetryPages = 250;
/** SQLite can tell the length of the WAL without touching it (`wal_checkpoint(NOOP)`) since this version. */
const noopCheckpointSince = [3, 51] as const;

interface CheckpointResult {
  readonly busy: number;
  readonly log: number;
  readonly checkpointed: number;
}

export const fdatasyncAsync: (fd: number) => Promise<void> = promisify(fdatasync);

/** Call it after the connection is in WAL mode and has read once. `close` comes after the connection was closed. */
export function openDurability(
  sqlite: Database,
  options: { path: string; log: Log; syncFile?: ((fd: number) => Promise<void>) | undefined },
): Durability & { close(): void } {
  const syncFile = options.syncFile ?? fdatasyncAsync;
  const ownCheckpoints = supportsNoopCheckpoint(sqlite);
  if (ownCheckpoints) sqlite.run("PRAGMA wal_autocheckpoint = 0");
  let dueAtPages = checkpointPagesMin;
  const databaseFd = openSync(options.path, "r+");
  const walFd = openSync(`${options.path}-wal`, constants.O_RDWR | constants.O_CREAT, 0o600);

  return {
    sync: () => syncFile(walFd),
    async checkpointIfDue({ force }) {
      if (!ownCheckpoints) return;
      const wal = checkpoint(sqlite, "NOOP");
      const pages = wal.log - wal.checkpointed;
      if (pages < (force ? 1 : dueAtPages)) return;
      await syncFile(walFd);
      try {
        copyWithoutSync(sqlite);
      } catch (error) {
        // Nothing is lost: the WAL stays as it is until all of it is in the database.
        dueAtPages = pages + checkpointRetryPages;
        options.log.warn("checkpoint failed", { path: options.path, pages, reason: databaseError(error, options.path).message });
        return;
      }
      dueAtPages = checkpointPagesMin;
      await syncFile(databaseFd);
    },
    close() {
      closeSync(walFd);
      closeSync(databaseFd);
    },
  };
}

function copyWithoutSync(sqlite: Database): void {
  sqlite.run("PRAGMA synchronous = OFF");
  try {
    checkpoint(sqlite, "PASSIVE");
  } finally {
    sqlite.run("PRAGMA synchronous = NORMAL");
  }
}

function checkpoint(sqlite: Database, mode: "NOOP" | "PASSIVE"): CheckpointResult {
  return sqlite.query<CheckpointResult, []>(`PRAGMA wal_checkpoint(${mode})`).get() ?? { busy: 1, log: 0, checkpointed: 0 };
}

function supportsNoopCheckpoint(sqlite: Database): boolean {
  const version = sqlite.query<{ version: string }, []>("SELECT sqlite_version() AS version").get()?.version ?? "0.0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > noopCheckpointSince[0] || (major === noopCheckpointSince[0] && minor >= noopCheckpointSince[1]);
}
