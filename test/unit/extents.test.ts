import { describe, expect, test } from "bun:test";
import { type ChunkPart, inside, outside, type Span } from "../../protocol/extents.ts";
import { createSeededRandom } from "../../src/core/random.ts";

const extent: ChunkPart = { offset: 100, plainBytes: 50, chunkOffset: 7 };

function part(offset: number, plainBytes: number, chunkOffset: number): ChunkPart {
  return { offset, plainBytes, chunkOffset };
}

describe("an extent", () => {
  test.each<[string, Span, ChunkPart | undefined, ChunkPart | undefined, ChunkPart | undefined]>([
    ["all of it", { start: 100, end: 150 }, undefined, extent, undefined],
    ["more than it", { start: 0, end: 1_000 }, undefined, extent, undefined],
    ["its beginning", { start: 90, end: 101 }, undefined, part(100, 1, 7), part(101, 49, 8)],
    ["its end", { start: 149, end: 151 }, part(100, 49, 7), part(149, 1, 56), undefined],
    ["its middle", { start: 110, end: 120 }, part(100, 10, 7), part(110, 10, 17), part(120, 30, 27)],
    ["what is before it", { start: 0, end: 100 }, undefined, undefined, extent],
    ["what is behind it", { start: 150, end: 160 }, extent, undefined, undefined],
  ])("of which %s is replaced", (_, span, before, within, after) => {
    expect(outside(extent, span)).toEqual({ before, after });
    expect(inside(extent, span)).toEqual(within);
  });

  test("is split without losing or moving a byte", () => {
    const random = createSeededRandom(3);
    const bytesOf = (one: ChunkPart | undefined): string[] =>
      one ? Array.from({ length: one.plainBytes }, (_, index) => `${one.offset + index} is ${one.chunkOffset + index}`) : [];
    for (let round = 0; round < 2_000; round++) {
      const one = part(random.int(20), 1 + random.int(20), random.int(20));
      const start = random.int(45);
      const span = { start, end: start + 1 + random.int(20) };
      const { before, after } = outside(one, span);
      expect([...bytesOf(before), ...bytesOf(inside(one, span)), ...bytesOf(after)]).toEqual(bytesOf(one));
      for (const left of [before, after]) expect(left === undefined || inside(left, span) === undefined).toBe(true);
    }
  });
});
