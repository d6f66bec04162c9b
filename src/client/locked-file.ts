/**
 * Small files that several processes change: one at a time by a lock file beside them, and replaced whole.
 *
 * The lock is created exclusively and names its holder. It is stale when its holder is a process of this
 * machine that is gone, or when nothing changed about it for `staleAfterMs` by the waiter's own clock; no
 * calendar is compared. Taking over is itself exclusive, and whoever lost a lock that way must not write
 * any more: `assertHeld` stands before every replacement.
 */
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";

export interface FileLock {
  /** Distinguishes this holding of the lock from every other one. */
  readonly token: string;
  /** Throws `conflict` when somebody took the lock over. */
  assertHeld(): Promise<void>;
}

export interface LockOptions {
  /** The file that is protected; the lock is `<file>.lock`. Its folder is made, for its owner alone. */
  readonly file: string;
  readonly clock: Clock;
  readonly random: Random;
}

const staleAfterMs = 10_000;
const staleAfterDeathMs = 200;
const guardStaleAfterMs = 2_000;
const waitMsMax = 15_000;
const retryMsMax = 25;

/** Throws `unavailable` when others hold the lock for too long. */
export async function withFileLock<T>(options: LockOptions, work: (lock: FileLock) => Promise<T>): Promise<T> {
  const path = `${options.file}.lock`;
  const token = `${process.pid} ${hostname()} ${Buffer.from(options.random.bytes(12)).toString("hex")}\n`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await acquire(path, token, options);
  } catch (error) {
    const known = toCollectiveError(error);
    throw new CollectiveError(known.code, `${options.file} cannot be changed: ${known.message}`, { hint: known.hint, cause: error });
  }
  try {
    return await work({
      token: token.trim().split(" ").at(-1) ?? "",
      assertHeld: async () => {
        if ((await holderOf(path)) !== token)
          throw new CollectiveError("conflict", `${options.file} was changed by another process meanwhile`, { hint: "try again" });
      },
    });
  } finally {
    if ((await holderOf(path)) === token) await rm(path, { force: true });
  }
}

async function acquire(path: string, token: string, { clock, random }: LockOptions): Promise<void> {
  const startedMs = clock.monotonicMs();
  let seen: string | undefined;
  let seenSinceMs = startedMs;
  while (!(await createExclusively(path, token))) {
    const nowMs = clock.monotonicMs();
    const holder = await holderOf(path);
    if (holder !== seen) {
      seen = holder;
      seenSinceMs = nowMs;
    }
    if (holder !== undefined) {
      const overdueMs = nowMs - seenSinceMs - (isGone(holder) ? staleAfterDeathMs : staleAfterMs);
      if (overdueMs >= 0) await takeOver(path, holder, overdueMs);
    }
    if (nowMs - startedMs > waitMsMax) {
      throw new CollectiveError("unavailable", `another process holds ${path}`, {
        hint: "remove that file if no other collective is running",
      });
    }
    await clock.sleep(1 + random.int(retryMsMax));
  }
}

async function createExclusively(path: string, text: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx", 0o600);
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  }
}

/**
 * Removes a stale lock. Of several waiters only the one that creates `<lock>.stale` may, and only while the
 * lock is still the one it judged: another waiter may have replaced it since. A guard that a crash left
 * behind is removed when it has been in the way for long.
 */
async function takeOver(path: string, holder: string, overdueMs: number): Promise<void> {
  const guard = `${path}.stale`;
  if (!(await createExclusively(guard, holder))) {
    if (overdueMs > guardStaleAfterMs) await rm(guard, { force: true });
    return;
  }
  try {
    if ((await holderOf(path)) === holder) await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Only of a process of this machine can that be known. */
function isGone(holder: string): boolean {
  const [, pid, host] = /^([1-9]\d{0,9}) (\S+) /.exec(holder) ?? [];
  if (pid === undefined || host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return hasCode(error, "ESRCH");
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** Replaces a file, readable for its owner alone, while the lock is held. Durable when it returns. */
export async function replaceFile(lock: FileLock, file: string, text: string): Promise<void> {
  const temporary = `${file}.${lock.token}.tmp`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await lock.assertHeld();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw toCollectiveError(error);
  }
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
