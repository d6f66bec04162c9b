/** Moving and cloning. */
import { expect } from "bun:test";
import type { Inode } from "../../protocol/ids.ts";
import { rootInode } from "../../protocol/ids.ts";
import {
  collectAll,
  createStore,
  expectCode,
  makeDirectory,
  namesIn,
  owner,
  reclaimAll,
  writeFile,
  writeFiles,
} from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

const replace = { replace: true };
const keep = { replace: false };

export function renameSuite(check: Check): void {
  renaming(check);
  renamingStores(check);
  cloning(check);
}

function renaming(check: Check): void {
  check("renames without touching the file", async ({ metadata }) => {
    const store = await createStore(metadata);
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "old", pieces: ["a:10"], mtimeNs: 7n });
    await metadata.rename({ parent: store.inode, name: "old" }, { parent: folder.inode, name: "new" }, keep);
    expect((await metadata.resolve(["media", "old"])).attr).toBeNull();
    expect((await metadata.resolve(["media", "folder", "new"])).attr).toMatchObject({
      inode: file.inode,
      version: 1,
      mtimeNs: 7n,
      sizeBytes: 10,
    });
    await metadata.rename({ parent: folder.inode, name: "new" }, { parent: folder.inode, name: "new" }, replace);
    expect(await namesIn(metadata, folder.inode)).toEqual(["new"]);
    await metadata.rename({ parent: store.inode, name: "folder" }, { parent: store.inode, name: "moved" }, keep);
    expect((await metadata.resolve(["media", "moved", "new"])).attr?.inode).toBe(file.inode);
  });

  check("replaces only what may be replaced, and only if asked to", async ({ metadata }) => {
    const store = await createStore(metadata);
    const [full, empty] = [await makeDirectory(metadata, store.inode, "full"), await makeDirectory(metadata, store.inode, "empty")];
    await writeFiles(metadata, store.inode, [
      { parent: store.inode, name: "one", pieces: ["one:10"] },
      { parent: store.inode, name: "two", pieces: ["two:20"] },
      { parent: full.inode, name: "inner" },
    ]);
    const at = (name: string) => ({ parent: store.inode, name });
    await expectCode("not_found", metadata.rename(at("nothing"), at("two"), replace));
    await expectCode("already_exists", metadata.rename(at("one"), at("two"), keep));
    await expectCode("is_a_directory", metadata.rename(at("one"), at("empty"), replace));
    await expectCode("not_a_directory", metadata.rename(at("full"), at("one"), replace));
    await expectCode("not_empty", metadata.rename(at("empty"), at("full"), replace));
    await expectCode("already_exists", metadata.rename(at("full"), at("empty"), keep));
    expect(await namesIn(metadata, store.inode)).toEqual(["empty", "full", "one", "two"]);
    await metadata.rename(at("one"), at("two"), replace);
    await metadata.rename(at("full"), at("empty"), replace);
    expect(await namesIn(metadata, store.inode)).toEqual(["empty", "two"]);
    expect((await metadata.resolve(["media", "two"])).attr?.sizeBytes).toBe(10);
    expect((await metadata.resolve(["media", "empty", "inner"])).attr?.type).toBe("file");
    await reclaimAll(metadata);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 2, chunks: 1, logicalBytes: 10 });
    await expectCode("not_found", metadata.getAttr(empty.inode));
  });

  check("moves no directory below itself, however deep", async ({ metadata }) => {
    const store = await createStore(metadata);
    const top = await makeDirectory(metadata, store.inode, "top");
    let deepest: Inode = top.inode;
    for (let depth = 0; depth < 300; depth++) deepest = (await makeDirectory(metadata, deepest, "d")).inode;
    const into = (parent: Inode) => metadata.rename({ parent: store.inode, name: "top" }, { parent, name: "again" }, replace);
    await expectCode("invalid_argument", into(top.inode));
    await expectCode("invalid_argument", into(deepest));
    expect((await metadata.resolve(["media", "top", "d"])).attr?.type).toBe("directory");
    // The other way round it is full, not a circle.
    const { attr } = await metadata.resolve(["media", "top", "d"]);
    await expectCode(
      "not_empty",
      metadata.rename({ parent: attr?.inode ?? rootInode, name: "d" }, { parent: store.inode, name: "top" }, replace),
    );
    await metadata.remove({ parent: store.inode, name: "top" }, "tree", { by: "dora" });
    await reclaimAll(metadata);
    expect(await metadata.usage(store.inode)).toMatchObject({ directories: 1 });
  });

  check("moves nothing from one datastore to another", async ({ metadata }) => {
    const store = await createStore(metadata);
    const other = await createStore(metadata, "other");
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    await makeDirectory(metadata, store.inode, "folder");
    for (const name of ["file", "folder"]) {
      await expectCode("cross_store", metadata.rename({ parent: store.inode, name }, { parent: other.inode, name }, replace));
      await expectCode("cross_store", metadata.rename({ parent: store.inode, name }, { parent: rootInode, name }, replace));
    }
    await expectCode("cross_store", metadata.rename({ parent: rootInode, name: "other" }, { parent: store.inode, name: "other" }, replace));
    expect(await namesIn(metadata, store.inode)).toEqual(["file", "folder"]);
  });
}

