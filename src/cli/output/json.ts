/** `--json`: one value on stdout, readable by anything that reads JSON. */
import type { OutputStream } from "./terminal.ts";

/**
 * Big integers become numbers as long as those are exact, and texts beyond; undefined as a whole is null.
 * Bytes have no form here: the caller decides how they read.
 */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? exactNumber(inner) : inner), 2) ?? "null";
}

export function printJson(value: unknown, stream: OutputStream = process.stdout): void {
  stream.write(`${formatJson(value)}\n`);
}

function exactNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
