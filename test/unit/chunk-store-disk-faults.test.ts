/** What a disk does to chunks that were stored on it, and what a crash leaves behind. */
import { describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChunkId, parseChunkId } from "../../protocol/ids.ts";
import { gibibyte, inlineStoredBytesMax, mebibyte } from "../../protocol/limits.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { failure, testChunk } from "../conformance/chunk-store.ts";
import { type DiskStoreOptions, openDiskStore } from "../support/disk-store.ts";

interface Folder extends Disposable {
  readonly dir: string;
  open(options?: DiskStoreOptions): Promise<ChunkStore>;
  fileOf(id: ChunkId): string;
  /** Files of the chunk tree, quarantine and temporaries. */
  files(): string[];
}

function folder(parent = tmpdir()): Folder {
  const dir = mkdtempSync(join(parent, "chunks-"));
  return {
    dir,
    open: (options) => openDiskStore(dir, options),
    fileOf: (id) => join(dir, "chunks", id.slice(0, 2), id.slice(2, 4), id),
    files: () => readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) => /\/[^/]{3,}$/.test(name)),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** The folder as it would be found after `kill -9` at this moment. */
function crashed(of: Folder): Folder {
  const copy = folder();
  cpSync(of.dir, copy.dir, { recursive: true, filter: (path) => !path.endsWith(".lock") && !path.endsWith("-shm") });
  return copy;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error("it should have happened by now");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const large = testChunk(inlineStoredBytesMax + 1, 1);
const other = testChunk(mebibyte, 2);
const small = testChunk(1_000, 3);

function moveTo(path: string, bytes: Uint8Array): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, bytes);
}

describe("disk chunk store: what the disk does", () => {
  for (const [name, harm] of [
    ["cut short", (path: string) => truncateSync(path, 1_000)],
    ["emptied", (path: string) => truncateSync(path, 0)],
    ["longer than it was", (path: string) => writeFileSync(path, new Uint8Array(10_000), { flag: "a" })],
  ] as const) {
    test(`a file that is ${name} is corrupt, even unverified, and put aside`, async () => {
      using at = folder();
      const store = await at.open();
      await store.put(large.id, large.data);
      harm(at.fileOf(large.id));
      expect((await failure(store.get(large.id, { verify: false }))).code).toBe("corrupt");
      expect(at.files()).toEqual([`quarantine/${large.id}`]);
      await store.put(large.id, large.data);
      expect(at.files()).toEqual([`chunks/${large.id.slice(0, 2)}/${large.id.slice(2, 4)}/${large.id}`]);
      await store.close();
    });
  }

  test("a file that is gone is not found, and can be stored again", async () => {
    using at = folder();
    const store = await at.open();
    await store.putMany([large, other]);
    unlinkSync(at.fileOf(large.id));
    unlinkSync(at.fileOf(other.id));
    await store.put(other.id, other.data);
    expect(await store.verify([other.id])).toEqual(["ok"]);
    expect((await failure(store.get(large.id))).code).toBe("not_found");
    expect(store.usage()).toMatchObject({ usedBytes: other.data.length, chunkCount: 1 });
    await store.close();
  });

  test("where a large chunk lies can be told, where a small one lies cannot", async () => {
    using at = folder();
    const store = await at.open();
    await store.putMany([large, small]);
    expect(store.locate(large.id)).toEqual({ path: at.fileOf(large.id), bytes: large.data.length });
    expect(store.locate(small.id)).toBeUndefined();
    await store.close();
  });

  test("space of deleted small chunks goes back to the disk", async () => {
    using at = folder();
    const store = await at.open();
    const chunks = Array.from({ length: 400 }, (_, i) => testChunk(60_000, i));
    await store.putMany(chunks);
    await store.delete(chunks.map(({ id }) => id));
    await until(() => statSync(join(at.dir, "chunks.db")).size < 4 * mebibyte);
    await store.close();
  });

  test("what the disk has left limits what is said to be free", async () => {
    using at = folder();
    let freeBytes = 100 * mebibyte;
    const store = await at.open({ diskFreeBytes: () => freeBytes });
    expect(store.usage().freeBytes).toBeLessThan(100 * mebibyte);
    freeBytes = 1_000;
    expect(store.usage().freeBytes).toBe(0);
    expect(await failure(store.put(large.id, large.data))).toMatchObject({ code: "no_space", details: { neededBytes: large.data.length } });
    expect(at.files()).toEqual([]);
    await store.close();
  });
});

