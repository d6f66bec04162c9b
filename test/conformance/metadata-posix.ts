/** Attributes of POSIX, extended ones, special files, and files with several names or none. */
import { expect } from "bun:test";
import type { Inode } from "../../protocol/ids.ts";
import { rootInode } from "../../protocol/ids.ts";
import { extendedAttributesBytesMax, extendedAttributeValueBytesMax, sessionSilentMsMax } from "../../protocol/limits.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import {
  collectAll,
  createStore,
  expectCode,
  makeDirectory,
  namesIn,
  newUpload,
  owner,
  reclaimAll,
  writeFile,
  writeFiles,
} from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

const session = { caller: owner, token: "a-session-of-a-test" };
const all = { offset: 0, lengthBytes: 1_000, limit: 10 };

export function posixSuite(check: Check): void {
  attributes(check);
  extendedAttributes(check);
  specialFiles(check);
  links(check);
  exchanging(check);
  openFiles(check);
}

function attributes(check: Check): void {
  check("keeps owner, group, all mode bits and both times", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "a", mtimeNs: 7n });
    const madeNs = BigInt(clock.nowMs) * 1_000_000n;
    expect(file).toMatchObject({ uid: null, gid: null, mtimeNs: 7n, atimeNs: madeNs, ctimeNs: madeNs, links: 1 });
    clock.nowMs += 5;
    const changed = await metadata.setAttr(file.inode, { uid: 0, gid: 1_000, mode: 0o6755, atimeNs: -3n, mtimeNs: "now" });
    const nowNs = BigInt(clock.nowMs) * 1_000_000n;
    expect(changed).toMatchObject({ uid: 0, gid: 1_000, mode: 0o6755, atimeNs: -3n, mtimeNs: nowNs, ctimeNs: nowNs });
    clock.nowMs += 5;
    expect(await metadata.setAttr(file.inode, { atimeNs: "now" })).toMatchObject({ uid: 0, mode: 0o6755, mtimeNs: nowNs });
  });

  check("takes owners with what is made, and keeps them when a file is written again", async ({ metadata }) => {
    const store = await createStore(metadata);
    const place = (name: string) => ({ parent: store.inode, name, uid: 5, gid: 6 });
    const [directory] = await metadata.makeDirectories([{ ...place("d"), mode: 0o2775 }], { existing: "fail", owner });
    const [symlink] = await metadata.makeSymlinks([{ ...place("l"), target: "x", mtimeNs: 0n }], { existing: "fail", owner });
    for (const attr of [directory, symlink]) expect(attr).toMatchObject({ uid: 5, gid: 6 });
    expect(directory?.mode).toBe(0o2775);
    const commit = (file: object) => ({ parent: store.inode, name: "f", mode: 0o644, mtimeNs: 0n, sizeBytes: 0, extents: [], ...file });
    const write = (file: object) =>
      metadata.commit({ upload: newUpload(), files: [commit(file)], confirmed: [], last: true, owner }).then(({ attrs }) => attrs[0]);
    expect(await write({ uid: 5, gid: 6 })).toMatchObject({ uid: 5, gid: 6, version: 1 });
    expect(await write({ uid: 7 })).toMatchObject({ uid: 7, gid: 6, version: 2 });
    await expectCode("already_exists", metadata.makeSymlinks([{ ...place("l"), target: "y", mtimeNs: 0n }], { existing: "fail", owner }));
  });

  check("shows each change in the time of change", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const { inode } = await writeFile(metadata, store.inode, { parent: store.inode, name: "a", pieces: ["a:1"] });
    const at = (name: string, parent: Inode = store.inode) => ({ parent, name });
    const changes: Readonly<Record<string, () => Promise<unknown>>> = {
      chmod: () => metadata.setAttr(inode, { mode: 0o600 }),
      write: () => writeFile(metadata, store.inode, { parent: store.inode, name: "a", pieces: ["b:1"] }),
      link: () => metadata.link(inode, at("b")),
      rename: () => metadata.rename(at("a"), at("a", folder.inode), { replace: false }),
      exchange: () => metadata.exchange(at("b"), at("folder")),
      unlink: () => metadata.remove(at("folder"), "file", { by: "dora" }),
      attribute: () => metadata.setExtendedAttribute(inode, { name: "user.a", value: new Uint8Array(1) }, "either"),
      "no attribute": () => metadata.removeExtendedAttribute(inode, "user.a"),
    };
    for (const [what, change] of Object.entries(changes)) {
      clock.nowMs += 1_000;
      await change();
      expect([what, (await metadata.getAttr(inode)).ctimeNs]).toEqual([what, BigInt(clock.nowMs) * 1_000_000n]);
    }
  });

  check("looks a name up in a directory that has moved", async ({ metadata }) => {
    const store = await createStore(metadata);
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const file = await writeFile(metadata, store.inode, { parent: folder.inode, name: "a" });
    await metadata.rename({ parent: store.inode, name: "folder" }, { parent: store.inode, name: "moved" }, { replace: false });
    expect((await metadata.lookup({ parent: folder.inode, name: "a" }))?.inode).toBe(file.inode);
    expect(await metadata.lookup({ parent: folder.inode, name: "b" })).toBeNull();
    await expectCode("not_a_directory", metadata.lookup({ parent: file.inode, name: "a" }));
  });
}

