import { expect, test } from "bun:test";
import { kibibyte, largeChunkBytes, mebibyte, mediumChunkBytes, smallChunkBytes } from "../../protocol/limits.ts";
import { chunkBytesFor, mediumFileBytesMax } from "../../src/codec/chunker.ts";

test("chunks are as large as the file's size asks for", () => {
  const table: readonly (readonly [number, number])[] = [
    [0, smallChunkBytes],
    [1, smallChunkBytes],
    [64 * kibibyte, smallChunkBytes],
    [mebibyte, smallChunkBytes],
    [mebibyte + 1, mediumChunkBytes],
    [mediumFileBytesMax, mediumChunkBytes],
    [mediumFileBytesMax + 1, largeChunkBytes],
    [Number.MAX_SAFE_INTEGER, largeChunkBytes],
  ];
  for (const [fileBytes, chunkBytes] of table) expect(chunkBytesFor(fileBytes)).toBe(chunkBytes);
});

test("what a stream's reader must hold before it knows the rule is a whole number of its chunks", () => {
  for (const chunkBytes of [smallChunkBytes, mediumChunkBytes, largeChunkBytes]) expect(mediumFileBytesMax % chunkBytes).toBe(0);
  expect(chunkBytesFor(mediumFileBytesMax)).toBeLessThan(chunkBytesFor(mediumFileBytesMax + 1));
});