describe("disk chunk store: restart", () => {
  test("keeps everything, quarantine included", async () => {
    using at = folder();
    let store = await at.open();
    await store.putMany([large, other, small]);
    truncateSync(at.fileOf(other.id), 5);
    await store.verify([other.id]);
    const usage = store.usage();
    await store.close();
    store = await at.open();
    expect({ ...store.usage(), freeBytes: 0 }).toEqual({ ...usage, freeBytes: 0 });
    expect(await store.verify([large.id, other.id, small.id])).toEqual(["ok", "damaged", "ok"]);
    await store.close();
  });

  test("the folder belongs to one process", async () => {
    using at = folder();
    const store = await at.open();
    expect((await failure(at.open())).code).toBe("conflict");
    await store.put(small.id, small.data);
    await store.close();
  });

  test("a damaged index is refused, and the chunks stay", async () => {
    using at = folder();
    const store = await at.open();
    await store.putMany([large, small]);
    await store.close();
    truncateSync(join(at.dir, "chunks.db"), 5_000);
    expect((await failure(at.open())).code).toBe("corrupt");
    rmSync(join(at.dir, "chunks.db"));
    const rebuilt = await at.open();
    expect(await rebuilt.has([large.id, small.id])).toEqual([true, false]);
    await rebuilt.close();
  });

  test("after a crash: temporaries go, files get rows, rows without files go", async () => {
    using at = folder();
    const store = await at.open();
    await store.putMany([large, other, small]);
    using after = crashed(at);
    await store.close();
    const unknown = testChunk(100_000, 4);
    moveTo(after.fileOf(unknown.id), unknown.data);
    moveTo(join(after.dir, "incoming", unknown.id), unknown.data.subarray(5));
    writeFileSync(join(after.dir, "chunks", "README"), "not ours");
    unlinkSync(after.fileOf(other.id));

    const recovered = await after.open();
    expect(await recovered.verify([large.id, other.id, small.id, unknown.id])).toEqual(["ok", "missing", "ok", "ok"]);
    expect(recovered.usage()).toMatchObject({
      usedBytes: large.data.length + small.data.length + unknown.data.length,
      chunkCount: 3,
      quarantinedCount: 0,
    });
    expect(readdirSync(join(after.dir, "incoming"))).toEqual([]);
    expect(existsSync(join(after.dir, "chunks", "README"))).toBe(true);
    await recovered.close();
  });

  test("after a crash in the middle of putting aside or replacing: tree and quarantine decide", async () => {
    using at = folder();
    const store = await at.open();
    await store.putMany([large, other]);
    using after = crashed(at);
    await store.close();
    const [halfAside, replaced, alien, impossible] = [large, other, testChunk(70_000, 5), testChunk(70_001, 6)];
    // Moved, but the row not changed yet.
    unlinkSync(after.fileOf(halfAside.id));
    moveTo(join(after.dir, "quarantine", halfAside.id), halfAside.data.subarray(1));
    // A good copy is in place, the bad one not yet removed.
    moveTo(join(after.dir, "quarantine", replaced.id), replaced.data.subarray(1));
    moveTo(join(after.dir, "quarantine", alien.id), alien.data);
    moveTo(after.fileOf(impossible.id), new Uint8Array(0));

    const recovered = await after.open();
    expect(await recovered.verify([halfAside.id, replaced.id, alien.id, impossible.id])).toEqual(["damaged", "ok", "damaged", "damaged"]);
    expect(readdirSync(join(after.dir, "quarantine")).sort()).toEqual([halfAside.id, alien.id, impossible.id].sort());
    expect(recovered.usage()).toMatchObject({ chunkCount: 1, quarantinedCount: 3 });
    await recovered.close();
  });

  test("whatever was acknowledged survives kill -9, and nothing is left over", async () => {
    using at = folder();
    const kept = new Set<ChunkId>();
    const perhaps = new Set<ChunkId>();
    for (let life = 0; life < 4; life++) {
      const script = join(import.meta.dir, "chunk-store-writer.ts");
      const child = Bun.spawn([process.execPath, script, at.dir, String(life)], { stdout: "pipe", stderr: "inherit" });
      let output = "";
      for await (const part of child.stdout) {
        output += new TextDecoder().decode(part);
        if (output.length > 3_000 + life * 5_000) child.kill("SIGKILL");
      }
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      for (const line of output.slice(0, output.lastIndexOf("\n")).split("\n")) {
        const id = parseChunkId(line.slice(1));
        if (line.startsWith("+")) kept.add(id);
        else if (kept.delete(id)) perhaps.add(id);
      }
      const store = await at.open();
      const ids = [...kept];
      const outcomes = await store.verify(ids);
      expect(ids.filter((_, i) => outcomes[i] !== "ok")).toEqual([]);
      expect((await store.verify([...perhaps])).filter((outcome) => outcome === "damaged")).toEqual([]);
      const listed = await store.list({ limit: 100_000 });
      expect(store.usage()).toMatchObject({
        usedBytes: listed.reduce((sum, { bytes }) => sum + bytes, 0),
        chunkCount: listed.length,
        quarantinedCount: 0,
      });
      expect(at.files()).toHaveLength(listed.filter(({ bytes }) => bytes > inlineStoredBytesMax).length);
      await store.close();
    }
    expect(kept.size).toBeGreaterThan(200);
  });
});

