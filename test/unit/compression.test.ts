import { describe, expect, test } from "bun:test";
import { zstdCompressSync } from "node:zlib";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { compress, decompress } from "../../src/codec/compression.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { failureOf } from "../support/metadata.ts";

const random = createSeededRandom(1);

function text(bytes: number): Uint8Array {
  const words = "the quick brown fox jumps over the lazy dog and stores it twice ";
  return Buffer.alloc(bytes, words);
}

describe("compressing", () => {
  test("shrinks what can be shrunk and gives it back", () => {
    for (const bytes of [128, 1_000, 64 * kibibyte, mebibyte, 4 * mebibyte]) {
      const plain = text(bytes);
      const packed = compress(plain);
      expect(packed).toBeDefined();
      expect(packed?.length).toBeLessThanOrEqual(bytes * 0.95);
      expect(Buffer.compare(decompress(packed ?? plain, bytes), plain)).toBe(0);
    }
  });

  test("leaves alone what would not shrink", () => {
    for (const bytes of [0, 1, 127, 128, 10_000, mebibyte]) expect(compress(random.bytes(bytes))).toBeUndefined();
    expect(compress(text(127))).toBeUndefined();
  });

  test("judges a large chunk by samples from all over it", () => {
    const half = random.bytes(mebibyte);
    half.set(text(mebibyte / 2), mebibyte / 2);
    expect(compress(half)).toBeDefined();
    // Only the middle is compressible: a gain of 5 % is not there, so it stays as it is.
    const little = random.bytes(mebibyte);
    little.set(text(20 * kibibyte), mebibyte / 2 - 10 * kibibyte);
    expect(compress(little)).toBeUndefined();
  });

  test("does not depend on what was compressed before", () => {
    const first = Buffer.from(compress(text(70_000)) ?? []);
    compress(text(500));
    compress(random.bytes(70_000));
    expect(Buffer.compare(Buffer.from(compress(text(70_000)) ?? []), first)).toBe(0);
  });
});

describe("decompressing", () => {
  test("refuses another length than promised", async () => {
    const packed = zstdCompressSync(text(1_000));
    for (const promised of [999, 1_001, 1, mebibyte]) {
      const error = await failureOf(() => decompress(packed, promised));
      expect(error.code).toBe("corrupt");
    }
  });

  test("refuses what is not zstd, or breaks off, or goes on", async () => {
    const packed = zstdCompressSync(text(1_000));
    const cases = [new Uint8Array(0), random.bytes(100), packed.subarray(0, packed.length - 1), packed.subarray(1)];
    for (const bytes of cases) expect((await failureOf(() => decompress(bytes, 1_000))).code).toBe("corrupt");
  });

  test("never unpacks more than promised, whatever a bomb claims", async () => {
    const bomb = zstdCompressSync(new Uint8Array(256 * mebibyte));
    expect(bomb.length).toBeLessThan(64 * kibibyte);
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 8; i++) expect((await failureOf(() => decompress(bomb, 64 * kibibyte))).code).toBe("corrupt");
    expect(process.memoryUsage.rss() - before).toBeLessThan(192 * mebibyte);
  });
});
