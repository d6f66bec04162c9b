import { describe, expect, test } from "bun:test";
import {
  CollectiveError,
  errnoNameOf,
  errorCodes,
  exitCodeOf,
  httpStatusOf,
  isErrorCode,
  toCollectiveError,
} from "../../protocol/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import { requestError, responseError } from "../../src/net/errors.ts";
import { errorResponse } from "../../src/net/respond.ts";

const facts = { peer: "node-01@home.collective.local", address: "127.0.0.1:7001" };

describe("codes", () => {
  test("have a status, an errno and an exit code each", () => {
    const table = errorCodes.map((code) => `${code} ${httpStatusOf[code]} ${errnoNameOf[code]} ${exitCodeOf[code]}`);
    expect(table).toEqual([
      "invalid_argument 400 EINVAL 2",
      "configuration 500 EINVAL 2",
      "name_too_long 400 ENAMETOOLONG 2",
      "too_large 413 EFBIG 2",
      "unsupported 501 ENOTSUP 2",
      "not_found 404 ENOENT 3",
      "not_a_directory 404 ENOTDIR 3",
      "not_authenticated 401 EACCES 4",
      "permission_denied 403 EACCES 4",
      "unavailable 503 EIO 5",
      "timed_out 504 ETIMEDOUT 5",
      "rate_limited 429 EAGAIN 5",
      "already_exists 409 EEXIST 6",
      "is_a_directory 409 EISDIR 6",
      "not_empty 409 ENOTEMPTY 6",
      "conflict 409 EBUSY 6",
      "cross_store 409 EXDEV 2",
      "no_space 507 ENOSPC 7",
      "quota_exceeded 507 EDQUOT 7",
      "corrupt 500 EIO 8",
      "cancelled 499 EINTR 1",
      "read_only 403 EROFS 4",
      "not_permitted 403 EPERM 4",
      "no_attribute 404 ENODATA 3",
      "past_end 416 ENXIO 2",
      "out_of_range 416 ERANGE 2",
      "argument_too_long 413 E2BIG 2",
      "invalid_name 400 EILSEQ 2",
      "bad_handle 400 EBADF 2",
      "stale 410 ESTALE 3",
      "too_many_links 409 EMLINK 6",
      "locked 423 EAGAIN 6",
      "deadlock 409 EDEADLK 6",
      "not_implemented 501 ENOSYS 2",
      "internal 500 EIO 1",
    ]);
  });

  test("say whether the same may succeed later", () => {
    const retryable = errorCodes.filter((code) => new CollectiveError(code, "").retryable);
    expect(retryable).toEqual(["unavailable", "timed_out", "rate_limited"]);
    expect(isErrorCode("conflict")).toBe(true);
    for (const value of ["CONFLICT", "", "toString", 5, null]) expect(isErrorCode(value)).toBe(false);
  });
});

describe("anything thrown", () => {
  test("becomes an error of this system", () => {
    const system = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });
    const table: readonly (readonly [unknown, string])[] = [
      [new CollectiveError("conflict", "x"), "conflict"],
      [system("ENOSPC"), "no_space"],
      [system("ENOENT"), "not_found"],
      [system("EACCES"), "permission_denied"],
      [system("ECONNREFUSED"), "unavailable"],
      [system("EWHATEVER"), "internal"],
      [new DOMException("x", "AbortError"), "cancelled"],
      [new DOMException("x", "TimeoutError"), "timed_out"],
      [new TypeError("x is not a function"), "internal"],
      ["text", "internal"],
      [undefined, "internal"],
      [null, "internal"],
    ];
    for (const [thrown, code] of table) expect(String(toCollectiveError(thrown).code)).toBe(code);
  });

  test("by a request says whether it was sent", () => {
    const refused = requestError(Object.assign(new Error("x"), { code: "ConnectionRefused" }), facts);
    expect(refused).toMatchObject({ code: "unavailable", details: { sent: false } });
    const impostor = requestError(Object.assign(new Error("x"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" }), facts);
    expect(impostor).toMatchObject({ code: "not_authenticated", details: { sent: false } });
    const lost = requestError(Object.assign(new Error("x"), { code: "ECONNRESET" }), facts);
    expect(lost.code).toBe("unavailable");
    expect(lost.details.sent).toBeUndefined();
    expect(requestError(new DOMException("x", "AbortError"), facts).code).toBe("cancelled");
  });
});

describe("answers", () => {
  test("carry an error from one process to the other", async () => {
    for (const code of errorCodes.filter((one) => one !== "internal")) {
      const error = new CollectiveError(code, "it failed", { hint: "do something", details: { usedBytes: 5, names: ["a"] } });
      const response = errorResponse(error, { log: silentLog, path: "/" });
      expect(response.status).toBe(httpStatusOf[code]);
      expect(await responseError(response, facts)).toMatchObject({
        code,
        message: "it failed",
        hint: "do something",
        details: { usedBytes: 5, names: ["a"] },
      });
    }
  });

  test("tell nothing of what went wrong inside", async () => {
    const response = errorResponse(new Error("secret key 42 at /home/x"), { log: silentLog, path: "/" });
    const text = Buffer.from(await response.clone().arrayBuffer()).toString("latin1");
    expect(text).not.toContain("secret");
    expect((await responseError(response, facts)).code).toBe("internal");
  });

  test("that are no answers of this system are called unavailable", async () => {
    for (const body of ["", "<html>", '{"code":"conflict"}', "\xff\xff"]) {
      const error = await responseError(new Response(body, { status: 502 }), facts);
      expect(error.code).toBe("unavailable");
      expect(error.message).toContain("502");
    }
  });
});
