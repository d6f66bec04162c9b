/** Files in and out through a coordinator and nodes, all real but for the disks. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseInode } from "../../protocol/ids.ts";
import { kibibyte, largeChunkBytes, mebibyte, smallChunkBytes } from "../../protocol/limits.ts";
import { type ContentVersion, defaultStorePolicy, type Store } from "../../protocol/schema.ts";
import { isSmallFile, readMany } from "../../src/client/read-many.ts";
import type { Remote } from "../../src/client/remote.ts";
import { bytesSource } from "../../src/client/sources.ts";
import { chunkBytesFor, mediumFileBytesMax } from "../../src/codec/chunker.ts";
import { content, ingestFile, ingestFiles, readContent, unknownLength } from "../support/content.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { expectCode, namesIn, owner } from "../support/metadata.ts";

let member: TestMember;
let remote: Remote;
let store: Store;

async function createStore(name: string, policy: Partial<Store["policy"]> = {}): Promise<Store> {
  return member.metadata.createStore({ name, policy: { ...defaultStorePolicy, replicas: 1, ...policy }, owner });
}

beforeAll(async () => {
  member = await startTestMember();
  for (const local of ["node-01", "node-02"]) await member.startNode(local);
  remote = member.remote();
  store = await createStore("media");
});
afterAll(() => member[Symbol.asyncDispose]());

async function layoutOf(inode: Parameters<typeof member.metadata.getAttr>[0]): Promise<string[]> {
  const extents = await member.metadata.extents(inode, { offset: 0, lengthBytes: Number.MAX_SAFE_INTEGER, limit: 10_000 });
  return extents.map((extent) => `${extent.chunk} ${extent.plainBytes}`);
}

const sizes = [
  0,
  1,
  smallChunkBytes - 1,
  smallChunkBytes,
  smallChunkBytes + 1,
  mebibyte - 1,
  mebibyte,
  mebibyte + 1,
  mediumFileBytesMax - 1,
  mediumFileBytesMax,
  mediumFileBytesMax + 1,
  mediumFileBytesMax + largeChunkBytes - 1,
  mediumFileBytesMax + largeChunkBytes,
  mediumFileBytesMax + largeChunkBytes + 1,
];

describe("a file", () => {
  for (const bytes of sizes) {
    test(`of ${bytes} bytes comes back, and is cut the same way when its length is not known before`, async () => {
      const plain = content(bytes, bytes);
      let progress = 0;
      const options = {
        onProgress: (done: number): void => {
          progress += done;
        },
      };
      const known = await ingestFile(remote, store, { name: `known-${bytes}`, source: plain }, options);
      expect(known.attr).toMatchObject({ sizeBytes: bytes, version: 1 });
      expect(known.totals).toMatchObject({ files: 1, plainBytes: bytes, degradedChunks: 0 });
      expect(progress).toBe(bytes);
      expect(Buffer.compare(await readContent(remote, known.attr.inode), plain)).toBe(0);
      const layout = await layoutOf(known.attr.inode);
      expect(layout).toHaveLength(Math.ceil(bytes / chunkBytesFor(bytes)));
      const stream = await ingestFile(remote, store, { name: `stream-${bytes}`, source: unknownLength(plain) });
      expect(await layoutOf(stream.attr.inode)).toEqual(layout);
      // All of it was there already.
      expect(stream.totals).toMatchObject({ plainBytes: bytes, sentBytes: 0 });
    });
  }

  test("of zeros or text takes less than it is long, and comes back", async () => {
    const text = new Uint8Array(Buffer.alloc(3 * mebibyte, "the same line again\n"));
    const { attr, totals } = await ingestFile(remote, store, { name: "text", source: text });
    expect(totals.sentBytes).toBeLessThan(text.length / 20);
    expect(Buffer.compare(await readContent(remote, attr.inode), text)).toBe(0);
  });

  test("is stored in the clear where the store says so, and only there", async () => {
    const clear = await createStore("clear", { encrypt: false });
    const plain = new Uint8Array(Buffer.from("a line that is easy to find in what a node holds, if it is there in the clear"));
    const stored = async (where: Store): Promise<boolean[]> => {
      const { attr } = await ingestFile(remote, where, { name: "line", source: plain });
      expect(Buffer.compare(await readContent(remote, attr.inode), plain)).toBe(0);
      const [extent] = await member.metadata.extents(attr.inode, { offset: 0, lengthBytes: 1, limit: 1 });
      const holder = member.nodes().find((node) => node.name === extent?.copies[0]?.node);
      const bytes = extent && (await holder?.store.get(extent.chunk));
      return [Buffer.from(bytes ?? []).includes("easy to find")];
    };
    expect(await stored(clear)).toEqual([true]);
    expect(await stored(store)).toEqual([false]);
  });

  test("is replaced whole, and every write counts a version", async () => {
    for (const [index, bytes] of [2 * mebibyte, 10, 0, 100_000].entries()) {
      const plain = content(bytes, 77 + index);
      const { attr } = await ingestFile(remote, store, { name: "again", source: plain });
      expect(attr.version).toBe(index + 1);
      expect(Buffer.compare(await readContent(remote, attr.inode, { ifVersion: index + 1 }), plain)).toBe(0);
      await expectCode("conflict", readContent(remote, attr.inode, { ifVersion: index + 2 }));
    }
  });
});

describe("a range", () => {
  test("comes back exactly, wherever it begins and ends", async () => {
    const plain = content(5 * mebibyte + 333, 9);
    const { attr } = await ingestFile(remote, store, { name: "ranges", source: plain });
    const edges = [
      0,
      1,
      1_000,
      mebibyte - 1,
      mebibyte,
      mebibyte + 1,
      3 * mebibyte,
      plain.length - 1,
      plain.length,
      plain.length + 1,
      plain.length * 2,
    ];
    for (const offset of edges) {
      for (const lengthBytes of [0, 1, 500, mebibyte, mebibyte + 1, plain.length, Number.MAX_SAFE_INTEGER]) {
        const got = await readContent(remote, attr.inode, { offset, lengthBytes });
        expect(Buffer.compare(got, plain.subarray(offset, Math.min(plain.length, offset + lengthBytes)))).toBe(0);
      }
    }
  });

  test("of what is no file is an error", async () => {
    await expectCode("is_a_directory", readContent(remote, store.inode));
    await expectCode("not_found", readContent(remote, parseInode(999_999)));
  });
});

describe("many files", () => {
  test("come in and go out by the batch", async () => {
    const folder = await createStore("many", { replicas: 2 });
    const files = Array.from({ length: 300 }, (_, index) => ({
      name: `file-${index}`,
      source: content(index % 7 === 0 ? 0 : 100 + (index % 50) * 13, index % 200),
    }));
    const { attrs, totals } = await ingestFiles(remote, folder, files);
    expect(totals).toMatchObject({ files: 300, degradedChunks: 0 });
    expect(attrs.every(isSmallFile)).toBe(true);
    for (let at = 0; at < 300; at += 128) {
      const contents = await readMany(remote, attrs.slice(at, at + 128));
      for (const [index, bytes] of contents.entries())
        expect(Buffer.compare(bytes, files[at + index]?.source ?? new Uint8Array(1))).toBe(0);
    }
    const { files: count, degradedChunks } = await member.metadata.storeByName("many");
    expect({ count, degradedChunks }).toEqual({ count: 300, degradedChunks: 0 });
  });

  test("of all sizes come in together", async () => {
    const folder = await createStore("mixed");
    const files = [10, 0, mebibyte, 64 * kibibyte, 3 * mebibyte, 1, 9 * mebibyte, 200_000, 5].map((bytes, index) => ({
      name: `f${index}`,
      source: content(bytes, 500 + index),
    }));
    const { attrs } = await ingestFiles(remote, folder, files);
    for (const [index, attr] of attrs.entries())
      expect(Buffer.compare(await readContent(remote, attr.inode), files[index]?.source ?? new Uint8Array(1))).toBe(0);
    expect(await namesIn(member.metadata, folder.inode)).toEqual(files.map((file) => file.name));
  });

  test("are read as they were listed, or not at all", async () => {
    const { attr } = await ingestFile(remote, store, { name: "listed", source: content(100, 1) });
    await ingestFile(remote, store, { name: "listed", source: content(100, 2) });
    await expectCode("conflict", readMany(remote, [attr]));
  });

  test("that are small but lie in several chunks are read whole", async () => {
    const parts = [content(10, 31), content(20, 32), content(30, 33)];
    const singles = await ingestFiles(
      remote,
      store,
      parts.map((source, index) => ({ name: `part-${index}`, source })),
    );
    const extents = await Promise.all(
      singles.attrs.map(async (attr) => (await member.metadata.extents(attr.inode, { offset: 0, lengthBytes: 100, limit: 1 }))[0]),
    );
    const pieces = extents.flatMap((extent) => (extent ? [{ chunk: extent.chunk, plainBytes: extent.plainBytes }] : []));
    const file = { parent: store.inode, name: "in-pieces", mode: 0o644, mtimeNs: 0n, sizeBytes: 60, extents: pieces };
    const { attrs } = await member.metadata.commit({ upload: "an-upload-in-pieces", files: [file], confirmed: [], last: true, owner });
    const whole = Buffer.concat(parts);
    const [attr] = attrs;
    if (!attr) throw new Error("nothing was committed");
    expect(Buffer.compare(await readContent(remote, attr.inode), whole)).toBe(0);
    const [read] = await readMany(remote, [attr]);
    expect(Buffer.compare(read ?? new Uint8Array(0), whole)).toBe(0);
  });
});

describe("writers", () => {
  test("of one file never mix, and who asks for a version gets it or nothing", async () => {
    const contents = Array.from({ length: 4 }, (_, index) => content(2 * mebibyte + index, 900 + index));
    await Promise.all(contents.map((source) => ingestFile(member.remote(), store, { name: "contended", source })));
    const { attr } = await member.metadata.resolve(["media", "contended"]);
    if (!attr) throw new Error("the file is missing");
    expect(attr.version).toBe(4);
    const winner = await readContent(remote, attr.inode);
    expect(contents.some((one) => Buffer.compare(one, winner) === 0)).toBe(true);
    const replacing = (replaces: ContentVersion | null) =>
      ingestFile(remote, store, { name: "contended", source: content(10, 1), replaces });
    await expectCode("conflict", replacing({ inode: attr.inode, version: 3 }));
    await expectCode("already_exists", replacing(null));
    expect(Buffer.compare(await readContent(remote, attr.inode), winner)).toBe(0);
    expect((await replacing({ inode: attr.inode, version: 4 })).attr.version).toBe(5);
  });

  test("that fail leave nothing behind under the name", async () => {
    const broken = { sizeBytes: 3 * mebibyte, read: () => Promise.reject(new Error("the disk is gone")) };
    await expect(ingestFile(remote, store, { name: "broken", source: broken })).rejects.toThrow("the disk is gone");
    let given = 0;
    const half = {
      sizeBytes: 6 * mebibyte,
      read: async (into: Uint8Array) => {
        if (given++ > 2) throw new Error("half-way");
        return into.length;
      },
    };
    await expect(ingestFile(remote, store, { name: "half", source: half })).rejects.toThrow("half-way");
    await expectCode("not_found", ingestFile(remote, store, { name: "x", source: content(10, 4), parent: parseInode(999_999) }));
    const small = await createStore("small", { quotaBytes: 100_000 });
    await expectCode("quota_exceeded", ingestFile(remote, small, { name: "large", source: content(100_001, 5) }));
    await ingestFile(remote, small, { name: "fits", source: content(100_000, 6) });
    expect(await namesIn(member.metadata, small.inode)).toEqual(["fits"]);
    const names = await namesIn(member.metadata, store.inode);
    expect(names.filter((name) => ["broken", "half", "x"].includes(name))).toEqual([]);
  });

  test("of a source that ends early or says nothing of its end store what there was", async () => {
    const plain = content(100_000, 8);
    const short = { ...bytesSource(plain), sizeBytes: 200_000 };
    const { attr } = await ingestFile(remote, store, { name: "short", source: short });
    expect(attr.sizeBytes).toBe(100_000);
    expect(Buffer.compare(await readContent(remote, attr.inode), plain)).toBe(0);
  });
});

describe("who gives up", () => {
  test("while writing leaves the old content in place", async () => {
    const before = content(300_000, 20);
    const { attr } = await ingestFile(remote, store, { name: "kept", source: before });
    for (const after of [1, 3 * mebibyte, 11 * mebibyte]) {
      const stop = new AbortController();
      let read = 0;
      const onProgress = (bytes: number): void => {
        read += bytes;
        if (read >= after) stop.abort();
      };
      await expectCode(
        "cancelled",
        ingestFile(remote, store, { name: "kept", source: content(20 * mebibyte, 21) }, { signal: stop.signal, onProgress }),
      );
      expect(await member.metadata.getAttr(attr.inode)).toEqual(attr);
    }
    expect(Buffer.compare(await readContent(remote, attr.inode), before)).toBe(0);
  });

  test("while reading gets no more", async () => {
    const { attr } = await ingestFile(remote, store, { name: "stopped", source: content(12 * mebibyte, 22) });
    const aborted = new AbortController();
    aborted.abort();
    await expectCode("cancelled", readContent(remote, attr.inode, {}, aborted.signal));
    const stop = new AbortController();
    const reading = readContent(remote, attr.inode, {}, stop.signal);
    queueMicrotask(() => stop.abort());
    await expectCode("cancelled", reading);
    expect((await readContent(remote, attr.inode)).length).toBe(12 * mebibyte);
  });
});
