/** Names, directories, links and attributes. */
import { expect } from "bun:test";
import type { Inode } from "../../protocol/ids.ts";
import { parseInode, rootInode } from "../../protocol/ids.ts";
import {
  createStore,
  expectCode,
  failureOf,
  makeDirectory,
  namesIn,
  nodeNames,
  owner,
  reclaimAll,
  writeFile,
  writeFiles,
} from "../support/metadata.ts";
import { removalSuite } from "./metadata-removal.ts";
import { renameSuite } from "./metadata-rename.ts";
import type { Check } from "./metadata-store.ts";

const nowhere = parseInode(999_999);

export function namespaceSuite(check: Check): void {
  resolving(check);
  listing(check);
  directories(check);
  links(check);
  attributes(check);
  removalSuite(check);
  renameSuite(check);
}

function resolving(check: Check): void {
  check("resolves the root, names and what is missing at the end", async ({ metadata }) => {
    const root = await metadata.resolve([]);
    expect(root.parent).toBeNull();
    expect(root.attr).toMatchObject({ inode: rootInode, type: "directory" });
    expect(root.attr?.store).toBeUndefined();

    const store = await createStore(metadata);
    const folder = await makeDirectory(metadata, store.inode, "films");
    const file = await writeFile(metadata, store.inode, { parent: folder.inode, name: "a.mkv", pieces: ["a:10"] });
    const found = await metadata.resolve(["media", "films", "a.mkv"]);
    expect(found.attr).toEqual(file);
    expect(found.parent?.inode).toBe(folder.inode);
    expect(found.attr).toMatchObject({ type: "file", sizeBytes: 10, version: 1, owner, store: store.inode, mode: 0o644 });

    const missing = await metadata.resolve(["media", "films", "b.mkv"]);
    expect(missing.attr).toBeNull();
    expect(missing.parent?.inode).toBe(folder.inode);
    expect(await metadata.resolve(["nothing"])).toMatchObject({ parent: { inode: rootInode }, attr: null });
  });

  check("names the component that is to blame", async ({ metadata }) => {
    const store = await createStore(metadata);
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    await metadata.makeSymlinks([{ parent: store.inode, name: "link", target: "/media", mtimeNs: 0n }], { owner });
    const missing = await expectCode("not_found", metadata.resolve(["media", "gone", "x", "y"]));
    expect(missing.message).toContain("/media/gone");
    const through = await expectCode("not_a_directory", metadata.resolve(["media", "file", "x"]));
    expect(through.message).toContain("/media/file");
    const link = await expectCode("not_a_directory", metadata.resolve(["media", "link", "x"]));
    expect(link.message).toContain("symbolic link");
    expect((await metadata.resolve(["media", "link"])).attr).toMatchObject({ type: "symlink", target: "/media" });
  });
}

