/** Publishing files: all or none, versions, quotas, and who wins. */
import { expect } from "bun:test";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { requestRememberedMs } from "../../protocol/limits.ts";
import { requestSlot } from "../../protocol/request-id.ts";
import { type ContentVersion, defaultStorePolicy } from "../../protocol/schema.ts";
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
  repeating(check);
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

  check("believes when a file was written between its last change and now", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const file = { parent: store.inode, name: "file", pieces: ["a:10"], mode: 0o600, mtimeNs: 1n };
    const created = await writeFile(metadata, store.inode, file);
    clock.nowMs += 1_000;
    const nowNs = BigInt(clock.nowMs) * 1_000_000n;
    const changed = async (changedNs: bigint) => (await writeFile(metadata, store.inode, { ...file, changedNs })).ctimeNs;
    expect(await changed(created.ctimeNs - 1n)).toBe(created.ctimeNs);
    expect(await changed(nowNs - 5n)).toBe(nowNs - 5n);
    expect(await changed(nowNs - 6n)).toBe(nowNs - 5n);
    expect(await changed(nowNs + 1n)).toBe(nowNs);
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
    await expectCode("conflict", attempt({ parent: store.inode, name: "new", replaces: { inode: before.inode, version: 1 } }));
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

  check("holds a commit to the content it is based on", async ({ metadata }) => {
    const store = await createStore(metadata);
    const at = (replaces: ContentVersion | null | undefined, content: string) => {
      const place = { parent: store.inode, name: "file", pieces: [content] };
      return writeFile(metadata, store.inode, replaces === undefined ? place : { ...place, replaces });
    };
    await expectCode("conflict", at({ inode: store.inode, version: 1 }, "a:1"));
    const first = await at(null, "a:1");
    expect(first.version).toBe(1);
    await expectCode("already_exists", at(null, "b:1"));
    expect((await at(first, "b:2")).version).toBe(2);
    const stale = await expectCode("conflict", at(first, "c:3"));
    expect(stale.details).toMatchObject({ found: { version: 2 }, expected: { version: 1 } });
    expect((await at(undefined, "d:4")).version).toBe(3);
    expect((await metadata.resolve(["media", "file"])).attr).toMatchObject({ sizeBytes: 4, version: 3 });
  });

  check("takes no other file for the one that a commit is based on, whatever its version", async ({ metadata }) => {
    const store = await createStore(metadata);
    const place = { parent: store.inode, name: "file" };
    const old = await writeFile(metadata, store.inode, { ...place, pieces: ["a:1"] });
    const based = () => writeFile(metadata, store.inode, { ...place, pieces: ["based-on-a:2"], replaces: old });
    await metadata.remove(place, "file", { by: owner });
    await expectCode("conflict", based());
    const again = await writeFile(metadata, store.inode, { ...place, pieces: ["b:1"] });
    expect(again.version).toBe(old.version);
    await expectCode("conflict", based());
    const moved = await writeFile(metadata, store.inode, { ...place, name: "other", pieces: ["c:1"] });
    await metadata.rename({ ...place, name: "other" }, place, { replace: true });
    await expectCode("conflict", based());
    expect((await metadata.resolve(["media", "file"])).attr).toEqual(moved);
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
    for (const round of [0, 1]) {
      const replaces = (await metadata.resolve(["media", "file"])).attr;
      const attempts = Array.from({ length: 8 }, (_, writer) =>
        writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: [`${round}-${writer}:3`], replaces }).then(
          () => "done" as const,
          (error: { code: string }) => error.code,
        ),
      );
      const outcomes = (await Promise.all(attempts)).sort();
      expect(outcomes).toEqual([...Array<string>(7).fill(round === 0 ? "already_exists" : "conflict"), "done"].sort());
    }
  });
}

