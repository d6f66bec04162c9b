/**
 * One process at a time. The lock is an exclusive POSIX lock that SQLite holds on an empty file beside
 * the database, so it vanishes with the process however that ends, and a second opening inside the same process is
 * refused as well, which plain POSIX locks would let through.
 */
import { Database } from "bun:sqlite";
import { CollectiveError } from "../../protocol/errors.ts";
import { databaseError } from "./errors.ts";

/** A predecessor that was just killed may need a moment to be gone. */
const lockTimeoutMs = 250;

/** Throws `conflict` while another owner has it open. */
export function lockDatabase(path: string): { release(): void } {
  let lock: Database | undefined;
  try {
    lock = new Database(`${path}.lock`, { create: true, readwrite: true });
    lock.run(`PRAGMA busy_timeout = ${lockTimeoutMs}`);
    lock.run("PRAGMA journal_mode = MEMORY");
    lock.run("BEGIN EXCLUSIVE");
  } catch (error) {
    lock?.close();
    const known = databaseError(error, path);
    if (known.code !== "conflict") throw known;
    throw new CollectiveError("conflict", `${path} is in use by another process`, {
      hint: "stop the other process first, or choose another folder",
      details: { path },
    });
  }
  const held = lock;
  return { release: () => held.close() };
}
