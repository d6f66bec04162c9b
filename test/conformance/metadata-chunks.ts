/** Which chunks exist, where their copies are, and what becomes of those that nobody needs. */
import { expect } from "bun:test";
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import { uploadIdleMsMax } from "../../protocol/limits.ts";
import type { CopyState } from "../../protocol/schema.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import {
  collectAll,
  createStore,
  expectCode,
  fileCommit,
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

const [n1, n2, n3] = nodeNames as [GlobalName, GlobalName, GlobalName];

interface Copy {
  readonly node: GlobalName;
  readonly state: CopyState;
}

/** What `choose` is shown of a chunk's copies, and what the offer answers. */
async function look(metadata: MetadataStore, store: Inode, text: string, targets: readonly GlobalName[] = []) {
  let seen: readonly Copy[] = [];
  const chunks = [{ id: piece(text).chunk, storedBytes: piece(text).plainBytes + 64, codec: "none" as const }];
  const answer = await metadata.offer({ upload: newUpload(), store, chunks, confirmed: [] }, (_, copies) => {
    seen = copies;
    return targets;
  });
  return { seen, stored: answer.stored[0], targets: answer.targets[0] };
}

async function copies(metadata: MetadataStore, store: Inode, text: string): Promise<readonly Copy[]> {
  return (await metadata.copiesOf(store, [piece(text).chunk]))[0] ?? [];
}

export function chunkMapSuite(check: Check): void {
  offering(check);
  collecting(check);
  sharing(check);
  checking(check);
}

function offering(check: Check): void {
  check("finds a chunk again in its store and in no other", async ({ metadata }) => {
    const store = await createStore(metadata);
    const other = await createStore(metadata, "other");
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1, n2] });
    expect(await look(metadata, store.inode, "a:1")).toEqual({
      seen: [
        { node: n1, state: "stored" },
        { node: n2, state: "stored" },
      ],
      stored: 2,
      targets: [],
    });
    expect(await look(metadata, other.inode, "a:1")).toEqual({ seen: [], stored: 0, targets: [] });
    expect(await metadata.copiesOf(store.inode, [piece("b:1").chunk, piece("a:1").chunk])).toMatchObject([
      [],
      [{ node: n1 }, { node: n2 }],
    ]);
  });

  check("remembers what it asked for, and what came of it", async ({ metadata }) => {
    const store = await createStore(metadata);
    const upload = newUpload();
    const id = piece("a:1").chunk;
    const chunks = [{ id, storedBytes: 65, codec: "none" as const }];
    const first = await metadata.offer({ upload, store: store.inode, chunks, confirmed: [] }, () => [n1, n2]);
    expect(first).toEqual({ targets: [[n1, n2]], stored: [0] });
    expect(await copies(metadata, store.inode, "a:1")).toEqual([
      { node: n1, state: "offered" },
      { node: n2, state: "offered" },
    ]);
    const second = await metadata.offer({ upload, store: store.inode, chunks, confirmed: [{ node: n1, chunks: [id] }] }, () => [n3]);
    expect(second).toEqual({ targets: [[n3]], stored: [1] });
    // A receipt is good for a copy that was not asked for too: the node says it has it.
    await metadata.offer({ upload, store: store.inode, chunks: [], confirmed: [{ node: n3, chunks: [id] }] }, () => []);
    expect(await copies(metadata, store.inode, "a:1")).toEqual([
      { node: n1, state: "stored" },
      { node: n2, state: "offered" },
      { node: n3, state: "stored" },
    ]);
    const unknown = "stranger@home.collective.local" as GlobalName;
    await expectCode(
      "not_found",
      metadata.offer({ upload, store: store.inode, chunks, confirmed: [{ node: unknown, chunks: [id] }] }, () => []),
    );
  });

  check("believes receipts for chunks of any store that the upload has announced, and of no other upload", async ({ metadata }) => {
    const [one, two] = [await createStore(metadata, "one"), await createStore(metadata, "two")];
    const upload = newUpload();
    const confirmed = [{ node: n1, chunks: [piece("a:1").chunk] }];
    await offerPieces(metadata, { upload, store: one.inode, pieces: ["a:1"], nodes: [n1] });
    await offerPieces(metadata, { upload: newUpload(), store: two.inode, pieces: ["a:1"], nodes: [n1] });
    await metadata.offer({ upload, store: two.inode, chunks: [], confirmed }, () => []);
    expect(await copies(metadata, one.inode, "a:1")).toEqual([{ node: n1, state: "stored" }]);
    expect(await copies(metadata, two.inode, "a:1")).toEqual([{ node: n1, state: "offered" }]);
  });

  check("answers an empty offer, a repeated one and repeated chunks", async ({ metadata }) => {
    const store = await createStore(metadata);
    const upload = newUpload();
    expect(await offerPieces(metadata, { upload, store: store.inode, pieces: [] })).toEqual({ targets: [], stored: [] });
    for (let i = 0; i < 2; i++) {
      const chunk = { id: piece("a:1").chunk, storedBytes: 65, codec: "none" as const };
      const answer = await metadata.offer({ upload, store: store.inode, chunks: [chunk, chunk], confirmed: [] }, () => [n1]);
      expect(answer).toEqual({ targets: [[n1], [n1]], stored: [0, 0] });
    }
    expect(await copies(metadata, store.inode, "a:1")).toEqual([{ node: n1, state: "offered" }]);
  });
}

