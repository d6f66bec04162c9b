/** Publishing files: all or none, versions, quotas, and who wins. */
import { expect } from "bun:test";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import {
  collectAll,
  createStore,
  expectCode,
  fileCommit,
  makeDirectory,
  namesIn,
  newUpload,
  nodeNames,
  offerPieces,
  owner,
  piece,
  reclaimAll,
  writeFile,
  writeFiles,
} from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

async function chunksOf(metadata: MetadataStore, inode: Inode): Promise<string[]> {
  return (await metadata.extents(inode, { offset: 0, lengthBytes: 1_000_000, limit: 1_000 })).map((extent) => extent.chunk);
}

export function commitSuite(check: Check): void {
  publishing(check);
  refusing(check);
  racing(check);
  quotas(check);
}

function publishing(check: Check): void {
  check("creates and replaces a file under the same inode", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const created = await writeFile(metadata, store.inode, {
      parent: store.inode,
      name: "file",
      pieces: ["a:10", "b:5"],
      mode: 0o600,
      mtimeNs: -5n,
    });
    expect(created).toMatchObject({ type: "file", sizeBytes: 15, mode: 0o600, mtimeNs: -5n, version: 1, owner, store: store.inode });
    clock.nowMs += 1_000;
    const replaced = await writeFile(metadata, store.inode, {
      parent: store.inode,
      name: "file",
      pieces: ["c:7"],
      mode: 0o644,
      mtimeNs: 9n,
    });
    expect(replaced).toMatchObject({ inode: created.inode, sizeBytes: 7, mode: 0o644, mtimeNs: 9n, version: 2 });
    expect(replaced.ctimeNs).toBe(BigInt(clock.nowMs) * 1_000_000n);
    expect(await chunksOf(metadata, created.inode)).toEqual([piece("c:7").chunk]);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, logicalBytes: 7, chunks: 1 });
    expect((await collectAll(metadata)).get(nodeNames[0] ?? owner)?.sort()).toEqual([piece("a:10").chunk, piece("b:5").chunk].sort());
  });

  check("takes empty files, repeated chunks and files without end of names", async ({ metadata }) => {
    const store = await createStore(metadata);
    const { attrs } = await writeFiles(metadata, store.inode, [
      { parent: store.inode, name: "empty" },
      { parent: store.inode, name: "same", pieces: ["z:4", "z:4", "z:4"] },
      { parent: store.inode, name: "again", pieces: ["z:4"] },
    ]);
    expect(attrs.map((attr) => attr.sizeBytes)).toEqual([0, 12, 4]);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 3, chunks: 1, logicalBytes: 16, storedBytes: 68 });
    await metadata.remove({ parent: store.inode, name: "same" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    expect(await metadata.storeByName("media")).toMatchObject({ chunks: 1, storedBytes: 68 });
    expect(await collectAll(metadata)).toEqual(new Map());
  });

  check("tells how many chunks have too few copies", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { replicas: 2 });
    const files = [{ parent: store.inode, name: "file", pieces: ["a:1", "b:1"] }];
    expect((await writeFiles(metadata, store.inode, files, { nodes: nodeNames.slice(0, 1) })).degradedChunks).toBe(2);
    expect((await writeFiles(metadata, store.inode, files, { nodes: nodeNames.slice(0, 2) })).degradedChunks).toBe(0);
    expect(await metadata.totals([])).toEqual({ files: 1, chunks: 2, degradedChunks: 0, lostChunks: 0 });
  });

  check("publishes into several directories and stores at once", async ({ metadata }) => {
    const [one, two] = [await createStore(metadata, "one"), await createStore(metadata, "two")];
    const folder = await makeDirectory(metadata, two.inode, "folder");
    const upload = newUpload();
    await offerPieces(metadata, { upload, store: one.inode, pieces: ["a:1"] });
    await offerPieces(metadata, { upload, store: two.inode, pieces: ["a:1", "b:1"] });
    const chunks = [piece("a:1").chunk, piece("b:1").chunk];
    const files = [
      { parent: one.inode, name: "x", pieces: ["a:1"] },
      { parent: folder.inode, name: "y", pieces: ["a:1", "b:1"] },
      { parent: one.inode, name: "z", pieces: ["a:1"] },
    ].map(fileCommit);
    const { attrs } = await metadata.commit({ upload, files, confirmed: [{ node: nodeNames[1] ?? owner, chunks }], last: true, owner });
    expect(attrs.map((attr) => attr.store)).toEqual([one.inode, two.inode, one.inode]);
    expect(await metadata.totals([])).toMatchObject({ files: 3, chunks: 3 });
  });
}