function quotas(check: Check): void {
  check("keeps to the quota, counting what a commit replaces", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { quotaBytes: 100 });
    const write = (name: string, ...pieces: string[]) => writeFile(metadata, store.inode, { parent: store.inode, name, pieces });
    await write("one", "a:60");
    const error = await expectCode("quota_exceeded", write("two", "b:41"));
    expect(error.details).toEqual({ quotaBytes: 100, neededBytes: 41 });
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

let slots = 0;

/** Of a client that nobody has heard of yet. */
function newRequest() {
  return { caller: owner, slot: requestSlot(new Uint8Array(16).fill(++slots)), number: 1 };
}

/** What a client does that has not got the answer. */
function repeating(check: Check): void {
  for (const last of [false, true]) {
    check(
      `publishes once what is committed twice under one id${last ? ", at the end of its upload too" : ""}`,
      async ({ metadata, clock }) => {
        const store = await createStore(metadata);
        const upload = newUpload();
        await offerPieces(metadata, { upload, store: store.inode, pieces: ["a:10"] });
        const place = { parent: store.inode, name: "file", pieces: ["a:10"] };
        const confirmed = [{ node: nodeNames[0] ?? owner, chunks: [piece("a:10").chunk] }];
        const files = [fileCommit({ ...place, replaces: null }), fileCommit({ ...place, name: "other" })];
        const request = newRequest();
        const commit = () => metadata.once(request).commit({ upload, files, confirmed, last, owner });
        const answer = await commit();
        expect(answer).toMatchObject({ degradedChunks: 0, attrs: [{ version: 1, sizeBytes: 10 }, { version: 1 }] });
        clock.nowMs += 20_000;
        expect(await Promise.all([commit(), commit()])).toEqual([answer, answer]);
        expect((await metadata.resolve(["media", "file"])).attr).toEqual(answer.attrs[0] ?? null);
        // Somebody else's commit in between stays.
        const later = await writeFile(metadata, store.inode, { ...place, pieces: ["b:3"] });
        expect(await commit()).toEqual(answer);
        expect((await metadata.resolve(["media", "file"])).attr).toEqual(later);
      },
    );
  }

  check("makes, moves and removes once what is asked for twice", async ({ metadata }) => {
    const twice = async <T>(change: (once: ReturnType<MetadataStore["once"]>) => Promise<T>): Promise<T> => {
      const request = newRequest();
      const answer = await change(metadata.once(request));
      expect(await change(metadata.once(request))).toEqual(answer);
      return answer;
    };
    const store = await twice((once) => once.createStore({ name: "media", policy: defaultStorePolicy, owner }));
    const at = (name: string) => ({ parent: store.inode, name });
    const [made] = await twice((once) => once.makeDirectories([{ ...at("folder"), mode: 0o755 }], { existing: "fail", owner }));
    expect(made).toMatchObject({ type: "directory", mode: 0o755 });
    const file = await writeFile(metadata, store.inode, { ...at("file"), pieces: ["a:1"] });
    const copy = await twice((once) => once.clone(file.inode, at("copy"), { replace: false, owner }));
    expect(copy.inode).not.toBe(file.inode);
    await twice((once) => once.rename(at("copy"), at("moved"), { replace: false }));
    await twice((once) => once.remove(at("file"), "file", { by: owner }));
    expect(await namesIn(metadata, store.inode)).toEqual(["folder", "moved"]);
    expect(await twice((once) => once.removeStore("media", { by: owner }))).toMatchObject({ files: 1, directories: 2, logicalBytes: 1 });
    expect(await metadata.listStores()).toEqual([]);
  });

  check("makes a change that failed before, and one of another id", async ({ metadata }) => {
    const store = await createStore(metadata);
    const request = newRequest();
    const at = { parent: store.inode, name: "file" };
    await expectCode("not_found", metadata.once(request).remove(at, "file", { by: owner }));
    await writeFile(metadata, store.inode, at);
    await metadata.once(request).remove(at, "file", { by: owner });
    await expectCode("not_found", metadata.once(newRequest()).remove(at, "file", { by: owner }));
  });

  check("forgets after a while what it answered", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const request = newRequest();
    const at = { parent: store.inode, name: "folder", mode: 0o755 };
    const make = (id: typeof request) => metadata.once(id).makeDirectories([at], { existing: "fail", owner });
    await make(request);
    clock.nowMs += requestRememberedMs + 1;
    await metadata.once(newRequest()).remove(at, "directory", { by: owner });
    expect((await make(request)).length).toBe(1);
    expect(await namesIn(metadata, store.inode)).toEqual(["folder"]);
  });
}