function collecting(check: Check): void {
  check("spares the chunks of a live upload and collects them when it has fallen silent", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const upload = newUpload();
    const id = piece("a:1").chunk;
    await offerPieces(metadata, { upload, store: store.inode, pieces: ["a:1", "b:1"], nodes: [n1, n2] });
    await metadata.offer({ upload, store: store.inode, chunks: [], confirmed: [{ node: n1, chunks: [id] }] }, () => []);
    clock.nowMs += uploadIdleMsMax - 1;
    expect(await metadata.collectGarbage(100)).toEqual([]);
    // Any sign of life counts.
    await offerPieces(metadata, { upload, store: store.inode, pieces: ["c:1"], nodes: [n3] });
    clock.nowMs += uploadIdleMsMax;
    expect(await metadata.collectGarbage(100)).toEqual([]);
    clock.nowMs += 1;
    const deleted = await collectAll(metadata);
    // An offer may have reached its node without anybody having heard of it.
    expect(new Set(deleted.get(n1))).toEqual(new Set([id, piece("b:1").chunk]));
    expect(new Set(deleted.get(n2))).toEqual(new Set([id, piece("b:1").chunk]));
    expect(deleted.get(n3)).toEqual([piece("c:1").chunk]);
    expect(await copies(metadata, store.inode, "a:1")).toEqual([]);
    await expectCode(
      "conflict",
      metadata.commit({
        upload,
        files: [fileCommit({ parent: store.inode, name: "late", pieces: ["a:1"] })],
        confirmed: [],
        last: true,
        owner,
      }),
    );
  });

  check("believes no receipt of an upload that was given up", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    const upload = newUpload();
    const id = piece("a:1").chunk;
    const confirmed = [{ node: n2, chunks: [id] }];
    await writeFile(metadata, store.inode, { parent: store.inode, name: "other", pieces: ["a:1"] }, { nodes: [n1] });
    await offerPieces(metadata, { upload, store: store.inode, pieces: ["a:1"], nodes: [n2] });
    clock.nowMs += uploadIdleMsMax + 1;
    // Meanwhile the node has deleted what the upload had brought to it.
    expect(await collectAll(metadata)).toEqual(new Map([[n2, [id]]]));
    const files = [fileCommit({ parent: store.inode, name: "late", pieces: ["a:1"] })];
    await expectCode("conflict", metadata.commit({ upload, files, confirmed, last: true, owner }));
    await expectCode(
      "conflict",
      metadata.offer({ upload, store: store.inode, chunks: [], confirmed }, () => []),
    );
    expect(await copies(metadata, store.inode, "a:1")).toEqual([{ node: n1, state: "stored" }]);
  });

  check("collects at the end of an upload what it did not use, unless another needs it", async ({ metadata }) => {
    const store = await createStore(metadata);
    const [one, two] = [newUpload(), newUpload()];
    await offerPieces(metadata, { upload: one, store: store.inode, pieces: ["used:1", "unused:1", "shared:1"] });
    await offerPieces(metadata, { upload: two, store: store.inode, pieces: ["shared:1"] });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["used:1"] }, { upload: one, last: false });
    expect(await collectAll(metadata)).toEqual(new Map());
    await metadata.commit({ upload: one, files: [], confirmed: [], last: true, owner });
    expect(await collectAll(metadata)).toEqual(new Map([[n1, [piece("unused:1").chunk]]]));
    await metadata.commit({ upload: two, files: [], confirmed: [], last: true, owner });
    expect(await collectAll(metadata)).toEqual(new Map([[n1, [piece("shared:1").chunk]]]));
  });

  check("never collects a chunk in use, but offers of it that came to nothing", async ({ metadata, clock }) => {
    const store = await createStore(metadata);
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1] });
    await look(metadata, store.inode, "a:1", [n2]);
    clock.nowMs += 100 * uploadIdleMsMax;
    expect(await collectAll(metadata)).toEqual(new Map([[n2, [piece("a:1").chunk]]]));
    expect(await copies(metadata, store.inode, "a:1")).toEqual([{ node: n1, state: "stored" }]);
  });

  check("neither counts nor trusts a copy that is being deleted", async ({ metadata }) => {
    const store = await createStore(metadata);
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1, n2] });
    await metadata.remove({ parent: store.inode, name: "file" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    const garbage = await metadata.collectGarbage(100);
    expect(garbage.map(({ node }) => node).sort()).toEqual([n1, n2]);
    expect(await look(metadata, store.inode, "a:1", [n3])).toMatchObject({
      seen: [
        { node: n1, state: "deleting" },
        { node: n2, state: "deleting" },
      ],
      stored: 0,
    });
    const upload = newUpload();
    const id = piece("a:1").chunk;
    const files = [fileCommit({ parent: store.inode, name: "again", pieces: ["a:1"] })];
    await offerPieces(metadata, { upload, store: store.inode, pieces: ["a:1"], nodes: [n3] });
    // The receipt may be older than the order to delete.
    await expectCode("conflict", metadata.commit({ upload, files, confirmed: [{ node: n1, chunks: [id] }], last: false, owner }));
    await metadata.markCopies(n1, [{ chunk: id, state: "stored" }]);
    await expectCode("conflict", metadata.commit({ upload, files, confirmed: [], last: false, owner }));
    await metadata.commit({ upload, files, confirmed: [{ node: n3, chunks: [id] }], last: true, owner });
    for (const one of garbage) await metadata.forgetCopies(one);
    expect(await copies(metadata, store.inode, "a:1")).toEqual([{ node: n3, state: "stored" }]);
    expect(await metadata.totals([])).toMatchObject({ chunks: 1, degradedChunks: 0, lostChunks: 0 });
  });

  check("goes on with what is left when a node does not answer", async ({ metadata }) => {
    const store = await createStore(metadata);
    const files = (node: GlobalName, count: number) =>
      writeFiles(
        metadata,
        store.inode,
        Array.from({ length: count }, (_, index) => ({ parent: store.inode, name: `${node}-${index}`, pieces: [`${node}-${index}:1`] })),
        { nodes: [node] },
      );
    await files(n1, 30);
    await files(n2, 30);
    for (const node of [n1, n2]) {
      for (let index = 0; index < 30; index++)
        await metadata.remove({ parent: store.inode, name: `${node}-${index}` }, "file", { by: "dora" });
    }
    await reclaimAll(metadata);
    const deleted = new Set<string>();
    for (let round = 0; round < 20; round++) {
      for (const garbage of await metadata.collectGarbage(10)) {
        // n1 is away and confirms nothing.
        if (garbage.node !== n2) continue;
        for (const chunk of garbage.chunks) deleted.add(chunk);
        await metadata.forgetCopies(garbage);
      }
    }
    expect(deleted.size).toBe(30);
    expect((await collectAll(metadata)).get(n1)).toHaveLength(30);
    expect(await copies(metadata, store.inode, `${n1}-3:1`)).toEqual([]);
  });
}