/** A disk that is really small. Undefined where this user cannot mount one. */
function smallDisk(megabytes: number): ({ readonly path: string; grow(megabytes: number): void } & Disposable) | undefined {
  const path = mkdtempSync(join(tmpdir(), "small-disk-"));
  const mounted =
    process.platform === "linux" && Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path]).success;
  const remove = () => rmSync(path, { recursive: true, force: true });
  if (mounted) {
    return {
      path,
      grow: (more) => void Bun.spawnSync(["mount", "-o", `remount,size=${more}m`, path]),
      [Symbol.dispose]() {
        Bun.spawnSync(["umount", "-l", path]);
        remove();
      },
    };
  }
  remove();
  return undefined;
}

const canMount = (() => {
  using disk = smallDisk(1);
  return disk !== undefined;
})();

describe.skipIf(!canMount)("disk chunk store: a full disk (needs the right to mount a tmpfs)", () => {
  const liar = { diskFreeBytes: () => gibibyte };

  for (const [name, bytes] of [
    ["small", 60_000],
    ["large", mebibyte],
  ] as const) {
    for (const [kind, options] of [
      ["a disk that says so", {}],
      ["a disk that says it is not", liar],
    ] as const) {
      test(`${name} chunks on ${kind}: no_space, what was acknowledged stays, deleting makes room`, async () => {
        using disk = smallDisk(24);
        if (!disk) throw new Error("no small disk");
        using at = folder(disk.path);
        const store = await at.open(options);
        const chunks = Array.from({ length: Math.ceil((30 * mebibyte) / bytes) }, (_, i) => testChunk(bytes, i));
        const results = await Promise.allSettled(chunks.map(({ id, data }) => store.put(id, data)));
        const stored = chunks.filter((_, i) => results[i]?.status === "fulfilled").map(({ id }) => id);
        expect(stored.length).toBeGreaterThan(0);
        for (const result of results) if (result.status === "rejected") expect(result.reason.code).toBe("no_space");
        expect(stored.length).toBeLessThan(chunks.length);
        expect((await store.verify(stored)).filter((outcome) => outcome !== "ok")).toEqual([]);
        expect(store.usage()).toMatchObject({ usedBytes: stored.length * bytes, chunkCount: stored.length });
        expect(at.files()).toHaveLength(name === "large" ? stored.length : 0);
        // Rows cannot be deleted where not one more byte can be written. That takes a disk that has told lies.
        if (options === liar && name === "small") disk.grow(48);
        await store.delete(stored.slice(0, stored.length >> 1));
        const [first] = chunks;
        await until(() => store.usage().freeBytes > bytes);
        if (first) await store.put(first.id, first.data);
        await store.close();
        const again = await at.open();
        expect(again.usage().chunkCount).toBe(stored.length - (stored.length >> 1) + 1);
        await again.close();
      });
    }
  }
});
