/** Removing, and what removing leaves behind for a while. */
import { expect } from "bun:test";
import { rootInode } from "../../protocol/ids.ts";
import {
  collectAll,
  createStore,
  expectCode,
  makeDirectory,
  namesIn,
  nodeNames,
  owner,
  reclaimAll,
  writeFile,
  writeFiles,
} from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

export function removalSuite(check: Check): void {
  check("removes files as files, empty directories as directories", async ({ metadata }) => {
    const store = await createStore(metadata);
    const folder = await makeDirectory(metadata, store.inode, "folder");
    await writeFiles(metadata, store.inode, [
      { parent: store.inode, name: "file" },
      { parent: folder.inode, name: "inner" },
    ]);
    await metadata.makeSymlinks([{ parent: store.inode, name: "link", target: "folder", mtimeNs: 0n }], { owner });
    const at = (name: string) => ({ parent: store.inode, name });
    await expectCode("is_a_directory", metadata.remove(at("folder"), "file", { by: "dora" }));
    await expectCode("not_a_directory", metadata.remove(at("file"), "directory", { by: "dora" }));
    await expectCode("not_a_directory", metadata.remove(at("link"), "directory", { by: "dora" }));
    await expectCode("not_empty", metadata.remove(at("folder"), "directory", { by: "dora" }));
    await expectCode("not_found", metadata.remove(at("nothing"), "file", { by: "dora" }));
    expect(await namesIn(metadata, store.inode)).toEqual(["file", "folder", "link"]);
    await metadata.remove({ parent: folder.inode, name: "inner" }, "file", { by: "dora" });
    await metadata.remove(at("folder"), "directory", { by: "dora" });
    await metadata.remove(at("link"), "file", { by: "dora" });
    await metadata.remove(at("file"), "tree", { by: "dora" });
    expect(await namesIn(metadata, store.inode)).toEqual([]);
    await expectCode("not_found", metadata.remove(at("file"), "file", { by: "dora" }));
  });

  check("removes a tree at once and frees what it held step by step", async ({ metadata }) => {
    const store = await createStore(metadata);
    const kept = await writeFile(metadata, store.inode, { parent: store.inode, name: "kept", pieces: ["kept:10", "part-0:10"] });
    const tree = await makeDirectory(metadata, store.inode, "tree");
    const folders = await metadata.makeDirectories(
      Array.from({ length: 20 }, (_, index) => ({ parent: tree.inode, name: `folder-${index}`, mode: 0o755 })),
      { existing: "fail", owner },
    );
    for (const [index, folder] of folders.entries()) {
      const files = Array.from({ length: 64 }, (_, file) => ({
        parent: folder.inode,
        name: `file-${file}`,
        pieces: [`part-${(index + file) % 9}:10`, `only-${index}-${file}:5`],
      }));
      await writeFiles(metadata, store.inode, files);
    }
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1281, chunks: 1290, logicalBytes: 1280 * 15 + 20 });

    await metadata.remove({ parent: store.inode, name: "tree" }, "tree", { by: "dora" });
    expect(await namesIn(metadata, store.inode)).toEqual(["kept"]);
    expect((await metadata.resolve(["media", "tree"])).attr).toBeNull();
    expect(await reclaimAll(metadata)).toBeGreaterThan(1);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, chunks: 2, logicalBytes: 20, storedBytes: 2 * 74 });
    expect(await metadata.usage(store.inode)).toEqual({ files: 1, directories: 1, logicalBytes: 20, storedBytes: 2 * 74 });
    await expectCode("not_found", metadata.getAttr(folders[7]?.inode ?? rootInode));

    const deleted = await collectAll(metadata);
    expect([...deleted.keys()]).toEqual([nodeNames[0] ?? owner]);
    expect(new Set(deleted.get(nodeNames[0] ?? owner)).size).toBe(1288);
    expect(
      (await metadata.extents(kept.inode, { offset: 0, lengthBytes: 20, limit: 9 })).every((extent) => extent.copies.length === 1),
    ).toBe(true);

    await metadata.remove({ parent: store.inode, name: "kept" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 0, chunks: 0, logicalBytes: 0, storedBytes: 0, degradedChunks: 0 });
  });

  check("lets nothing be put into a directory that was removed with its tree", async ({ metadata }) => {
    const store = await createStore(metadata);
    const tree = await makeDirectory(metadata, store.inode, "tree");
    const inner = await makeDirectory(metadata, tree.inode, "inner");
    for (let batch = 0; batch < 6; batch++) {
      await writeFiles(
        metadata,
        store.inode,
        Array.from({ length: 120 }, (_, index) => ({ parent: tree.inode, name: `file-${batch}-${index}` })),
      );
    }
    await writeFile(metadata, store.inode, { parent: store.inode, name: "outside" });
    await metadata.remove({ parent: store.inode, name: "tree" }, "tree", { by: "dora" });
    // What was acknowledged would be reclaimed with the tree.
    for (const parent of [tree.inode, inner.inode]) {
      await expectCode("not_found", writeFile(metadata, store.inode, { parent, name: "late", pieces: ["late:10"] }));
      await expectCode("not_found", makeDirectory(metadata, parent, "late"));
      await expectCode("not_found", metadata.makeSymlinks([{ parent, name: "late", target: "x", mtimeNs: 0n }], { owner }));
      await expectCode("not_found", metadata.rename({ parent: store.inode, name: "outside" }, { parent, name: "late" }, { replace: true }));
    }
    expect(await namesIn(metadata, store.inode)).toEqual(["outside"]);
    await reclaimAll(metadata);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1 });
  });

  check("removes a datastore with all that is in it", async ({ metadata }) => {
    const store = await createStore(metadata);
    const other = await createStore(metadata, "other");
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const files = (parent: typeof store.inode) =>
      Array.from({ length: 100 }, (_, index) => ({ parent, name: `${index}`, pieces: [`${index}:1`] }));
    for (let batch = 0; batch < 6; batch++) {
      const sub = await makeDirectory(metadata, folder.inode, `${batch}`);
      await writeFiles(metadata, store.inode, files(sub.inode));
    }
    await writeFiles(metadata, other.inode, files(other.inode).slice(0, 3));
    await expectCode("not_empty", metadata.remove({ parent: rootInode, name: "media" }, "directory", { by: "dora" }));
    await metadata.remove({ parent: rootInode, name: "media" }, "tree", { by: "dora" });
    await expectCode("not_found", metadata.storeByName("media"));
    await expectCode("not_found", metadata.policyOf(store.inode));
    await expectCode("not_found", writeFile(metadata, store.inode, { parent: folder.inode, name: "late" }));
    expect(await namesIn(metadata, rootInode)).toEqual(["other"]);
    await reclaimAll(metadata);
    await expectCode("not_found", metadata.storeKey(store.inode));
    // Its name is free again, and what comes under it is another store.
    const again = await createStore(metadata);
    expect(again.inode).not.toBe(store.inode);
    expect((await metadata.storeKey(again.inode)).key).not.toEqual((await metadata.storeKey(other.inode)).key);
    expect(await metadata.totals([])).toMatchObject({ files: 3, chunks: 3 });
    const deleted = await collectAll(metadata);
    // Three chunks have the same bytes in the other store, on the same node.
    expect(deleted.get(nodeNames[0] ?? owner)).toHaveLength(97);
    expect(await metadata.storeByName("other")).toMatchObject({ files: 3, chunks: 3, degradedChunks: 0 });
  });
}