function listing(check: Check): void {
  check("lists by the UTF-8 bytes of the names, page by page", async ({ metadata }) => {
    const store = await createStore(metadata);
    // In UTF-16 the last two would stand the other way round.
    const names = ["Z", "a", "a b", "aa", "é", "\u{ff61}", "\u{1f600}"];
    const shuffled = [3, 6, 0, 5, 1, 4, 2].map((index) => names[index] ?? "");
    await writeFiles(
      metadata,
      store.inode,
      shuffled.map((name) => ({ parent: store.inode, name })),
    );
    expect(await namesIn(metadata, store.inode)).toEqual(names);
    for (const limit of [1, 2, 3, 7, 8]) {
      const listed: string[] = [];
      let after: string | undefined;
      for (let pages = 0; pages < 10; pages++) {
        const page = await metadata.list(store.inode, { limit, after });
        expect(page.entries.length).toBeLessThanOrEqual(limit);
        listed.push(...page.entries.map((entry) => entry.name));
        expect(page.more).toBe(listed.length < names.length);
        after = listed.at(-1);
        if (!page.more) break;
      }
      expect(listed).toEqual(names);
    }
    expect(await metadata.list(store.inode, { limit: 5, after: "\u{10ffff}" })).toEqual({ entries: [], more: false });
  });

  check("keeps names apart that only look alike", async ({ metadata }) => {
    const store = await createStore(metadata);
    const names = [
      "a",
      "A",
      "\u00e9",
      "e\u0301",
      " ",
      "%",
      "_",
      "'",
      '"',
      "\\",
      "*",
      "line\nbreak",
      "-",
      "\u202egnp",
      "x".repeat(255),
      "ä".repeat(127),
      "b".repeat(240),
      `\ufeff${"b".repeat(240)}`,
      `\ufeff\ufeff${"b".repeat(240)}`,
    ];
    await writeFiles(
      metadata,
      store.inode,
      names.map((name) => ({ parent: store.inode, name, pieces: [`${name}:7`.slice(-40)] })),
    );
    for (const name of names) expect((await metadata.resolve(["media", name])).attr).toMatchObject({ type: "file" });
    expect((await namesIn(metadata, store.inode)).sort()).toEqual([...names].sort());
  });

  check("lists directories only", async ({ metadata }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    await expectCode("not_a_directory", metadata.list(file.inode, { limit: 10 }));
    await expectCode("not_found", metadata.list(nowhere, { limit: 10 }));
    const { entries } = await metadata.list(rootInode, { limit: 10 });
    expect(entries).toEqual([{ name: "media", attr: await metadata.getAttr(store.inode) }]);
  });
}

function directories(check: Check): void {
  check("makes directories, and keeps or refuses those that exist", async ({ metadata }) => {
    const store = await createStore(metadata);
    const [films, music] = await metadata.makeDirectories(
      [
        { parent: store.inode, name: "films", mode: 0o700 },
        { parent: store.inode, name: "music", mode: 0o755 },
      ],
      { existing: "fail", owner },
    );
    expect(films).toMatchObject({ type: "directory", mode: 0o700, owner, store: store.inode, sizeBytes: 0 });
    const kept = await metadata.makeDirectories([{ parent: store.inode, name: "films", mode: 0o755 }], { existing: "keep", owner });
    expect(kept.map((attr) => attr.inode)).toEqual([films?.inode as Inode]);
    expect(kept[0]?.mode).toBe(0o700);
    await expectCode("already_exists", makeDirectory(metadata, store.inode, "music"));
    expect(music?.inode).not.toBe(films?.inode);
    // One that exists undoes those that were made before it in the same call.
    await expectCode(
      "already_exists",
      metadata.makeDirectories(
        [
          { parent: store.inode, name: "new", mode: 0o755 },
          { parent: store.inode, name: "music", mode: 0o755 },
        ],
        { existing: "fail", owner },
      ),
    );
    expect(await namesIn(metadata, store.inode)).toEqual(["films", "music"]);
  });

  check("makes no directory over a file, in a file or in nothing", async ({ metadata }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    for (const existing of ["keep", "fail"] as const) {
      const over = metadata.makeDirectories([{ parent: store.inode, name: "file", mode: 0o755 }], { existing, owner });
      await expectCode("already_exists", over);
    }
    await expectCode("not_a_directory", makeDirectory(metadata, file.inode, "sub"));
    await expectCode("not_found", makeDirectory(metadata, nowhere, "sub"));
  });

  check("makes a datastore of a directory in the root", async ({ metadata }) => {
    const made = await makeDirectory(metadata, rootInode, "photos");
    expect(made).toMatchObject({ type: "directory", store: made.inode });
    const store = await metadata.storeByName("photos");
    expect(store).toMatchObject({ inode: made.inode, owner, files: 0, policy: { replicas: 2, encrypt: true, quotaBytes: null } });
    const inside = await makeDirectory(metadata, made.inode, "2026");
    expect(inside.store).toBe(made.inode);
  });

  check("shows a change of a directory in its time", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const before = await metadata.getAttr(store.inode);
    clock.nowMs += 5_000;
    await makeDirectory(metadata, store.inode, "films");
    const after = await metadata.getAttr(store.inode);
    expect(after.mtimeNs - before.mtimeNs).toBe(5_000_000_000n);
    clock.nowMs += 5_000;
    await metadata.remove({ parent: store.inode, name: "films" }, "directory", { by: "dora" });
    expect((await metadata.getAttr(store.inode)).mtimeNs - after.mtimeNs).toBe(5_000_000_000n);
  });
}

