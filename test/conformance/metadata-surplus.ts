/** Copies beyond what a store asks for: which there are, and that none goes that is needed. */
import { expect } from "bun:test";
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import { collectAll, createStore, newUpload, nodeNames, offerPieces, piece, writeFile } from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

const [n1, n2, n3] = nodeNames as [GlobalName, GlobalName, GlobalName];
const a = piece("a:1").chunk;
const b = piece("b:1").chunk;

async function statesOf(metadata: MetadataStore, store: Inode): Promise<string[]> {
  const [copies] = await metadata.copiesOf(store, [a]);
  return (copies ?? []).map(({ node, state }) => `${node.slice(0, 7)} ${state}`);
}

export function surplusSuite(check: Check): void {
  check("is what is stored more often than the store asks for, page by page", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { replicas: 2 });
    const other = await createStore(metadata, "other", { replicas: 1 });
    const write = (at: Inode, pieces: string[], nodes: GlobalName[]) =>
      writeFile(metadata, at, { parent: at, name: pieces.join(), pieces }, { nodes });
    await write(store.inode, ["a:1", "b:1"], [n1, n2, n3]);
    await write(store.inode, ["c:1"], [n1, n2]);
    await write(other.inode, ["d:1"], [n1, n2]);
    const all = await metadata.surplusOf(store.inode, { limit: 10 });
    expect(all.map(({ id }) => id)).toEqual([a, b].sort());
    expect(all[0]).toMatchObject({ storedBytes: 65, copies: [n1, n2, n3].map((node) => ({ node, state: "stored" })) });
    const [first] = await metadata.surplusOf(store.inode, { limit: 1 });
    expect((await metadata.surplusOf(store.inode, { after: first?.id, limit: 10 })).map(({ id }) => id)).toEqual([[a, b].sort()[1] ?? a]);
    // What nobody uses is garbage, and what is damaged does not count.
    await metadata.remove({ parent: store.inode, name: "a:1,b:1" }, "file", { by: "dora" });
    await collectAll(metadata);
    await write(store.inode, ["a:1"], [n1, n2, n3]);
    await metadata.markCopies(n3, [{ chunk: a, state: "damaged" }]);
    expect(await metadata.surplusOf(store.inode, { limit: 10 })).toEqual([]);
    await metadata.setStore("media", { replicas: 1 });
    expect((await metadata.surplusOf(store.inode, { limit: 10 })).map(({ id }) => id)).toContain(a);
  });

  check("goes, and its bytes with it, while enough of the others are stored", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { replicas: 2 });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1, n2, n3] });
    expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n3, kept: [n1, n2] }])).toBe(1);
    expect(await statesOf(metadata, store.inode)).toEqual(["node-01 stored", "node-02 stored", "node-03 deleting"]);
    // What was released is no longer anybody's reserve.
    expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n1, kept: [n2, n3] }])).toBe(0);
    expect(await collectAll(metadata)).toEqual(new Map([[n3, [a]]]));
    expect(await statesOf(metadata, store.inode)).toEqual(["node-01 stored", "node-02 stored"]);
  });

  check("stays when those that are to be kept are not there, or too few, or itself", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { replicas: 2 });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1, n2, n3] });
    const refused = async (...kept: GlobalName[]) =>
      expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n3, kept }])).toBe(0);
    await refused();
    await refused(n1);
    await refused(n1, n1);
    await refused(n1, n3);
    await refused(n1, "stranger@home.collective.local" as GlobalName);
    await metadata.markCopies(n2, [{ chunk: a, state: "damaged" }]);
    await refused(n1, n2);
    await metadata.markCopies(n2, [{ chunk: a, state: "stored" }]);
    // The policy may have changed since it was looked at.
    await metadata.setStore("media", { replicas: 3 });
    await refused(n1, n2);
    await metadata.setStore("media", { replicas: 1 });
    expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n2, kept: [n1] }])).toBe(1);
    expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n1, kept: [n3] }])).toBe(1);
    expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n3, kept: [n1, n2] }])).toBe(0);
  });

  check("is counted by what is stored, not by what was offered or stands in another store", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { replicas: 1 });
    const other = await createStore(metadata, "other", { replicas: 1 });
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1"] }, { nodes: [n1] });
    await writeFile(metadata, other.inode, { parent: other.inode, name: "file", pieces: ["a:1"] }, { nodes: [n2] });
    await offerPieces(metadata, { upload: newUpload(), store: store.inode, pieces: ["a:1"], nodes: [n3] });
    expect(await metadata.surplusOf(store.inode, { limit: 10 })).toEqual([]);
    for (const kept of [[n2], [n3], [n2, n3]]) {
      expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n1, kept }])).toBe(0);
    }
    expect(await metadata.releaseCopies(store.inode, [{ chunk: a, node: n2, kept: [n1] }])).toBe(0);
  });
}