function sharing(check: Check): void {
  check("keeps bytes on a node that another store has there too", async ({ metadata }) => {
    const [one, two] = [await createStore(metadata, "one"), await createStore(metadata, "two")];
    const id = piece("a:1").chunk;
    for (const store of [one, two]) {
      await writeFile(
        metadata,
        store.inode,
        { parent: store.inode, name: "file", pieces: ["a:1"] },
        { nodes: store === one ? [n1, n2] : [n1] },
      );
    }
    await metadata.remove({ parent: one.inode, name: "file" }, "file", { by: "dora" });
    expect(await collectAll(metadata)).toEqual(new Map([[n2, [id]]]));
    expect(await copies(metadata, two.inode, "a:1")).toEqual([{ node: n1, state: "stored" }]);
    expect(await look(metadata, one.inode, "a:1")).toMatchObject({ seen: [], stored: 0 });
    await metadata.remove({ parent: two.inode, name: "file" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    expect(await collectAll(metadata)).toEqual(new Map([[n1, [id]]]));
  });

  check("sends no other store's bytes to where the same bytes are being deleted", async ({ metadata }) => {
    const [one, two] = [await createStore(metadata, "one"), await createStore(metadata, "two")];
    const id = piece("a:1").chunk;
    await writeFile(metadata, one.inode, { parent: one.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1] });
    await metadata.remove({ parent: one.inode, name: "file" }, "file", { by: "dora" });
    await reclaimAll(metadata);
    const garbage = await metadata.collectGarbage(10);
    expect(garbage).toEqual([{ node: n1, chunks: [id] }]);
    // The node may delete them at any moment from here on, whoever has written them anew.
    expect((await look(metadata, two.inode, "a:1", [n2])).seen).toContainEqual({ node: n1, state: "deleting" });
    const upload = newUpload();
    const files = [fileCommit({ parent: two.inode, name: "file", pieces: ["a:1"] })];
    await offerPieces(metadata, { upload, store: two.inode, pieces: ["a:1"], nodes: [n2] });
    await expectCode("conflict", metadata.commit({ upload, files, confirmed: [{ node: n1, chunks: [id] }], last: false, owner }));
    for (const one of garbage) await metadata.forgetCopies(one);
    await metadata.commit({ upload, files, confirmed: [{ node: n1, chunks: [id] }], last: true, owner });
    expect(await copies(metadata, two.inode, "a:1")).toContainEqual({ node: n1, state: "stored" });
  });
}

function checking(check: Check): void {
  check("believes a check of copies, in every store that has them", async ({ metadata }) => {
    const [one, two] = [await createStore(metadata, "one", { replicas: 2 }), await createStore(metadata, "two")];
    const id = piece("a:1").chunk;
    await writeFile(metadata, one.inode, { parent: one.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1, n2] });
    await writeFile(metadata, two.inode, { parent: two.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1] });
    await metadata.markCopies(n1, [{ chunk: id, state: "damaged" }]);
    expect(await copies(metadata, one.inode, "a:1")).toEqual([
      { node: n1, state: "damaged" },
      { node: n2, state: "stored" },
    ]);
    expect(await metadata.totals([])).toEqual({ files: 2, chunks: 2, degradedChunks: 2, lostChunks: 1 });
    // A damaged copy may be asked for again, and is good once the node says so.
    expect(await look(metadata, two.inode, "a:1", [n1])).toMatchObject({ seen: [{ node: n1, state: "damaged" }], stored: 0 });
    expect(await copies(metadata, two.inode, "a:1")).toEqual([{ node: n1, state: "offered" }]);
    await metadata.markCopies(n1, [{ chunk: id, state: "stored" }]);
    expect(await metadata.totals([])).toEqual({ files: 2, chunks: 2, degradedChunks: 0, lostChunks: 0 });
    await metadata.markCopies(n2, [{ chunk: id, state: "missing" }]);
    expect(await copies(metadata, one.inode, "a:1")).toEqual([{ node: n1, state: "stored" }]);
    expect(await metadata.totals([])).toMatchObject({ degradedChunks: 1, lostChunks: 0 });
    await metadata.markCopies(n3, [{ chunk: id, state: "stored" }]);
    expect(await copies(metadata, one.inode, "a:1")).toEqual([{ node: n1, state: "stored" }]);
  });

  check("does not count copies on nodes that cannot be used", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { replicas: 2 });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "both", pieces: ["a:1"] }, { nodes: [n1, n2] });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "second", pieces: ["b:1"] }, { nodes: [n2, n3] });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "one", pieces: ["c:1"] }, { nodes: [n3] });
    expect(await metadata.totals([])).toEqual({ files: 3, chunks: 3, degradedChunks: 1, lostChunks: 0 });
    expect(await metadata.totals([n1])).toEqual({ files: 3, chunks: 3, degradedChunks: 2, lostChunks: 0 });
    expect(await metadata.totals([n1, n2])).toEqual({ files: 3, chunks: 3, degradedChunks: 3, lostChunks: 1 });
    expect(await metadata.totals([n1, n2, n3])).toEqual({ files: 3, chunks: 3, degradedChunks: 3, lostChunks: 3 });
    expect(await metadata.totals(["stranger@home.collective.local" as GlobalName])).toMatchObject({ degradedChunks: 1 });
  });
}
