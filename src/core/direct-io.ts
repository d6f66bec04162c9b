/**
 * What a write past the page cache asks of memory. Large buffers are aligned to pages as they come;
 * a view into one is when it begins at a whole block.
 */
import { ptr } from "bun:ffi";
import { constants } from "node:fs";
import { kibibyte } from "../../protocol/limits.ts";

/** A multiple of every block size in use: address, place in the file and length of a direct write are multiples of it. */
export const directBlockBytes = 4 * kibibyte;

/** Not there on every system; where it is, a file system may still refuse it with EINVAL, when opening or when writing. */
export const directFlag: number | undefined = constants.O_DIRECT;

export function beginsAtBlock(data: Uint8Array): boolean {
  return data.length > 0 && ptr(data) % directBlockBytes === 0;
}
