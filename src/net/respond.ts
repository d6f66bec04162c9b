/** Answers as both servers give them. */
import { encodeMessage } from "../../protocol/codec.ts";
import { httpStatusOf, toCollectiveError } from "../../protocol/errors.ts";
import { contentTypeMessage } from "../../protocol/routes.ts";
import type { Log } from "../core/log.ts";

export function messageResponse(value: unknown): Response {
  return new Response(encodeMessage(value), { headers: { "content-type": contentTypeMessage } });
}

/** What is internal stays in our log; the caller learns that something went wrong, not how. */
export function errorResponse(thrown: unknown, context: { readonly log: Log; readonly path: string }): Response {
  const error = toCollectiveError(thrown);
  const internal = error.code === "internal";
  if (internal) context.log.error("request failed", { path: context.path, error: error.stack ?? error.message });
  else context.log.debug("request refused", { path: context.path, code: error.code, error: error.message });
  const body = internal
    ? { code: error.code, message: "something went wrong inside; its log says what" }
    : { code: error.code, message: error.message, hint: error.hint, details: error.details };
  return new Response(encodeMessage(body), { status: httpStatusOf[error.code], headers: { "content-type": contentTypeMessage } });
}