function extendedAttributes(check: Check): void {
  check("keeps extended attributes, and says what was there", async ({ metadata }) => {
    const store = await createStore(metadata);
    const { inode } = await writeFile(metadata, store.inode, { parent: store.inode, name: "a" });
    const value = (text: string) => new TextEncoder().encode(text);
    const set = (name: string, text: string, existing: "either" | "create" | "replace") =>
      metadata.setExtendedAttribute(inode, { name, value: value(text) }, existing);
    await expectCode("no_attribute", set("user.b", "1", "replace"));
    await set("user.b", "1", "create");
    await set("user.a", "", "either");
    await expectCode("already_exists", set("user.b", "2", "create"));
    await set("user.b", "2", "replace");
    expect(await metadata.extendedAttributes(inode)).toEqual([
      { name: "user.a", value: value("") },
      { name: "user.b", value: value("2") },
    ]);
    const countOf = async (of: Inode): Promise<number> => (await metadata.getAttr(of)).extendedAttributes;
    expect(await countOf(inode)).toBe(2);
    // A clone is the same file in all but its name, as by `cp -a`.
    const copy = await metadata.clone(inode, { parent: store.inode, name: "copy" }, { replace: false, owner });
    await metadata.removeExtendedAttribute(inode, "user.b");
    await expectCode("no_attribute", metadata.removeExtendedAttribute(inode, "user.b"));
    expect((await metadata.extendedAttributes(inode)).map(({ name }) => name)).toEqual(["user.a"]);
    expect((await metadata.extendedAttributes(copy.inode)).map(({ name }) => name)).toEqual(["user.a", "user.b"]);
    expect([await countOf(inode), await countOf(copy.inode)]).toEqual([1, 2]);
    await metadata.remove({ parent: store.inode, name: "copy" }, "file", { by: "dora" });
    await expectCode("not_found", metadata.extendedAttributes(copy.inode));
    await expectCode("not_found", metadata.setExtendedAttribute(copy.inode, { name: "user.a", value: value("") }, "either"));
  });

  check("takes extended attributes up to a sum", async ({ metadata }) => {
    const { inode } = await createStore(metadata);
    const value = new Uint8Array(extendedAttributeValueBytesMax - 255);
    const name = (index: number) => `user.${index}`.padEnd(255, "x");
    const fitting = extendedAttributesBytesMax / extendedAttributeValueBytesMax;
    for (let index = 0; index < fitting; index++) await metadata.setExtendedAttribute(inode, { name: name(index), value }, "create");
    await expectCode("no_space", metadata.setExtendedAttribute(inode, { name: "user.more", value: new Uint8Array(0) }, "create"));
    await metadata.setExtendedAttribute(inode, { name: name(0), value }, "replace");
    expect(await metadata.extendedAttributes(inode)).toHaveLength(fitting);
  });
}

