/** Content, and how it becomes pieces of a chunk each. */
import { CollectiveError } from "../../protocol/errors.ts";
import { fileBytesMax, largeChunkBytes } from "../../protocol/limits.ts";
import { chunkBytesFor, mediumFileBytesMax } from "../codec/chunker.ts";

/** Where content comes from. */
export interface ContentSource {
  /** Undefined for a stream whose end nobody knows yet. */
  readonly sizeBytes: number | undefined;
  /** Fills the buffer, entirely unless the content ends; 0 at the end. */
  read(into: Uint8Array): Promise<number>;
}

/** Two, used in turn, of the size of the largest chunk. */
export type PieceBuffers = readonly [Uint8Array, Uint8Array];

/** Cuts by the rule of the chunker. Pieces are views that hold until the next but one is asked for. */
export async function* pieces(source: ContentSource, buffers: PieceBuffers): AsyncGenerator<Uint8Array> {
  if (source.sizeBytes !== undefined) {
    yield* cut(source, { buffers, chunkBytes: chunkBytesFor(source.sizeBytes) });
    return;
  }
  const [buffer, other] = buffers;
  let head: Uint8Array | undefined = new Uint8Array(mediumFileBytesMax);
  const headBytes = await source.read(head);
  const more = headBytes < head.length ? 0 : await source.read(buffer);
  const chunkBytes = more > 0 ? largeChunkBytes : chunkBytesFor(headBytes);
  for (let at = 0; at < headBytes; at += chunkBytes) yield head.subarray(at, Math.min(at + chunkBytes, headBytes));
  // This generator may live for hours; whoever still holds a piece holds its memory.
  head = undefined;
  if (more > 0) yield buffer.subarray(0, more);
  if (more === buffer.length) yield* cut(source, { buffers: [other, buffer], chunkBytes, beforeBytes: headBytes + more });
}

async function* cut(
  source: ContentSource,
  { buffers, chunkBytes, beforeBytes = 0 }: { buffers: PieceBuffers; chunkBytes: number; beforeBytes?: number },
): AsyncGenerator<Uint8Array> {
  let total = beforeBytes;
  for (let [buffer, other] = buffers; ; [buffer, other] = [other, buffer]) {
    const bytes = await source.read(buffer.subarray(0, chunkBytes));
    if (bytes === 0) return;
    total += bytes;
    if (total > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
    yield buffer.subarray(0, bytes);
    if (bytes < chunkBytes) return;
  }
}
