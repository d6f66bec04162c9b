/** Copies at other members: whose nodes they are on, what they take there, and what this member lends itself. */
import { expect } from "bun:test";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import type { HostNode, MetadataStore } from "../../src/meta/store.ts";
import { collectAll, createStore, fileCommit, newUpload, nodeNames, offerPieces, owner, piece, reclaimAll } from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

const [own] = nodeNames as [GlobalName];
const bob = parseGlobalName("bob@garage.collective.local");
const node = parseGlobalName("node-01@garage.collective.local");
const host: HostNode = { name: node, member: bob, publicKeyRaw: new Uint8Array(32).fill(7), address: "10.0.0.2:7001" };
const storedBytes = piece("a:1").plainBytes + 64;

async function usedAtBob(metadata: MetadataStore): Promise<number | undefined> {
  return (await metadata.usedAtHosts()).get(bob);
}

export function hostsSuite(check: Check): void {
  check("knows nodes of others beside its own, not among them", async ({ metadata }) => {
    const before = await metadata.listNodes();
    await metadata.saveHostNodes([host]);
    await metadata.saveHostNodes([{ ...host, address: "10.0.0.3:7001" }]);
    expect(await metadata.listHostNodes()).toEqual([{ ...host, address: "10.0.0.3:7001" }]);
    expect(await metadata.listNodes()).toEqual(before);
    expect(await usedAtBob(metadata)).toBe(0);
  });

  check("counts what copies take at others, from the offer until they are forgotten", async ({ metadata }) => {
    await metadata.saveHostNodes([host]);
    const store = await createStore(metadata);
    const upload = newUpload();
    await offerPieces(metadata, { store: store.inode, upload, pieces: ["a:1"], nodes: [own] });
    const there = { node, chunks: [piece("a:1").chunk] };
    expect(await metadata.offerAlso(store.inode, [there])).toEqual([there]);
    expect(await metadata.offerAlso(store.inode, [there])).toEqual([there]);
    expect(await usedAtBob(metadata)).toBe(storedBytes);
    const file = fileCommit({ parent: store.inode, name: "file", pieces: ["a:1"] });
    await metadata.offer({ upload, store: store.inode, chunks: [], confirmed: [there] }, () => []);
    await metadata.commit({ upload, files: [file], confirmed: [], last: true, owner });
    expect(await metadata.copiesOf(store.inode, there.chunks)).toEqual([
      [
        { node: own, state: "offered" },
        { node, state: "stored" },
      ],
    ]);
    await metadata.remove({ parent: store.inode, name: "file" }, "file", { by: owner });
    await reclaimAll(metadata);
    const garbage = await collectAll(metadata);
    expect(garbage.get(node)).toEqual(there.chunks);
    expect(await usedAtBob(metadata)).toBe(0);
  });

  check("offers nothing where the same bytes are being deleted for another store", async ({ metadata }) => {
    await metadata.saveHostNodes([host]);
    const [store, other] = [await createStore(metadata), await createStore(metadata, "other")];
    const there = { node, chunks: [piece("a:1").chunk] };
    const first = newUpload();
    await offerPieces(metadata, { store: store.inode, upload: first, pieces: ["a:1"], nodes: [] });
    await metadata.offerAlso(store.inode, [there]);
    await metadata.commit({ upload: first, files: [], confirmed: [], last: true, owner });
    expect(await metadata.collectGarbage(10)).toEqual([there]);
    await offerPieces(metadata, { store: other.inode, upload: newUpload(), pieces: ["a:1"], nodes: [] });
    expect(await metadata.offerAlso(other.inode, [there])).toEqual([{ node, chunks: [] }]);
    await metadata.forgetCopies(there);
    expect(await metadata.offerAlso(other.inode, [there])).toEqual([there]);
  });

  check("lends nothing until it is told to, and writes down who did", async ({ metadata }) => {
    expect(await metadata.pledge()).toBe(0);
    await metadata.setPledge(500, owner);
    await metadata.setPledge(500, owner);
    expect(await metadata.pledge()).toBe(500);
    const entries = (await metadata.listAudit({ limit: 10 })).filter(({ action }) => action === "pledge.set");
    expect(entries).toMatchObject([{ actor: owner, details: { bytes: 500, before: 0 } }]);
  });
}