function specialFiles(check: Check): void {
  check("makes, moves, links and removes special files, which count as nothing", async ({ metadata }) => {
    const store = await createStore(metadata);
    const node = (name: string, type: "fifo" | "socket" | "character_device" | "block_device", device = 0) =>
      metadata.makeNode({ parent: store.inode, name, type, device, mode: 0o640, uid: 3 }, { owner });
    expect(await node("p", "fifo")).toMatchObject({ type: "fifo", mode: 0o640, uid: 3, sizeBytes: 0, links: 1 });
    expect((await node("s", "socket")).device).toBeUndefined();
    expect(await node("c", "character_device", 259)).toMatchObject({ device: 259 });
    const block = await node("b", "block_device", 2_049);
    await expectCode("already_exists", node("p", "fifo"));
    await expectCode("already_exists", writeFile(metadata, store.inode, { parent: store.inode, name: "p" }));
    await expectCode("not_a_directory", metadata.resolve(["media", "p", "x"]));
    await expectCode("invalid_argument", metadata.makeNode({ parent: rootInode, name: "p", type: "fifo", device: 0, mode: 0 }, { owner }));
    expect(await metadata.clone(block.inode, { parent: store.inode, name: "copy" }, { replace: false, owner })).toMatchObject({
      ...{ type: "block_device", device: 2_049, mode: 0o640, uid: 3 },
    });
    await metadata.link(block.inode, { parent: store.inode, name: "again" });
    await metadata.rename({ parent: store.inode, name: "again" }, { parent: store.inode, name: "p" }, { replace: true });
    expect(await metadata.usage(store.inode)).toMatchObject({ files: 0, directories: 1, logicalBytes: 0 });
    expect(await metadata.storeByName("media")).toMatchObject({ files: 0, logicalBytes: 0 });
    for (const name of ["b", "c", "copy", "p", "s"]) await metadata.remove({ parent: store.inode, name }, "file", { by: "dora" });
    expect(await namesIn(metadata, store.inode)).toEqual([]);
  });
}

