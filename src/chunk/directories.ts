/**
 * Durable names. A file is safe under its name only when the directory that holds the name was
 * synced, and that directory's own name in turn.
 */
import { closeSync, fsync, mkdir, open } from "node:fs";
import { rmdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";
import { createLimitedTurns } from "./turns.ts";

/** Directories that are open at once, and those that wait for it. */
const syncsMax = 16;
const syncsWaitingMax = 65_536;

const openAsync = promisify<string, string, number>(open);
const fsyncAsync = promisify(fsync);
const mkdirAsync = promisify<string, { mode: number }>(mkdir);

export interface Directories {
  /** Makes all changes made to the directory's entries before this call durable. Calls that come in while one is under way share the next. */
  sync(dir: string): Promise<void>;
  /** The directory exists and its name is durable, up to `root` which is there already. */
  ensure(dir: string): Promise<void>;
  /** Resolves when the directory, if it is being made right now, is durable. */
  settled(dir: string): Promise<void>;
}

interface Syncing {
  readonly running: Promise<void>;
  next: Promise<void> | undefined;
}

export function createDirectories(root: string): Directories {
  // However it was written, with `./` or a slash at its end.
  const top = resolve(root);
  const syncing = new Map<string, Syncing>();
  const making = new Map<string, Promise<void>>();
  const turns = createLimitedTurns({ runningMax: syncsMax, waitingMax: syncsWaitingMax });

  function start(dir: string): Promise<void> {
    const running = turns.run(() => syncDirectory(dir));
    const entry: Syncing = { running, next: undefined };
    syncing.set(dir, entry);
    const done = (): void => {
      if (syncing.get(dir) === entry && !entry.next) syncing.delete(dir);
    };
    running.then(done, done);
    return running;
  }

  function sync(dir: string): Promise<void> {
    const entry = syncing.get(dir);
    if (!entry) return start(dir);
    const startNext = (): Promise<void> => start(dir);
    entry.next ??= entry.running.then(startNext, startNext);
    return entry.next;
  }

  async function make(dir: string): Promise<void> {
    const parent = dirname(dir);
    if (resolve(parent) !== top) await ensure(parent);
    try {
      await mkdirAsync(dir, { mode: 0o700 });
    } catch (error) {
      if (codeOf(error) === "EEXIST") return;
      throw error;
    }
    try {
      await sync(parent);
    } catch (error) {
      // Left in place it would look durable to the next one who needs it.
      await rmdir(dir).catch(() => undefined);
      throw error;
    }
  }

  function ensure(dir: string): Promise<void> {
    const under = making.get(dir);
    if (under) return under;
    const made = make(dir).finally(() => making.delete(dir));
    making.set(dir, made);
    return made;
  }

  return { sync, ensure, settled: (dir) => making.get(dir) ?? Promise.resolve() };
}

async function syncDirectory(dir: string): Promise<void> {
  const fd = await openAsync(dir, "r");
  try {
    await fsyncAsync(fd);
  } finally {
    closeSync(fd);
  }
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
