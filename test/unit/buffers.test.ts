import { describe, expect, test } from "bun:test";
import { releaseMemory } from "../../src/core/buffers.ts";

describe("memory that is given back", () => {
  test("is gone at once, for every view of it", () => {
    const piece = new Uint8Array(65_536).fill(1);
    const other = piece.subarray(10);
    releaseMemory(piece);
    expect([piece.length, other.length]).toEqual([0, 0]);
  });

  test("is left alone where somebody else may own the rest of it", () => {
    const whole = new Uint8Array(100).fill(7);
    for (const part of [whole.subarray(0, 99), whole.subarray(1)]) releaseMemory(part);
    expect(whole).toEqual(new Uint8Array(100).fill(7));
  });

  test("is left alone where it is shared with another thread", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(16)).fill(3);
    releaseMemory(shared);
    expect([...shared]).toEqual(Array.from({ length: 16 }, () => 3));
  });
});