function links(check: Check): void {
  check("gives one file several names, which count once", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { quotaBytes: 15 });
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const { inode } = await writeFile(metadata, store.inode, { parent: store.inode, name: "a", pieces: ["a:10"] });
    expect(await metadata.link(inode, { parent: folder.inode, name: "b" })).toMatchObject({ inode, links: 2, sizeBytes: 10 });
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, logicalBytes: 10, storedBytes: 74 });
    expect(await metadata.usage(store.inode)).toMatchObject({ files: 1, logicalBytes: 10, storedBytes: 74 });
    expect(await metadata.usage(folder.inode)).toMatchObject({ files: 1, logicalBytes: 10 });
    // What is written by one name is read by the other, and needs room for what is more only.
    await writeFile(metadata, store.inode, { parent: folder.inode, name: "b", pieces: ["b:15"] });
    expect((await metadata.resolve(["media", "a"])).attr).toMatchObject({ inode, version: 2, sizeBytes: 15 });
    await expectCode("already_exists", metadata.link(inode, { parent: store.inode, name: "a" }));
    await expectCode("is_a_directory", metadata.link(folder.inode, { parent: store.inode, name: "f" }));
    await expectCode("not_found", metadata.link(999_999 as Inode, { parent: store.inode, name: "f" }));
    const other = await createStore(metadata, "other");
    await expectCode("cross_store", metadata.link(inode, { parent: other.inode, name: "a" }));
    await expectCode("cross_store", metadata.link(inode, { parent: rootInode, name: "a" }));
  });

  check("makes another name once when it is asked for twice", async ({ metadata }) => {
    const store = await createStore(metadata);
    const { inode } = await writeFile(metadata, store.inode, { parent: store.inode, name: "a" });
    const at = (name: string) => ({ parent: store.inode, name });
    const twice = async (
      slot: string,
      change: (parts: Pick<MetadataStore, "link" | "exchange" | "makeNode" | "makeSymlinks">) => Promise<unknown>,
    ) => {
      const request = { caller: owner, slot: Buffer.from(slot.padEnd(16)).toString("base64url"), number: 1 };
      const first = await change(metadata.once(request));
      expect(await change(metadata.once(request))).toEqual(first);
    };
    await twice("link", (parts) => parts.link(inode, at("b")));
    await twice("node", (parts) => parts.makeNode({ ...at("p"), type: "fifo", mode: 0, device: 0 }, { owner }));
    await twice("symlink", (parts) => parts.makeSymlinks([{ ...at("l"), target: "x", mtimeNs: 0n }], { existing: "fail", owner }));
    await twice("exchange", (parts) => parts.exchange(at("b"), at("p")));
    expect((await metadata.lookup(at("p")))?.inode).toBe(inode);
    expect(await metadata.getAttr(inode)).toMatchObject({ links: 2 });
  });

  check("frees a file with its last name, however the names go", async ({ metadata }) => {
    const store = await createStore(metadata);
    const trees = [await makeDirectory(metadata, store.inode, "t1"), await makeDirectory(metadata, store.inode, "t2")];
    const [t1, t2] = trees.map(({ inode }) => inode) as [Inode, Inode];
    const place = (parent: Inode, name: string) => ({ parent, name });
    const { inode } = await writeFile(metadata, store.inode, { parent: store.inode, name: "a", pieces: ["a:10"] });
    for (const [parent, name] of [
      [t1, "b"],
      [t1, "c"],
      [t2, "d"],
    ] as const)
      await metadata.link(inode, place(parent, name));
    await writeFile(metadata, store.inode, { parent: t2, name: "other", pieces: ["other:1"] });
    await metadata.remove(place(store.inode, "a"), "file", { by: "dora" });
    await metadata.remove(place(store.inode, "t1"), "tree", { by: "dora" });
    await reclaimAll(metadata);
    expect(await metadata.getAttr(inode)).toMatchObject({ links: 1, sizeBytes: 10 });
    expect([...(await collectAll(metadata)).values()].flat()).toEqual([]);
    await metadata.rename(place(t2, "other"), place(t2, "d"), { replace: true });
    await reclaimAll(metadata);
    await expectCode("not_found", metadata.getAttr(inode));
    expect([...(await collectAll(metadata)).values()].flat()).toHaveLength(1);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, logicalBytes: 1, chunks: 1 });
  });

  check("takes names of one file for what they are when they are moved", async ({ metadata }) => {
    const store = await createStore(metadata);
    const at = (name: string) => ({ parent: store.inode, name });
    const { inode } = await writeFile(metadata, store.inode, at("a"));
    await metadata.link(inode, at("b"));
    // As rename(2): two names of one file stay both.
    await metadata.rename(at("a"), at("b"), { replace: true });
    await expectCode("already_exists", metadata.rename(at("a"), at("b"), { replace: false }));
    await metadata.exchange(at("a"), at("b"));
    expect(await namesIn(metadata, store.inode)).toEqual(["a", "b"]);
    await expectCode("invalid_argument", metadata.clone(inode, at("b"), { replace: true, owner }));
  });

  check("lets no file out of a removed tree be linked", async ({ metadata }) => {
    const store = await createStore(metadata);
    const tree = await makeDirectory(metadata, store.inode, "tree");
    for (let batch = 0; batch < 6; batch++) {
      const files = Array.from({ length: 120 }, (_, index) => ({ parent: tree.inode, name: `${batch}-${index}` }));
      await writeFiles(metadata, store.inode, files);
    }
    const left = await writeFile(metadata, store.inode, { parent: tree.inode, name: "zz" });
    await metadata.remove({ parent: store.inode, name: "tree" }, "tree", { by: "dora" });
    await expectCode("not_found", metadata.link(left.inode, { parent: store.inode, name: "kept" }));
    await reclaimAll(metadata);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 0 });
  });

  check("counts a directory's links by the directories in it", async ({ metadata }) => {
    const store = await createStore(metadata);
    const [a, b] = [await makeDirectory(metadata, store.inode, "a"), await makeDirectory(metadata, store.inode, "b")];
    const linksOf = async () =>
      (await Promise.all([store.inode, a.inode, b.inode].map((inode) => metadata.getAttr(inode)))).map(({ links }) => links);
    expect([...(await linksOf()), a.links]).toEqual([4, 2, 2, 2]);
    const sub = await makeDirectory(metadata, a.inode, "sub");
    await writeFile(metadata, store.inode, { parent: a.inode, name: "file" });
    expect(await linksOf()).toEqual([4, 3, 2]);
    await metadata.rename({ parent: a.inode, name: "sub" }, { parent: b.inode, name: "sub" }, { replace: false });
    expect(await linksOf()).toEqual([4, 2, 3]);
    await metadata.exchange({ parent: b.inode, name: "sub" }, { parent: a.inode, name: "file" });
    expect(await linksOf()).toEqual([4, 3, 2]);
    await metadata.exchange({ parent: a.inode, name: "file" }, { parent: store.inode, name: "b" });
    expect([...(await linksOf()), (await metadata.getAttr(sub.inode)).links]).toEqual([4, 3, 2, 2]);
    await metadata.remove({ parent: a.inode, name: "file" }, "tree", { by: "dora" });
    expect((await metadata.getAttr(a.inode)).links).toBe(2);
    await createStore(metadata, "more");
    expect((await metadata.getAttr(rootInode)).links).toBe(4);
  });
}

