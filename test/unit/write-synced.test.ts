import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomFillSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSyncedWriter } from "../../src/chunk/write-synced.ts";
import { directBlockBytes } from "../../src/core/direct-io.ts";

const mebibyte = 1024 * 1024;
let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "collective-write-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A view of `bytes` random bytes that begins `offset` bytes into a buffer with `rest` more behind it. */
function randomView(bytes: number, { offset = 0, rest = 0 } = {}): Uint8Array {
  return randomFillSync(new Uint8Array(offset + bytes + rest)).subarray(offset, offset + bytes);
}

describe("what is written is what is read, whole and no longer", () => {
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ["a few bytes", randomView(10)],
    ["a whole number of blocks", randomView(mebibyte)],
    ["a rest in a buffer with room behind it", randomView(mebibyte + 64, { rest: directBlockBytes })],
    ["a rest in a buffer without room", randomView(mebibyte + 64)],
    ["an address that is not aligned", randomView(mebibyte, { offset: 48, rest: directBlockBytes })],
    ["one byte less than a block", randomView(mebibyte - 1, { rest: 1 })],
  ];
  for (const [name, data] of cases) {
    test(name, async () => {
      const path = join(dir, name);
      const writer = createSyncedWriter();
      await writer.write(path, data);
      expect(Buffer.compare(await readFile(path), data)).toBe(0);
    });
  }

  test("a shorter content replaces a longer one", async () => {
    const path = join(dir, "replaced");
    const writer = createSyncedWriter();
    await writer.write(path, randomView(2 * mebibyte));
    await writer.write(path, randomView(mebibyte + 1, { rest: directBlockBytes }));
    expect((await stat(path)).size).toBe(mebibyte + 1);
  });
});

test.skipIf(!existsSync("/dev/shm"))("a file system without direct writes is written all the same", async () => {
  const path = join("/dev/shm", `collective-write-${process.pid}`);
  const data = randomView(mebibyte + 64, { rest: directBlockBytes });
  try {
    await createSyncedWriter().write(path, data);
    expect(Buffer.compare(await readFile(path), data)).toBe(0);
  } finally {
    await rm(path, { force: true });
  }
});
