import { describe, expect, test } from "bun:test";
import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { sessionSilentMsMax } from "../../protocol/limits.ts";
import { silentLog } from "../../src/core/log.ts";
import { openDatabase } from "../../src/db/database.ts";
import { metadataApplicationId, metadataMigrations } from "../../src/meta/migrations.ts";
import { createSqliteMetadata } from "../../src/meta/sqlite.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import { memoryMetadata } from "../support/member.ts";
import {
  createStore,
  knownNode,
  makeDirectory,
  namesIn,
  nodeNames,
  owner,
  piece,
  reclaimAll,
  writeFile,
  writeFiles,
} from "../support/metadata.ts";
import { type HandClock, handClock, testFolder } from "../support/pki.ts";
import { metadataStoreSuite } from "./metadata-store.ts";

function openFile(path: string, clock: HandClock): MetadataStore {
  const db = openDatabase({ path, applicationId: metadataApplicationId, migrations: metadataMigrations, log: silentLog });
  return createSqliteMetadata({ db, clock });
}

metadataStoreSuite({
  name: "sqlite in memory",
  create: async () => {
    const clock = handClock();
    const metadata = memoryMetadata(clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    return { metadata, clock, [Symbol.asyncDispose]: () => metadata.close() };
  },
});

metadataStoreSuite({
  name: "sqlite in a file",
  create: async () => {
    const folder = await testFolder();
    const clock = handClock();
    const metadata = openFile(join(folder.path, "metadata.db"), clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    return {
      metadata,
      clock,
      [Symbol.asyncDispose]: async () => {
        await metadata.close();
        await folder[Symbol.asyncDispose]();
      },
    };
  },
});

/** What a process that is killed now would leave behind, opened by the next one. */
async function afterCrash(folder: string, name: string, clock: HandClock): Promise<MetadataStore> {
  const copy = join(folder, name);
  await cp(folder, copy, { recursive: true, filter: (from) => !from.includes(copy) && !from.endsWith(".lock") && !from.endsWith("-shm") });
  return openFile(join(copy, "metadata.db"), clock);
}

async function treeOf(metadata: MetadataStore, inode: Inode = rootInode): Promise<unknown> {
  const { entries } = await metadata.list(inode, { limit: 1_000 });
  return Promise.all(
    entries.map(async ({ name, attr }) => [
      name,
      attr,
      attr.type === "directory"
        ? await treeOf(metadata, attr.inode)
        : await metadata.extents(attr.inode, { offset: 0, lengthBytes: 1e9, limit: 1e3 }),
    ]),
  );
}

describe("metadata in a file", () => {
  test("has after a crash all that was acknowledged", async () => {
    await using folder = await testFolder();
    const clock = handClock();
    const path = join(folder.path, "live");
    await Bun.write(join(path, ".keep"), "");
    const metadata = openFile(join(path, "metadata.db"), clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    const store = await createStore(metadata, "media", { replicas: 2 });
    const inner = await makeDirectory(metadata, store.inode, "inner");
    for (let round = 0; round < 3; round++) {
      await writeFiles(metadata, store.inode, [
        { parent: inner.inode, name: `file-${round}`, pieces: [`a-${round}:5`, "same:3"], mtimeNs: BigInt(-round) },
        { parent: store.inode, name: "again", pieces: [`b-${round}:${round + 1}`] },
      ]);
      await metadata.rename(
        { parent: inner.inode, name: `file-${round}` },
        { parent: store.inode, name: `moved-${round}` },
        { replace: false },
      );
      const next = await afterCrash(path, `../crash-${round}`, clock);
      expect(await treeOf(next)).toEqual(await treeOf(metadata));
      expect(await next.listStores()).toEqual(await metadata.listStores());
      expect(await next.storeKey(store.inode)).toEqual(await metadata.storeKey(store.inode));
      expect(await next.listNodes()).toEqual(await metadata.listNodes());
      expect(await next.totals([])).toEqual(await metadata.totals([]));
      await next.close();
    }
    await metadata.close();
    expect((await readdir(path)).filter((name) => name.endsWith("-wal"))).toEqual([]);
  });

  test("goes on after a crash with freeing what was removed before", async () => {
    await using folder = await testFolder();
    const clock = handClock();
    const path = join(folder.path, "live");
    await Bun.write(join(path, ".keep"), "");
    const metadata = openFile(join(path, "metadata.db"), clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    const store = await createStore(metadata);
    const tree = await makeDirectory(metadata, store.inode, "tree");
    for (let batch = 0; batch < 8; batch++) {
      const files = Array.from({ length: 100 }, (_, index) => ({
        parent: tree.inode,
        name: `${batch}-${index}`,
        pieces: [`${batch}-${index}:1`],
      }));
      await writeFiles(metadata, store.inode, files);
    }
    const kept = await writeFile(metadata, store.inode, { parent: store.inode, name: "kept", pieces: ["kept:1"] });
    await metadata.remove({ parent: store.inode, name: "tree" }, "tree", { by: "dora" });
    const next = await afterCrash(path, "../crash", clock);
    await metadata.close();
    expect(await namesIn(next, store.inode)).toEqual(["kept"]);
    await reclaimAll(next);
    expect(await next.storeByName("media")).toMatchObject({ files: 1, chunks: 1, logicalBytes: 1 });
    expect((await next.extents(kept.inode, { offset: 0, lengthBytes: 1, limit: 1 }))[0]?.chunk).toBe(piece("kept:1").chunk);
    await next.close();
  });

  test("counts the links of a database from before there were any, and gives no number twice", async () => {
    await using folder = await testFolder();
    const path = join(folder.path, "metadata.db");
    const before = metadataMigrations.slice(
      0,
      metadataMigrations.findIndex(({ name }) => name === "0007-posix"),
    );
    const old = openDatabase({ path, applicationId: metadataApplicationId, migrations: before, log: silentLog });
    await old.write(() => {
      for (const [id, type, parent] of [
        [2, 1, 1],
        [3, 1, 2],
        [4, 2, 3],
        [5, 3, 3],
        [50, 2, 3],
      ] as const) {
        old.sqlite.run(
          "INSERT INTO inode (id, type, store, mode, owner, mtime_s, mtime_n, ctime_s, ctime_n) VALUES (?, ?, 2, 0, '', 7, 8, 9, 9)",
          [...[id, type]],
        );
        old.sqlite.run("INSERT INTO entry (parent, name, inode) VALUES (?, ?, ?)", [parent, `${id}`, id]);
      }
      old.sqlite.run("DELETE FROM entry WHERE inode = 50");
      old.sqlite.run("DELETE FROM inode WHERE id = 50");
    });
    await old.close();
    const metadata = openFile(path, handClock());
    const attrs = await Promise.all([1, 2, 3, 4, 5].map((inode) => metadata.getAttr(inode as Inode)));
    expect(attrs.map(({ links }) => links)).toEqual([3, 3, 2, 1, 1]);
    expect(attrs[3]).toMatchObject({ atimeNs: 7_000_000_008n, uid: null, gid: null });
    expect((await makeDirectory(metadata, 3 as Inode, "new")).inode).toBeGreaterThan(50);
    await metadata.close();
  });

  test("keeps after a crash what is open without a name, and listens for its holders from then on", async () => {
    await using folder = await testFolder();
    const clock = handClock();
    const path = join(folder.path, "live");
    await Bun.write(join(path, ".keep"), "");
    const metadata = openFile(join(path, "metadata.db"), clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    const store = await createStore(metadata);
    const { inode } = await writeFile(metadata, store.inode, { parent: store.inode, name: "open", pieces: ["open:1"] });
    await metadata.setExtendedAttribute(inode, { name: "user.a", value: new Uint8Array(1) }, "create");
    await metadata.hold({ caller: owner, token: "a-session-of-a-test" }, [inode]);
    await metadata.remove({ parent: store.inode, name: "open" }, "file", { by: "dora" });
    clock.nowMs += 10 * sessionSilentMsMax;
    const next = await afterCrash(path, "../crash", clock);
    await metadata.close();
    clock.nowMs += sessionSilentMsMax;
    await reclaimAll(next);
    expect(await next.getAttr(inode)).toMatchObject({ links: 0, sizeBytes: 1 });
    expect(await next.extendedAttributes(inode)).toHaveLength(1);
    clock.nowMs += 1;
    await reclaimAll(next);
    expect(await next.storeByName("media")).toMatchObject({ files: 0, chunks: 0 });
    await next.close();
  });

  test("keeps an upload's chunks and orders to delete over a restart", async () => {
    await using folder = await testFolder();
    const clock = handClock();
    const file = join(folder.path, "metadata.db");
    const metadata = openFile(file, clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    const store = await createStore(metadata);
    const [n1] = nodeNames;
    if (!n1) throw new Error("no node");
    await writeFile(metadata, store.inode, { parent: store.inode, name: "gone", pieces: ["gone:1"] });
    await metadata.remove({ parent: store.inode, name: "gone" }, "file", { by: "dora" });
    const garbage = await metadata.collectGarbage(10);
    const chunks = [{ id: piece("pinned:1").chunk, storedBytes: 65, codec: "none" as const }];
    await metadata.offer({ upload: "an-upload-of-a-test", store: store.inode, chunks, confirmed: [] }, () => [n1]);
    await metadata.close();

    const next = openFile(file, clock);
    expect(garbage).toEqual([{ node: n1, chunks: [piece("gone:1").chunk] }]);
    expect(await next.collectGarbage(10)).toEqual(garbage);
    const confirmed = [{ node: n1, chunks: [piece("pinned:1").chunk] }];
    const commit = { parent: store.inode, name: "new", mode: 0o644, mtimeNs: 0n, sizeBytes: 1, extents: [piece("pinned:1")] };
    await next.commit({ upload: "an-upload-of-a-test", files: [commit], confirmed, last: true, owner });
    expect(await next.totals([])).toMatchObject({ files: 1, chunks: 1, lostChunks: 0 });
    await next.close();
  });
});