function links(check: Check): void {
  check("keeps symbolic links as they are written", async ({ metadata }) => {
    const store = await createStore(metadata);
    const targets = ["../a", "/media/films", "überall/\u{1f600}", "x".repeat(4095)];
    const made = await metadata.makeSymlinks(
      targets.map((target, index) => ({ parent: store.inode, name: `link-${index}`, target, mtimeNs: BigInt(index) })),
      { owner },
    );
    expect(made.map((attr) => attr.target)).toEqual(targets);
    expect(made.map((attr) => attr.sizeBytes)).toEqual(targets.map((target) => Buffer.byteLength(target)));
    expect((await metadata.storeByName("media")).files).toBe(0);
  });

  check("replaces a link by a link and nothing else", async ({ metadata }) => {
    const store = await createStore(metadata);
    const link = (name: string, target: string, parent: Inode = store.inode) =>
      metadata.makeSymlinks([{ parent, name, target, mtimeNs: 0n }], { owner });
    await link("link", "one");
    await link("link", "two");
    expect((await metadata.resolve(["media", "link"])).attr?.target).toBe("two");
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    await makeDirectory(metadata, store.inode, "folder");
    await expectCode("already_exists", link("file", "x"));
    await expectCode("already_exists", link("folder", "x"));
    await expectCode("invalid_argument", link("link", "x", rootInode));
    await expectCode("already_exists", writeFile(metadata, store.inode, { parent: store.inode, name: "link" }));
    await reclaimAll(metadata);
    expect(await namesIn(metadata, store.inode)).toEqual(["file", "folder", "link"]);
  });
}

