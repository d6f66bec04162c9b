/** Chunks kept on the disk of whoever reads them: never a wrong byte, never more than was allowed, and never needed. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChunkId } from "../../protocol/ids.ts";
import { kibibyte } from "../../protocol/limits.ts";
import { hashChunk } from "../../src/codec/sealed-chunk.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { createChunkFolder } from "../../src/vfs/chunk-folder.ts";
import { handClock } from "../support/pki.ts";

const hourMs = 3_600_000;
const random = createSeededRandom(7);
let folder = "";
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "collective-chunks-")), "chunks");
});
afterEach(() => rm(join(folder, ".."), { recursive: true, force: true }));

interface Sample {
  readonly id: ChunkId;
  readonly stored: Uint8Array;
}

function sample(bytes = 64 * kibibyte): Sample {
  const stored = random.bytes(bytes);
  return { id: hashChunk(stored), stored };
}

function open(bytesMax = 16 * 1024 * kibibyte, clock = handClock(1_000_000)) {
  const chunks = createChunkFolder({ folder, bytesMax, clock, random });
  const read = async ({ id, stored }: Sample): Promise<Uint8Array | undefined> => {
    const into = new Uint8Array(stored.length);
    return (await chunks.read(id, into)) ? into : undefined;
  };
  return { read, clock, keep: ({ id, stored }: Sample) => chunks.keep(id, stored) };
}

const pathOf = ({ id }: Sample) => join(folder, id.slice(0, 2), id);

async function bytesKept(): Promise<number> {
  let bytes = 0;
  for (const path of await readdir(folder, { recursive: true })) {
    const found = await stat(join(folder, path));
    if (found.isFile()) bytes += found.size;
  }
  return bytes;
}

describe("a folder of chunks", () => {
  test("gives what was kept, also to another mount and after a restart", async () => {
    const [one, other] = [sample(), sample(300)];
    const chunks = open();
    await chunks.keep(one);
    await open().keep(other);
    expect(await open().read(one)).toEqual(one.stored);
    expect(await chunks.read(other)).toEqual(other.stored);
    expect(await chunks.read(sample())).toBeUndefined();
  });

  test("is for nobody else", async () => {
    const one = sample();
    await open().keep(one);
    expect((await stat(pathOf(one))).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  test.each([
    ["cut short", (path: string) => truncate(path, 100)],
    ["longer", (path: string) => truncate(path, 65 * kibibyte)],
    ["other bytes of the same length", (path: string) => writeFile(path, random.bytes(64 * kibibyte))],
  ])("gives nothing that is damaged: %s", async (_, damage) => {
    const one = sample();
    const chunks = open();
    await chunks.keep(one);
    await damage(pathOf(one));
    expect(await chunks.read(one)).toBeUndefined();
    await chunks.keep(one);
    expect(await chunks.read(one)).toEqual(one.stored);
  });

  test("keeps to its limit, and what was used last", async () => {
    const bytesMax = 64 * 64 * kibibyte;
    const chunks = open(bytesMax);
    const all = Array.from({ length: 150 }, () => sample());
    const [first] = all as [Sample];
    for (const one of all) {
      chunks.clock.nowMs += 1_000;
      await chunks.keep(one);
      const now = new Date(chunks.clock.nowMs);
      await utimes(pathOf(one), now, now);
      expect(await chunks.read(first)).toEqual(first.stored);
      expect(await bytesKept()).toBeLessThanOrEqual(bytesMax);
    }
    expect(await chunks.read(all.at(-1) as Sample)).toBeDefined();
    expect(await chunks.read(all[1] as Sample)).toBeUndefined();
    expect(await bytesKept()).toBeGreaterThan(bytesMax / 2);
  });

  test("finds at its start what others have left, whole or not", async () => {
    const bytesMax = 64 * 64 * kibibyte;
    const before = open(4 * bytesMax);
    for (let count = 0; count < 100; count++) await before.keep(sample());
    const [old, young] = ["old.tmp", "young.tmp"].map((name) => join(folder, "00", name)) as [string, string];
    const seed = { id: "00".repeat(32) as ChunkId, stored: new Uint8Array(1) };
    await before.keep(seed);
    const clock = handClock(Date.now());
    for (const [path, ageMs] of [
      [old, 2 * hourMs],
      [young, 0],
    ] as const) {
      await writeFile(path, "partly");
      const then = new Date(clock.nowMs - ageMs);
      await utimes(path, then, then);
    }
    await open(bytesMax, clock).keep(sample());
    expect(await bytesKept()).toBeLessThanOrEqual(bytesMax);
    expect(await readdir(join(folder, "00"))).not.toContain("old.tmp");
    expect(await readdir(join(folder, "00"))).toContain("young.tmp");
  });

  test("that cannot be made is no error", async () => {
    await writeFile(folder, "a file is in the way");
    const one = sample();
    const chunks = open();
    await chunks.keep(one);
    expect(await chunks.read(one)).toBeUndefined();
  });
});
