/**
 * msgpack as every message of the system uses it. Input comes from the network: it is limited in
 * size before it gets here, and nothing but `CollectiveError` comes out for bytes that do not decode.
 *
 * A JavaScript number stays a number and a bigint (times in nanoseconds) is an int64.
 */
import { Decoder, Encoder } from "@msgpack/msgpack";
import type { z } from "zod";
import { CollectiveError, type ErrorCode } from "./errors.ts";
import { messageDepthMax, structureFault } from "./message-structure.ts";

const encoder = new Encoder({ useBigInt64: true, ignoreUndefined: true, maxDepth: messageDepthMax });
const decoder = new Decoder({ useBigInt64: true });
const rawDecoder = new Decoder({ useBigInt64: true, rawStrings: true });

/** U+FEFF in UTF-8. */
const byteOrderMark = Uint8Array.of(0xef, 0xbb, 0xbf);
const exactText = new TextDecoder("utf-8", { ignoreBOM: true });

export function encodeMessage(value: unknown): Uint8Array<ArrayBuffer> {
  return encoder.encode(value) as Uint8Array<ArrayBuffer>;
}

/** Decodes and checks the shape. `code` says what malformed bytes mean where they were read. */
export function decodeMessage<S extends z.ZodType>(
  schema: S,
  bytes: Uint8Array,
  what: string,
  code: ErrorCode = "invalid_argument",
): z.output<S> {
  const fault = structureFault(bytes);
  if (fault !== undefined) throw new CollectiveError(code, `${what} is not valid msgpack: ${fault}`);
  let value: unknown;
  try {
    value = decoder.decode(bytes);
    if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(byteOrderMark))
      value = withMarks(value, rawDecoder.decode(bytes));
  } catch (error) {
    throw new CollectiveError(code, `${what} is not valid msgpack`, { cause: error });
  }
  return checkShape(schema, value, what, code);
}

/** The decoder drops U+FEFF from the start of long strings, where it may be the first character of a name. */
function withMarks(value: unknown, raw: unknown): unknown {
  if (typeof value === "string") {
    const begins = raw instanceof Uint8Array && byteOrderMark.every((byte, index) => raw[index] === byte);
    return begins ? exactText.decode(raw) : value;
  }
  if (Array.isArray(value) && Array.isArray(raw)) return value.map((item, index) => withMarks(item, raw[index]));
  if (!isMap(value) || !isMap(raw)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withMarks(item, raw[key])]));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export function checkShape<S extends z.ZodType>(
  schema: S,
  value: unknown,
  what: string,
  code: ErrorCode = "invalid_argument",
): z.output<S> {
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  const where = issue && issue.path.length > 0 ? ` at ${issue.path.join(".")}` : "";
  throw new CollectiveError(code, `${what} has the wrong shape${where}: ${issue?.message ?? "unknown"}`);
}
