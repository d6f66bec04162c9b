/**
 * How a file is cut. Chunk sizes follow the file's size, so that small files stay one chunk, a
 * mount can rewrite a piece of a middling file cheaply, and large files move in large pieces. The
 * rule depends on the size alone: equal files are cut equally, whichever way they come in.
 */
import { largeChunkBytes, mebibyte, mediumChunkBytes, smallChunkBytes } from "../../protocol/limits.ts";

const smallFileBytesMax = 1 * mebibyte;
/** Also what a reader of a stream of unknown length has to hold before it knows the rule. */
export const mediumFileBytesMax = 8 * mebibyte;

export function chunkBytesFor(fileBytes: number): number {
  if (fileBytes <= smallFileBytesMax) return smallChunkBytes;
  return fileBytes <= mediumFileBytesMax ? mediumChunkBytes : largeChunkBytes;
}