function renamingStores(check: Check): void {
  check("renames datastores in the root", async ({ metadata }) => {
    const store = await createStore(metadata);
    await createStore(metadata, "empty");
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:10"] });
    const at = (name: string) => ({ parent: rootInode, name });
    await expectCode("already_exists", metadata.rename(at("media"), at("empty"), keep));
    await expectCode("not_empty", metadata.rename(at("empty"), at("media"), replace));
    const key = await metadata.storeKey(store.inode);
    await metadata.rename(at("media"), at("films"), keep);
    expect(await metadata.storeByName("films")).toMatchObject({ inode: store.inode, files: 1 });
    await expectCode("not_found", metadata.storeByName("media"));
    expect(await metadata.storeKey(store.inode)).toEqual(key);
    await metadata.rename(at("films"), at("empty"), replace);
    await reclaimAll(metadata);
    expect((await metadata.listStores()).map(({ name, files }) => ({ name, files }))).toEqual([{ name: "empty", files: 1 }]);
    expect((await metadata.resolve(["empty", "file"])).attr?.inode).toBe(file.inode);
  });
}

function cloning(check: Check): void {
  check("clones without another copy of any chunk", async ({ metadata }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, {
      parent: store.inode,
      name: "one",
      pieces: ["a:10", "b:20"],
      mtimeNs: 3n,
      mode: 0o600,
    });
    const twin = await metadata.clone(file.inode, { parent: store.inode, name: "two" }, { ...keep, owner });
    expect(twin).toMatchObject({ type: "file", sizeBytes: 30, mtimeNs: 3n, mode: 0o600, version: 1 });
    expect(twin.inode).not.toBe(file.inode);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 2, chunks: 2, logicalBytes: 60, storedBytes: 30 + 128 });
    await metadata.remove({ parent: store.inode, name: "one" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    expect(await collectAll(metadata)).toEqual(new Map());
    expect(await metadata.extents(twin.inode, { offset: 0, lengthBytes: 30, limit: 9 })).toHaveLength(2);
    // The clone is a file of its own: writing it leaves the original alone.
    const third = await metadata.clone(twin.inode, { parent: store.inode, name: "three" }, { ...keep, owner });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "two", pieces: ["c:5"] });
    expect(await metadata.extents(third.inode, { offset: 0, lengthBytes: 30, limit: 9 })).toHaveLength(2);
  });

  check("clones links as links", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { quotaBytes: 10 });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "full", pieces: ["a:10"] });
    const [link] = await metadata.makeSymlinks([{ parent: store.inode, name: "link", target: "full", mtimeNs: 0n }], { owner });
    const twin = await metadata.clone(link?.inode ?? rootInode, { parent: store.inode, name: "twin" }, { ...keep, owner });
    expect(twin).toMatchObject({ type: "symlink", target: "full" });
  });

  check("clones by the rules of the place", async ({ metadata }) => {
    const store = await createStore(metadata);
    const other = await createStore(metadata, "other");
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:10"] });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "there", pieces: ["b:10"] });
    const clone = (source: Inode, parent: Inode, name: string, options: { replace: boolean }) =>
      metadata.clone(source, { parent, name }, { ...options, owner });
    await expectCode("is_a_directory", clone(folder.inode, store.inode, "x", keep));
    await expectCode("cross_store", clone(file.inode, other.inode, "x", keep));
    await expectCode("invalid_argument", clone(file.inode, rootInode, "x", keep));
    await expectCode("invalid_argument", clone(file.inode, store.inode, "file", replace));
    await expectCode("already_exists", clone(file.inode, store.inode, "there", keep));
    await expectCode("is_a_directory", clone(file.inode, store.inode, "folder", replace));
    await clone(file.inode, store.inode, "there", replace);
    await reclaimAll(metadata);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 2, chunks: 1, logicalBytes: 20 });
  });

  check("counts clones against the quota", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { quotaBytes: 100 });
    const big = await writeFile(metadata, store.inode, { parent: store.inode, name: "big", pieces: ["big:50"] });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "same", pieces: ["other:50"] });
    const clone = (name: string) => metadata.clone(big.inode, { parent: store.inode, name }, { ...replace, owner });
    await expectCode("quota_exceeded", clone("third"));
    // What it replaces makes room for it.
    await clone("same");
    expect((await metadata.storeByName("media")).logicalBytes).toBe(100);
    expect(await namesIn(metadata, store.inode)).toEqual(["big", "same"]);
  });
}