function refusing(check: Check): void {
  check("publishes all files of a commit or none", async ({ metadata }) => {
    const store = await createStore(metadata);
    await makeDirectory(metadata, store.inode, "folder");
    const before = await writeFile(metadata, store.inode, { parent: store.inode, name: "old", pieces: ["old:3"] });
    const good = { parent: store.inode, name: "good", pieces: ["a:1"] };
    const replaced = { parent: store.inode, name: "old", pieces: ["a:1"] };
    const attempt = (bad: Parameters<typeof fileCommit>[0]) => writeFiles(metadata, store.inode, [good, replaced, bad]);
    await expectCode("is_a_directory", attempt({ parent: store.inode, name: "folder", pieces: ["a:1"] }));
    await expectCode("invalid_argument", attempt({ parent: store.inode, name: "short", pieces: ["a:1"], sizeBytes: 2 }));
    await expectCode("invalid_argument", attempt({ parent: store.inode, name: "long", pieces: ["a:1"], sizeBytes: 0 }));
    await expectCode("conflict", attempt({ parent: store.inode, name: "new", ifVersion: 1 }));
    await expectCode("not_a_directory", attempt({ parent: before.inode, name: "inside" }));
    await expectCode("invalid_argument", attempt({ parent: rootInode, name: "root-file" }));
    expect(await namesIn(metadata, store.inode)).toEqual(["folder", "old"]);
    expect((await metadata.resolve(["media", "old"])).attr).toEqual(before);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, chunks: 1, logicalBytes: 3 });
  });

  check("names no chunk that has no confirmed copy", async ({ metadata }) => {
    const store = await createStore(metadata);
    const other = await createStore(metadata, "other");
    const upload = newUpload();
    const commit = (pieces: readonly string[]) =>
      metadata.commit({ upload, files: [fileCommit({ parent: store.inode, name: "file", pieces })], confirmed: [], last: false, owner });
    await expectCode("conflict", commit(["never-announced:4"]));
    await offerPieces(metadata, { upload, store: store.inode, pieces: ["offered:4"] });
    await expectCode("conflict", commit(["offered:4"]));
    // A copy in another store is not one in this.
    await writeFile(metadata, other.inode, { parent: other.inode, name: "file", pieces: ["elsewhere:4"] });
    await expectCode("conflict", commit(["elsewhere:4"]));
    expect(await namesIn(metadata, store.inode)).toEqual([]);
    // Nor is a promise for a chunk that was never announced.
    const confirmed = [{ node: nodeNames[0] ?? owner, chunks: [piece("never-announced:4").chunk] }];
    const files = [fileCommit({ parent: store.inode, name: "file", pieces: ["never-announced:4"] })];
    await expectCode("conflict", metadata.commit({ upload, files, confirmed, last: false, owner }));
  });

  check("holds a commit to the version it is based on", async ({ metadata }) => {
    const store = await createStore(metadata);
    const at = (ifVersion: number | undefined, content: string) => {
      const place = { parent: store.inode, name: "file", pieces: [content] };
      return writeFile(metadata, store.inode, ifVersion === undefined ? place : { ...place, ifVersion });
    };
    await expectCode("conflict", at(1, "a:1"));
    expect((await at(0, "a:1")).version).toBe(1);
    await expectCode("already_exists", at(0, "b:1"));
    expect((await at(1, "b:2")).version).toBe(2);
    const stale = await expectCode("conflict", at(1, "c:3"));
    expect(stale.details).toMatchObject({ version: 2, expected: 1 });
    expect((await at(undefined, "d:4")).version).toBe(3);
    expect((await metadata.resolve(["media", "file"])).attr).toMatchObject({ sizeBytes: 4, version: 3 });
  });
}

function racing(check: Check): void {
  check("lets the last of many commits win whole", async ({ metadata }) => {
    const store = await createStore(metadata);
    const contents = Array.from({ length: 20 }, (_, writer) =>
      Array.from({ length: 4 }, (_, part) => `writer-${writer}-part-${part}:${writer + 1}`),
    );
    const attrs = await Promise.all(
      contents.map((pieces) => writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces })),
    );
    expect(attrs.map((attr) => attr.version).sort((a, b) => a - b)).toEqual(contents.map((_, index) => index + 1));
    const { attr } = await metadata.resolve(["media", "file"]);
    const winner = contents[attrs.findIndex(({ version }) => version === 20)] ?? [];
    expect(attr?.version).toBe(20);
    expect(await chunksOf(metadata, attr?.inode ?? rootInode)).toEqual(winner.map((text) => piece(text).chunk));
    expect(attr?.sizeBytes).toBe(winner.reduce((sum, text) => sum + piece(text).plainBytes, 0));
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, chunks: 4, logicalBytes: attr?.sizeBytes });
  });

  check("lets one of many commits on the same version through", async ({ metadata }) => {
    const store = await createStore(metadata);
    for (const ifVersion of [0, 1]) {
      const attempts = Array.from({ length: 8 }, (_, writer) =>
        writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: [`${ifVersion}-${writer}:3`], ifVersion }).then(
          () => "done" as const,
          (error: { code: string }) => error.code,
        ),
      );
      const outcomes = (await Promise.all(attempts)).sort();
      expect(outcomes).toEqual([...Array<string>(7).fill(ifVersion === 0 ? "already_exists" : "conflict"), "done"].sort());
    }
  });
}

function quotas(check: Check): void {
  check("keeps to the quota, counting what a commit replaces", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { quotaBytes: 100 });
    const write = (name: string, ...pieces: string[]) => writeFile(metadata, store.inode, { parent: store.inode, name, pieces });
    await write("one", "a:60");
    const error = await expectCode("quota_exceeded", write("two", "b:41"));
    expect(error.details).toMatchObject({ quotaBytes: 100, usedBytes: 60, neededBytes: 41 });
    await write("two", "b:40");
    await write("one", "c:60");
    await expectCode("quota_exceeded", write("one", "d:61"));
    await expectCode(
      "quota_exceeded",
      writeFiles(metadata, store.inode, [
        { parent: store.inode, name: "one", pieces: ["e:10"] },
        { parent: store.inode, name: "three", pieces: ["f:51"] },
      ]),
    );
    expect(await metadata.storeByName("media")).toMatchObject({ files: 2, logicalBytes: 100 });
    await metadata.remove({ parent: store.inode, name: "two" }, "file", { by: "dora" });
    await write("three", "g:40");
    // A quota below what is used lets files shrink and disappear, and nothing grow.
    await metadata.setStore("media", { quotaBytes: 10 });
    await write("one", "h:5");
    await expectCode("quota_exceeded", write("one", "i:6"));
    expect((await metadata.storeByName("media")).logicalBytes).toBe(45);
  });
}