function exchanging(check: Check): void {
  check("exchanges whatever lies in one datastore", async ({ metadata }) => {
    const store = await createStore(metadata);
    const other = await createStore(metadata, "other");
    const folder = await makeDirectory(metadata, store.inode, "folder");
    const inner = await writeFile(metadata, store.inode, { parent: folder.inode, name: "inner" });
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    await writeFile(metadata, other.inode, { parent: other.inode, name: "far" });
    const at = (name: string) => ({ parent: store.inode, name });
    await metadata.exchange(at("folder"), at("file"));
    expect((await metadata.resolve(["media", "file", "inner"])).attr?.inode).toBe(inner.inode);
    expect((await metadata.resolve(["media", "folder"])).attr?.inode).toBe(file.inode);
    await metadata.exchange(at("folder"), { parent: folder.inode, name: "inner" });
    expect((await metadata.resolve(["media", "file", "inner"])).attr?.inode).toBe(file.inode);
    await metadata.exchange(at("file"), at("file"));
    await expectCode("not_found", metadata.exchange(at("file"), at("nothing")));
    await expectCode("not_found", metadata.exchange(at("nothing"), at("file")));
    await expectCode("invalid_argument", metadata.exchange(at("file"), { parent: folder.inode, name: "inner" }));
    await expectCode("invalid_argument", metadata.exchange({ parent: folder.inode, name: "inner" }, at("file")));
    await expectCode("cross_store", metadata.exchange(at("folder"), { parent: other.inode, name: "far" }));
    await expectCode("cross_store", metadata.exchange(at("folder"), { parent: rootInode, name: "other" }));
    await metadata.exchange({ parent: rootInode, name: "media" }, { parent: rootInode, name: "other" });
    expect((await metadata.storeByName("other")).inode).toBe(store.inode);
    expect(await namesIn(metadata, store.inode)).toEqual(["file", "folder"]);
  });
}

async function removeOpen(metadata: MetadataStore, store: Inode): Promise<Inode> {
  const { inode } = await writeFile(metadata, store, { parent: store, name: "open", pieces: ["open:10"] });
  expect(await metadata.hold(session, [inode])).toEqual({ gone: [] });
  await metadata.remove({ parent: store, name: "open" }, "file", { by: "dora" });
  await reclaimAll(metadata);
  await collectAll(metadata);
  return inode;
}