function attributes(check: Check): void {
  check("keeps times to the nanosecond, also before 1970", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", mtimeNs: 1_753_000_000_123_456_789n });
    expect(file.mtimeNs).toBe(1_753_000_000_123_456_789n);
    for (const mtimeNs of [
      0n,
      1n,
      -1n,
      -999_999_999n,
      -1_000_000_000n,
      -1_000_000_001n,
      -11_644_473_600_000_000_001n / 100n,
      9_223_372_036_854_775_807n,
    ]) {
      clock.nowMs += 1_000;
      const changed = await metadata.setAttr(file.inode, { mtimeNs });
      expect(changed.mtimeNs).toBe(mtimeNs);
      expect(changed.ctimeNs).toBe(BigInt(clock.nowMs) * 1_000_000n);
      expect((await metadata.getAttr(file.inode)).mtimeNs).toBe(mtimeNs);
    }
  });

  check("changes only what it is told to", async ({ metadata }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:10"], mtimeNs: 5n });
    const changed = await metadata.setAttr(file.inode, { mode: 0o4711 });
    expect(changed).toMatchObject({ mode: 0o4711, mtimeNs: 5n, version: 1, sizeBytes: 10, owner });
    expect(await metadata.setAttr(file.inode, {})).toMatchObject({ mode: 0o4711, mtimeNs: 5n });
    expect(await metadata.setAttr(store.inode, { mode: 0o500 })).toMatchObject({ type: "directory", mode: 0o500 });
    await expectCode("not_found", metadata.setAttr(nowhere, { mode: 0o600 }));
    await expectCode("not_found", metadata.getAttr(nowhere));
  });

  check("tells the use of a tree", async ({ metadata }) => {
    const store = await createStore(metadata);
    const folder = await makeDirectory(metadata, store.inode, "a");
    const inner = await makeDirectory(metadata, folder.inode, "b");
    await writeFiles(metadata, store.inode, [
      { parent: folder.inode, name: "one", pieces: ["same:10", "own:5"] },
      { parent: inner.inode, name: "two", pieces: ["same:10"] },
      { parent: store.inode, name: "three", pieces: ["same:10", "same:10"] },
    ]);
    await metadata.makeSymlinks([{ parent: inner.inode, name: "link", target: "x", mtimeNs: 0n }], { owner });
    const stored = (...pieces: number[]) => pieces.reduce((sum, bytes) => sum + bytes + 64, 0);
    expect(await metadata.usage(store.inode)).toEqual({ files: 3, directories: 3, logicalBytes: 45, storedBytes: stored(10, 5) });
    expect(await metadata.usage(folder.inode)).toEqual({ files: 2, directories: 2, logicalBytes: 25, storedBytes: stored(10, 5) });
    expect(await metadata.usage(inner.inode)).toEqual({ files: 1, directories: 1, logicalBytes: 10, storedBytes: stored(10) });
    expect(await metadata.usage(rootInode)).toMatchObject({ files: 3, directories: 4, logicalBytes: 45 });
    const { attr } = await metadata.resolve(["media", "three"]);
    expect(await metadata.usage(attr?.inode ?? nowhere)).toEqual({ files: 1, directories: 0, logicalBytes: 20, storedBytes: stored(10) });
    await expectCode("not_found", metadata.usage(nowhere));
  });

  check("finds the extents of a range and no others", async ({ metadata }) => {
    const store = await createStore(metadata);
    const pieces = ["a:10", "b:10", "a:10", "c:5"];
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces }, { nodes: nodeNames.slice(0, 2) });
    const offsets = async (offset: number, lengthBytes: number, limit = 10) =>
      (await metadata.extents(file.inode, { offset, lengthBytes, limit })).map((extent) => extent.offset);
    expect(await offsets(0, 35)).toEqual([0, 10, 20, 30]);
    expect(await offsets(0, 10)).toEqual([0]);
    expect(await offsets(9, 1)).toEqual([0]);
    expect(await offsets(9, 2)).toEqual([0, 10]);
    expect(await offsets(10, 10)).toEqual([10]);
    expect(await offsets(15, 1_000)).toEqual([10, 20, 30]);
    expect(await offsets(34, 1)).toEqual([30]);
    expect(await offsets(0, 35, 2)).toEqual([0, 10]);
    expect(await offsets(35, 10)).toEqual([]);
    expect(await offsets(1_000_000, 10)).toEqual([]);
    expect(await offsets(12, Number.MAX_SAFE_INTEGER)).toEqual([10, 20, 30]);
    const [first] = await metadata.extents(file.inode, { offset: 0, lengthBytes: 1, limit: 1 });
    expect(first).toMatchObject({ plainBytes: 10, storedBytes: 74 });
    expect(first?.copies).toEqual(nodeNames.slice(0, 2).map((node) => ({ node, state: "stored" as const })));
    const parts = Array.from({ length: 9 }, (_, index) => `part-${index}:10`);
    const long = await writeFile(metadata, store.inode, { parent: store.inode, name: "long", pieces: parts });
    const all = await metadata.extents(long.inode, { offset: 0, lengthBytes: 90, limit: 100 });
    expect(all.map((extent) => extent.offset)).toEqual(parts.map((_, index) => index * 10));
    const empty = await writeFile(metadata, store.inode, { parent: store.inode, name: "empty" });
    expect(await metadata.extents(empty.inode, { offset: 0, lengthBytes: 10, limit: 1 })).toEqual([]);
  });

  check("says of everything that is gone that it is gone", async ({ metadata }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:10"] });
    await metadata.remove({ parent: store.inode, name: "file" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    for (const call of [
      () => metadata.getAttr(file.inode),
      () => metadata.setAttr(file.inode, { mode: 0 }),
      () => metadata.usage(file.inode),
    ]) {
      expect((await failureOf(call)).code).toBe("not_found");
    }
  });
}
