import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomFillSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTargetFile } from "../../src/client/target-file.ts";

const mebibyte = 1024 * 1024;
let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "collective-target-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A view of random bytes that begins `offset` bytes into its buffer. */
function randomView(bytes: number, offset = 0): Uint8Array {
  return randomFillSync(new Uint8Array(offset + bytes)).subarray(offset);
}

/** So large that it is written past the page cache, as far as the pieces allow. */
const sizeBytes = 1024 * mebibyte;

async function fill(path: string, pieces: readonly Uint8Array[], startBytes = 0): Promise<void> {
  const file = await openTargetFile(path, { sizeBytes, keep: startBytes > 0, mode: 0o600 });
  let at = startBytes;
  try {
    for (const piece of pieces) {
      await file.write(piece, at);
      at += piece.length;
      // What was handed over is in the file, whatever becomes of the buffer.
      const kept = await readFile(path);
      expect(kept.length).toBe(at);
    }
  } finally {
    await file.close();
  }
}

describe("what is written is what is read", () => {
  const cases: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ["whole blocks", [randomView(mebibyte), randomView(mebibyte)]],
    ["a last piece that ends inside a block", [randomView(mebibyte), randomView(mebibyte + 4097)]],
    ["a last piece shorter than a block", [randomView(mebibyte), randomView(100)]],
    ["memory that is not aligned", [randomView(mebibyte, 48), randomView(mebibyte), randomView(mebibyte, 4096)]],
    ["pieces that begin inside a block", [randomView(1000), randomView(mebibyte), randomView(mebibyte - 1000), randomView(mebibyte)]],
    ["an empty piece", [randomView(mebibyte), new Uint8Array(0), randomView(8192)]],
  ];
  for (const [name, pieces] of cases) {
    test(name, async () => {
      const path = join(dir, name);
      await fill(path, pieces);
      expect(Buffer.compare(await readFile(path), Buffer.concat(pieces))).toBe(0);
    });
  }

  test("a file that is gone on with keeps what it has", async () => {
    const path = join(dir, "resumed");
    const [first, second] = [randomView(mebibyte), randomView(mebibyte + 5)];
    await writeFile(path, first);
    await fill(path, [second], first.length);
    expect(Buffer.compare(await readFile(path), Buffer.concat([first, second]))).toBe(0);
  });

  test("a file that is begun anew keeps nothing", async () => {
    const path = join(dir, "anew");
    const piece = randomView(8192);
    await writeFile(path, randomView(mebibyte));
    await fill(path, [piece]);
    expect(Buffer.compare(await readFile(path), piece)).toBe(0);
  });
});

test.skipIf(!existsSync("/dev/shm"))("a file system of memory is written all the same", async () => {
  const path = join("/dev/shm", `collective-target-${process.pid}`);
  const pieces = [randomView(mebibyte), randomView(mebibyte + 64)];
  try {
    await fill(path, pieces);
    expect(Buffer.compare(await readFile(path), Buffer.concat(pieces))).toBe(0);
  } finally {
    await rm(path, { force: true });
  }
});
