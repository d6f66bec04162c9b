import { describe, expect, test } from "bun:test";
import {
  chunkHeaderBytes,
  chunkOverheadBytesMax,
  kibibyte,
  largeChunkBytes,
  mebibyte,
  storedChunkBytesMax,
} from "../../protocol/limits.ts";
import { deriveChunkKeys, hashChunk, openChunk, readChunkHeader, sealChunk, sealedBytesMax } from "../../src/codec/sealed-chunk.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { failureOf } from "../support/metadata.ts";

const keys = deriveChunkKeys(new Uint8Array(32).fill(1));
const otherKeys = deriveChunkKeys(new Uint8Array(32).fill(2));

function seal(plain: Uint8Array, withKeys: typeof keys | undefined) {
  const sealed = sealChunk(plain, { keys: withKeys, out: new Uint8Array(sealedBytesMax(plain.length)) });
  return { ...sealed, stored: Uint8Array.from(sealed.stored) };
}

function open(stored: Uint8Array, withKeys: typeof keys | undefined): Uint8Array {
  return openChunk(stored, { keys: withKeys, out: new Uint8Array(largeChunkBytes) });
}

const contents = {
  text: (bytes: number) => new Uint8Array(Buffer.alloc(bytes, "all work and no play ")),
  random: (bytes: number) => createSeededRandom(bytes + 1).bytes(bytes),
};

describe("a sealed chunk", () => {
  for (const bytes of [0, 1, 15, 16, 17, 127, 128, 1_000, 64 * kibibyte - 1, 64 * kibibyte, 64 * kibibyte + 1, mebibyte, 4 * mebibyte]) {
    for (const kind of ["text", "random"] as const) {
      for (const encrypted of [true, false]) {
        test(`gives back ${bytes} ${kind} bytes${encrypted ? ", encrypted" : ""}`, () => {
          const plain = contents[kind](bytes);
          const { id, stored, codec } = seal(plain, encrypted ? keys : undefined);
          expect(hashChunk(stored)).toBe(id);
          expect(stored.length).toBeLessThanOrEqual(bytes + chunkOverheadBytesMax);
          expect(stored.length).toBeLessThanOrEqual(storedChunkBytesMax);
          expect(codec).toBe(kind === "text" && bytes >= 128 ? "zstd" : "none");
          const header = readChunkHeader(stored);
          expect(header).toMatchObject({ codec, encrypted, plainBytes: bytes });
          expect(Buffer.compare(open(stored, encrypted ? keys : undefined), plain)).toBe(0);
          if (encrypted && bytes >= 16) expect(Buffer.from(stored).indexOf(plain.subarray(0, 16))).toBe(-1);
        });
      }
    }
  }

  test("is the same for the same bytes and key, in any buffer", () => {
    for (const plain of [contents.text(100_000), contents.random(100_000)]) {
      const first = seal(plain, keys);
      expect(seal(plain, keys)).toEqual(first);
      const large = new Uint8Array(largeChunkBytes).fill(0xee);
      const sealed = sealChunk(plain, { keys, out: large.subarray(777) });
      expect(sealed.id).toBe(first.id);
      expect(Buffer.compare(sealed.stored, first.stored)).toBe(0);
      // Nothing is written beyond the chunk's own bytes.
      expect(large[776]).toBe(0xee);
      expect(large[777 + sealed.stored.length]).toBe(0xee);
    }
  });

  test("of another store is unrelated and does not open", async () => {
    for (const plain of [contents.text(5_000), contents.random(5_000), new Uint8Array(0)]) {
      const [mine, other, clear] = [seal(plain, keys), seal(plain, otherKeys), seal(plain, undefined)];
      expect(new Set([mine.id, other.id, clear.id]).size).toBe(3);
      const same = mine.stored.filter((byte, index) => index >= 16 && byte === other.stored[index]).length;
      expect(same).toBeLessThan(Math.max(8, mine.stored.length / 50));
      expect((await failureOf(() => open(other.stored, keys))).code).toBe("corrupt");
      expect((await failureOf(() => open(mine.stored, undefined))).code).toBe("permission_denied");
      expect(Buffer.compare(open(clear.stored, keys), plain)).toBe(0);
    }
  });

  test("changes everywhere with one bit of the content", () => {
    const plain = contents.random(5_000);
    const changed = Uint8Array.from(plain);
    changed[4_000] = (changed[4_000] ?? 0) ^ 1;
    const [one, two] = [seal(plain, keys), seal(changed, keys)];
    const same = one.stored.subarray(chunkHeaderBytes).filter((byte, index) => byte === two.stored[chunkHeaderBytes + index]).length;
    expect(same).toBeLessThan(100);
  });
});

describe("damage", () => {
  test("of any single bit is refused", async () => {
    for (const plain of [contents.random(40), contents.text(300)]) {
      const { stored } = seal(plain, keys);
      for (let bit = 0; bit < stored.length * 8; bit++) {
        const flipped = Uint8Array.from(stored);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        // A chunk of another format version is no damage that this program could tell.
        const codes = bit >> 3 === 4 ? ["unsupported"] : ["corrupt"];
        expect(codes).toContain((await failureOf(() => open(flipped, keys))).code);
      }
    }
  });

  test("of a length is refused", async () => {
    const { stored } = seal(contents.text(1_000), keys);
    for (const length of [0, 1, chunkHeaderBytes - 1, chunkHeaderBytes, chunkHeaderBytes + 15, stored.length - 1]) {
      expect((await failureOf(() => open(stored.subarray(0, length), keys))).code).toBe("corrupt");
    }
    const longer = new Uint8Array(stored.length + 1);
    longer.set(stored);
    expect((await failureOf(() => open(longer, keys))).code).toBe("corrupt");
  });

  test("in a chunk in the clear changes its id", () => {
    const { id, stored } = seal(contents.random(100), undefined);
    for (let at = 0; at < stored.length; at++) {
      const flipped = Uint8Array.from(stored);
      flipped[at] = (flipped[at] ?? 0) ^ 0x80;
      expect(hashChunk(flipped)).not.toBe(id);
    }
  });

  test("cannot make a chunk claim more than a chunk may have", async () => {
    const { stored } = seal(new Uint8Array(200), undefined);
    const claim = (plainBytes: number): Uint8Array => {
      const forged = Uint8Array.from(stored);
      new DataView(forged.buffer).setUint32(8, plainBytes);
      return forged;
    };
    for (const plainBytes of [largeChunkBytes + 1, 2 ** 32 - 1, 0, 199, 201, largeChunkBytes]) {
      expect((await failureOf(() => open(claim(plainBytes), undefined))).code).toBe("corrupt");
    }
  });
});
