/**
 * The closed list of everything that can go wrong, and the one class that carries it.
 *
 * Invariant: a failure of the world (network, disk, permissions, input) reaches a caller only as a
 * `CollectiveError` with a code from this list. The three tables below are the only places where a
 * code turns into an HTTP status, a POSIX errno or an exit code; `satisfies Record<ErrorCode, …>`
 * makes a new code fail to compile until it is in all of them.
 */

export const errorCodes = [
  "invalid_argument",
  "configuration",
  "name_too_long",
  "too_large",
  "unsupported",
  "not_found",
  "not_a_directory",
  "not_authenticated",
  "permission_denied",
  "unavailable",
  "timed_out",
  "rate_limited",
  "already_exists",
  "is_a_directory",
  "not_empty",
  "conflict",
  "cross_store",
  "no_space",
  "quota_exceeded",
  "corrupt",
  "cancelled",
  // What only the calls of a mounted file system can be told.
  "read_only",
  "not_permitted",
  "no_attribute",
  "past_end",
  "out_of_range",
  "argument_too_long",
  "invalid_name",
  "bad_handle",
  "stale",
  "too_many_links",
  "locked",
  "deadlock",
  "not_implemented",
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export const httpStatusOf = {
  invalid_argument: 400,
  configuration: 500,
  name_too_long: 400,
  too_large: 413,
  unsupported: 501,
  not_found: 404,
  not_a_directory: 404,
  not_authenticated: 401,
  permission_denied: 403,
  unavailable: 503,
  timed_out: 504,
  rate_limited: 429,
  already_exists: 409,
  is_a_directory: 409,
  not_empty: 409,
  conflict: 409,
  cross_store: 409,
  no_space: 507,
  quota_exceeded: 507,
  corrupt: 500,
  cancelled: 499,
  read_only: 403,
  not_permitted: 403,
  no_attribute: 404,
  past_end: 416,
  out_of_range: 416,
  argument_too_long: 413,
  invalid_name: 400,
  bad_handle: 400,
  stale: 410,
  too_many_links: 409,
  locked: 423,
  deadlock: 409,
  not_implemented: 501,
  internal: 500,
} as const satisfies Record<ErrorCode, number>;

/** Exit codes of the executable; their meaning is part of the command-line contract. */
export const exitCodeOf = {
  invalid_argument: 2,
  configuration: 2,
  name_too_long: 2,
  too_large: 2,
  unsupported: 2,
  not_found: 3,
  not_a_directory: 3,
  not_authenticated: 4,
  permission_denied: 4,
  unavailable: 5,
  timed_out: 5,
  rate_limited: 5,
  already_exists: 6,
  is_a_directory: 6,
  not_empty: 6,
  conflict: 6,
  cross_store: 2,
  no_space: 7,
  quota_exceeded: 7,
  corrupt: 8,
  cancelled: 1,
  read_only: 4,
  not_permitted: 4,
  no_attribute: 3,
  past_end: 2,
  out_of_range: 2,
  argument_too_long: 2,
  invalid_name: 2,
  bad_handle: 2,
  stale: 3,
  too_many_links: 6,
  locked: 6,
  deadlock: 6,
  not_implemented: 2,
  internal: 1,
} as const satisfies Record<ErrorCode, number>;

/** Names as in errno(3); the mount looks the numbers up per platform. */
export const errnoNameOf = {
  invalid_argument: "EINVAL",
  configuration: "EINVAL",
  name_too_long: "ENAMETOOLONG",
  too_large: "EFBIG",
  unsupported: "ENOTSUP",
  not_found: "ENOENT",
  not_a_directory: "ENOTDIR",
  not_authenticated: "EACCES",
  permission_denied: "EACCES",
  unavailable: "EIO",
  timed_out: "ETIMEDOUT",
  rate_limited: "EAGAIN",
  already_exists: "EEXIST",
  is_a_directory: "EISDIR",
  not_empty: "ENOTEMPTY",
  conflict: "EBUSY",
  cross_store: "EXDEV",
  no_space: "ENOSPC",
  quota_exceeded: "EDQUOT",
  corrupt: "EIO",
  cancelled: "EINTR",
  read_only: "EROFS",
  not_permitted: "EPERM",
  no_attribute: "ENODATA",
  past_end: "ENXIO",
  out_of_range: "ERANGE",
  argument_too_long: "E2BIG",
  invalid_name: "EILSEQ",
  bad_handle: "EBADF",
  stale: "ESTALE",
  too_many_links: "EMLINK",
  locked: "EAGAIN",
  deadlock: "EDEADLK",
  not_implemented: "ENOSYS",
  internal: "EIO",
} as const satisfies Record<ErrorCode, string>;

const retryableCodes: ReadonlySet<ErrorCode> = new Set(["unavailable", "timed_out", "rate_limited"]);

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && (errorCodes as readonly string[]).includes(value);
}

export interface CollectiveErrorOptions {
  /** What the person in front of it can do about it: one line, imperative. */
  readonly hint?: string | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

/** `message` says why, in one line without the code; whoever prints it adds what was being done. */
export class CollectiveError extends Error {
  override readonly name = "CollectiveError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: CollectiveErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  /** The same request may succeed later without anybody changing it. */
  get retryable(): boolean {
    return retryableCodes.has(this.code);
  }
}

const codeOfSystemError: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "not_found",
  ENOTDIR: "not_a_directory",
  EISDIR: "is_a_directory",
  EEXIST: "already_exists",
  ENOTEMPTY: "not_empty",
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  EROFS: "read_only",
  ENAMETOOLONG: "name_too_long",
  ENOSPC: "no_space",
  EDQUOT: "quota_exceeded",
  EFBIG: "too_large",
  EADDRINUSE: "conflict",
  ECONNREFUSED: "unavailable",
  ECONNRESET: "unavailable",
  EPIPE: "unavailable",
  ETIMEDOUT: "timed_out",
};

/**
 * Normalises anything that was thrown. Errors of the operating system keep their meaning;
 * everything unknown is our bug and becomes `internal`.
 */
export function toCollectiveError(thrown: unknown): CollectiveError {
  if (thrown instanceof CollectiveError) return thrown;
  if (!(thrown instanceof Error)) return new CollectiveError("internal", String(thrown));
  if (thrown.name === "AbortError") return new CollectiveError("cancelled", "cancelled", { cause: thrown });
  if (thrown.name === "TimeoutError") return new CollectiveError("timed_out", "no answer in time", { cause: thrown });
  const systemCode = (thrown as Error & { code?: unknown }).code;
  const code = typeof systemCode === "string" ? codeOfSystemError[systemCode] : undefined;
  if (code === undefined) return new CollectiveError("internal", thrown.message, { cause: thrown });
  return new CollectiveError(code, systemMessage(thrown), { cause: thrown });
}

/** `ENOENT: no such file or directory, open '/a'` speaks to programmers; people read `no such file or directory: /a`. */
function systemMessage(error: Error & { path?: unknown }): string {
  const reason = /^[A-Z][A-Z0-9_]+: ([^,]+), /.exec(error.message)?.[1];
  if (reason === undefined) return error.message;
  return typeof error.path === "string" ? `${reason}: ${error.path}` : reason;
}
