/** The one place where an error of SQLite turns into an error of this system. */
import { SQLiteError } from "bun:sqlite";
import { CollectiveError, type ErrorCode, toCollectiveError } from "../../protocol/errors.ts";

/** Extended codes first where they mean something else than the primary code in front of them. */
const codeOfSqliteError: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  ["SQLITE_FULL", "no_space"],
  // Growing the shared-memory file of the WAL is what fails first on a disk that is already full.
  ["SQLITE_IOERR_SHMSIZE", "no_space"],
  ["SQLITE_CORRUPT", "corrupt"],
  ["SQLITE_NOTADB", "corrupt"],
  ["SQLITE_IOERR_CORRUPTFS", "corrupt"],
  ["SQLITE_BUSY", "conflict"],
  ["SQLITE_LOCKED", "conflict"],
  ["SQLITE_READONLY", "permission_denied"],
  ["SQLITE_PERM", "permission_denied"],
  ["SQLITE_CANTOPEN", "configuration"],
  ["SQLITE_TOOBIG", "too_large"],
  ["SQLITE_CONSTRAINT_PRIMARYKEY", "already_exists"],
  ["SQLITE_CONSTRAINT_UNIQUE", "already_exists"],
];

const hintOf: Partial<Record<ErrorCode, string>> = {
  no_space: "make room on the disk that holds the database",
  corrupt: "stop, keep a copy of the file and restore it from a backup",
  permission_denied: "let the user that runs this process write to the database's folder",
  configuration: "create the folder and let the user that runs this process write to it",
};

/** Whatever `bun:sqlite` or a system call threw, as a `CollectiveError`; `path` is named in the message. */
export function databaseError(thrown: unknown, path: string): CollectiveError {
  if (!(thrown instanceof SQLiteError)) return toCollectiveError(thrown);
  const name = thrown.code ?? "SQLITE_ERROR";
  const code = codeOfSqliteError.find(([prefix]) => name.startsWith(prefix))?.[1] ?? "internal";
  const message = code === "no_space" ? `the disk that holds ${path} is full` : `${path}: ${thrown.message}`;
  return new CollectiveError(code, message, { hint: hintOf[code], details: { sqlite: name }, cause: thrown });
}
