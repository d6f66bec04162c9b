/** Datastores and the registry of nodes. */
import { expect } from "bun:test";
import { type GlobalName, parseInode, rootInode } from "../../protocol/ids.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { createStore, expectCode, nodeNames, owner, writeFile } from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

export function storesSuite(check: Check): void {
  check("creates stores with the policy asked for", async ({ metadata, clock }) => {
    const policy = { strategy: "backup", replicas: 3, quotaBytes: 5_000, minMembers: 2, encrypt: false } as const;
    const store = await metadata.createStore({ name: "backup", policy, owner });
    expect(store).toMatchObject({
      name: "backup",
      owner,
      policy,
      createdMs: clock.nowMs,
      files: 0,
      logicalBytes: 0,
      chunks: 0,
      storedBytes: 0,
    });
    expect(await metadata.storeByName("backup")).toEqual(store);
    expect(await metadata.policyOf(store.inode)).toEqual(store.policy);
    await expectCode("already_exists", metadata.createStore({ name: "backup", policy: defaultStorePolicy, owner }));
    await createStore(metadata, "archive");
    expect((await metadata.listStores()).map(({ name }) => name)).toEqual(["archive", "backup"]);
    await expectCode("not_found", metadata.storeByName("nothing"));
    await expectCode("not_found", metadata.policyOf(parseInode(999_999)));
  });

  check("records who made and who removed a store, however that was asked for", async ({ metadata }) => {
    await createStore(metadata, "media");
    await metadata.makeDirectories([{ parent: rootInode, name: "films", mode: 0o755 }], { existing: "fail", owner });
    await metadata.makeDirectories([{ parent: rootInode, name: "films", mode: 0o755 }], { existing: "keep", owner });
    await expectCode("already_exists", createStore(metadata, "media"));
    await metadata.remove({ parent: rootInode, name: "media" }, "tree", { by: owner });
    await expectCode("not_found", metadata.remove({ parent: rootInode, name: "media" }, "tree", { by: owner }));
    const trail = await metadata.listAudit({ limit: 10 });
    expect(trail.map(({ actor, action, subject }) => `${actor} ${action} ${subject}`)).toEqual([
      `${owner} store.removed media`,
      `${owner} store.created films`,
      `${owner} store.created media`,
    ]);
  });

  check("changes only the part of a policy that is given", async ({ metadata }) => {
    await createStore(metadata, "media", { quotaBytes: 100 });
    expect((await metadata.setStore("media", { replicas: 4 })).policy).toEqual({ ...defaultStorePolicy, replicas: 4, quotaBytes: 100 });
    expect((await metadata.setStore("media", { quotaBytes: null, strategy: "media" })).policy).toMatchObject({
      quotaBytes: null,
      strategy: "media",
      replicas: 4,
    });
    await expectCode("not_found", metadata.setStore("nothing", { replicas: 2 }));
  });

  check("gives every store a key of its own and keeps it", async ({ metadata }) => {
    const [one, two] = [await createStore(metadata, "one"), await createStore(metadata, "two", { encrypt: false })];
    const first = await metadata.storeKey(one.inode);
    expect(first.key).toHaveLength(32);
    expect(first.encrypt).toBe(true);
    expect((await metadata.storeKey(two.inode)).encrypt).toBe(false);
    expect((await metadata.storeKey(two.inode)).key).not.toEqual(first.key);
    await metadata.setStore("one", { replicas: 3 });
    expect(await metadata.storeKey(one.inode)).toEqual(first);
    await expectCode("not_found", metadata.storeKey(parseInode(999_999)));
  });

  check("sees at once who lacks copies when more are asked for", async ({ metadata }) => {
    const store = await createStore(metadata);
    await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:1", "b:1"] });
    expect((await metadata.storeByName("media")).degradedChunks).toBe(0);
    expect((await metadata.setStore("media", { replicas: 2 })).degradedChunks).toBe(2);
    expect(await metadata.totals([])).toEqual({ files: 1, chunks: 2, degradedChunks: 2, lostChunks: 0 });
  });

  check("knows its nodes and replaces what it knew of them", async ({ metadata }) => {
    const known = await metadata.listNodes();
    expect(known.map(({ name }) => name)).toEqual(nodeNames);
    const [first] = known;
    if (!first) throw new Error("no node is known");
    const changed = { ...first, freeBytes: 5, address: "localhost:1", publicKeyRaw: new Uint8Array(32).fill(9), lastSeenMs: 12_345 };
    const fresh = { ...first, name: "another@home.collective.local" as GlobalName };
    await metadata.saveNodes([changed, fresh]);
    const after = await metadata.listNodes();
    expect(after.find(({ name }) => name === first.name)).toEqual(changed);
    expect(after).toHaveLength(nodeNames.length + 1);
  });
}