function openFiles(check: Check): void {
  check("keeps a file that is held when its last name goes", async ({ metadata }) => {
    const { inode: store } = await createStore(metadata);
    const inode = await removeOpen(metadata, store);
    expect(await namesIn(metadata, store)).toEqual([]);
    expect(await metadata.getAttr(inode)).toMatchObject({ links: 0, sizeBytes: 10 });
    expect((await metadata.extents(inode, all))[0]?.copies).toHaveLength(1);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 1, logicalBytes: 10 });
    // It can still be written, and has no name by that.
    const written = await writeFile(metadata, store, { parent: store, name: "open", pieces: ["more:12"], inode });
    expect(written).toMatchObject({ inode, version: 2, links: 0, sizeBytes: 12 });
    expect(await metadata.setAttr(inode, { mode: 0o600 })).toMatchObject({ mode: 0o600 });
    await expectCode("not_found", metadata.link(inode, { parent: store, name: "again" }));
    await metadata.release(session, [inode]);
    await reclaimAll(metadata);
    await expectCode("not_found", metadata.getAttr(inode));
    await expectCode("not_found", writeFile(metadata, store, { parent: store, name: "open", inode }));
    expect(await metadata.hold(session, [inode])).toEqual({ gone: [inode] });
    expect((await collectAll(metadata)).size).toBe(1);
    expect(await metadata.storeByName("media")).toMatchObject({ files: 0, logicalBytes: 0, chunks: 0 });
  });

  check("writes a file by its number wherever its name is by now", async ({ metadata }) => {
    const { inode: store } = await createStore(metadata);
    const old = await writeFile(metadata, store, { parent: store, name: "a", pieces: ["a:1"] });
    await metadata.rename({ parent: store, name: "a" }, { parent: store, name: "b" }, { replace: false });
    const fresh = await writeFile(metadata, store, { parent: store, name: "a", pieces: ["n:2"] });
    await writeFile(metadata, store, { parent: store, name: "a", pieces: ["c:3"], inode: old.inode });
    expect(await metadata.getAttr(old.inode)).toMatchObject({ sizeBytes: 3, version: 2 });
    expect(await metadata.getAttr(fresh.inode)).toMatchObject({ sizeBytes: 2, version: 1 });
    const stale = { parent: store, name: "a", inode: old.inode, replaces: { inode: old.inode, version: 1 } };
    await expectCode("conflict", writeFile(metadata, store, stale));
    await expectCode("is_a_directory", writeFile(metadata, store, { parent: store, name: "a", inode: store }));
  });

  check("keeps what is held by another, and what went with its tree", async ({ metadata }) => {
    const { inode: store } = await createStore(metadata);
    const tree = await makeDirectory(metadata, store, "tree");
    const { inode } = await writeFile(metadata, store, { parent: tree.inode, name: "a", pieces: ["a:10"] });
    const other = { ...session, token: "another-session-of-a-test" };
    for (const holder of [session, other]) await metadata.hold(holder, [inode]);
    await metadata.remove({ parent: store, name: "tree" }, "tree", { by: "dora" });
    await reclaimAll(metadata);
    await expectCode("not_found", metadata.getAttr(tree.inode));
    expect(await metadata.placesOf(inode)).toEqual([{ directory: store, name: undefined }]);
    await metadata.release(session, "all");
    await reclaimAll(metadata);
    expect(await metadata.getAttr(inode)).toMatchObject({ links: 0 });
    await metadata.release(other, "all");
    await expectCode("is_a_directory", metadata.hold(session, [store]));
    await reclaimAll(metadata);
    await expectCode("not_found", metadata.getAttr(inode));
  });

  check("frees what a session held that is silent for too long", async ({ metadata, clock }) => {
    const { inode: store } = await createStore(metadata);
    const inode = await removeOpen(metadata, store);
    clock.nowMs += sessionSilentMsMax;
    await reclaimAll(metadata);
    expect(await metadata.hold(session, [])).toEqual({ gone: [] });
    clock.nowMs += sessionSilentMsMax;
    await reclaimAll(metadata);
    expect(await metadata.getAttr(inode)).toMatchObject({ links: 0 });
    clock.nowMs += 1;
    await reclaimAll(metadata);
    await expectCode("not_found", metadata.getAttr(inode));
    // Files with a name are not concerned.
    const named = await writeFile(metadata, store, { parent: store, name: "named" });
    expect(await metadata.hold(session, [named.inode, inode])).toEqual({ gone: [inode] });
  });
}
