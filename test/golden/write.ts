/**
 * Writes what this version puts on disks and wires to `test/golden/<version>/`, so that every later
 * version proves that it still reads it. What was released is never written again.
 *
 *   bun test/golden/write.ts          adds what the folder of this version lacks
 */
import { createPrivateKey } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { type ChunkId, chunkIdFromBytes, type Inode, parseGlobalName, parseSite, rootInode } from "../../protocol/ids.ts";
import { deriveChunkKeys, sealChunk, sealedBytesMax } from "../../src/codec/sealed-chunk.ts";
import { silentLog } from "../../src/core/log.ts";
import { version } from "../../src/core/version.ts";
import { openDatabase } from "../../src/db/database.ts";
import { metadataApplicationId, metadataMigrations } from "../../src/meta/migrations.ts";
import { createSqliteMetadata } from "../../src/meta/sqlite.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import { createSigner, signReceipt, signTicket } from "../../src/pki/ticket.ts";
import { createStore, knownNode, makeDirectory, nodeNames, offerPieces, owner, writeFiles } from "../support/metadata.ts";
import { handClock } from "../support/pki.ts";

export const goldenFolder = import.meta.dir;
export const goldenStoreKey = new Uint8Array(32).map((_, index) => index);

/** An Ed25519 key whose 32 secret bytes are all the same, in PKCS 8. */
export function goldenSigner(byte: number) {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, byte)]);
  return createSigner(createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ format: "pem", type: "pkcs8" }).toString());
}

export const goldenChunks = {
  "text-encrypted": { plain: Buffer.alloc(1_000, "stored for ever "), encrypted: true },
  "text-clear": { plain: Buffer.alloc(1_000, "stored for ever "), encrypted: false },
  "bytes-encrypted": {
    plain: Buffer.from(Array.from({ length: 200 }, (_, index) => (index * index * 31 + index * 7) & 255)),
    encrypted: true,
  },
  "bytes-clear": {
    plain: Buffer.from(Array.from({ length: 200 }, (_, index) => (index * index * 31 + index * 7) & 255)),
    encrypted: false,
  },
  "one-encrypted": { plain: Buffer.from("x"), encrypted: true },
} as const;

export const goldenIds: readonly ChunkId[] = [1, 2, 3].map((byte) => chunkIdFromBytes(new Uint8Array(32).fill(byte)));
export const goldenTimeMs = Date.UTC(2026, 0, 2, 3, 4, 5);

export function goldenTicket() {
  return {
    version: 1 as const,
    id: new Uint8Array(16).fill(7),
    issuer: parseSite("home.collective.local"),
    audience: parseGlobalName("node-01@home.collective.local"),
    holder: "dora@home.collective.local",
    operation: "put" as const,
    chunks: goldenIds,
    bytesMax: 8_388_608,
    notBeforeMs: goldenTimeMs,
    expiresMs: goldenTimeMs + 900_000,
  };
}

export function goldenReceipt() {
  return { version: 1 as const, node: parseGlobalName("node-01@home.collective.local"), chunks: goldenIds, storedAtMs: goldenTimeMs };
}

/** All that a metadata store knows, as JSON. */
export async function contentOf(metadata: MetadataStore): Promise<unknown> {
  const treeOf = async (inode: Inode): Promise<unknown[]> => {
    const { entries } = await metadata.list(inode, { limit: 1_000 });
    return Promise.all(
      entries.map(async ({ name, attr }) => ({
        name,
        attr,
        extents: attr.type === "file" ? await metadata.extents(attr.inode, { offset: 0, lengthBytes: 1e9, limit: 100 }) : [],
        below: attr.type === "directory" ? await treeOf(attr.inode) : [],
      })),
    );
  };
  const stores = await metadata.listStores();
  const content = {
    tree: await treeOf(rootInode),
    stores,
    keys: await Promise.all(stores.map(async (store) => Buffer.from((await metadata.storeKey(store.inode)).key).toString("hex"))),
    nodes: (await metadata.listNodes()).map((node) => ({ ...node, publicKeyRaw: Buffer.from(node.publicKeyRaw).toString("hex") })),
    totals: await metadata.totals([]),
  };
  return JSON.parse(JSON.stringify(content, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value)));
}

async function writeDatabase(folder: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "collective-golden-"));
  try {
    const path = join(work, "metadata.db");
    const db = openDatabase({ path, applicationId: metadataApplicationId, migrations: metadataMigrations, log: silentLog });
    const metadata = createSqliteMetadata({ db, clock: handClock(goldenTimeMs) });
    await metadata.saveNodes(nodeNames.map(knownNode));
    const media = await createStore(metadata, "media", { replicas: 2, quotaBytes: 1_000_000 });
    await createStore(metadata, "plain", { encrypt: false, strategy: "backup" });
    const films = await makeDirectory(metadata, media.inode, "films");
    await writeFiles(
      metadata,
      media.inode,
      [
        { parent: films.inode, name: "ä.mkv", pieces: ["a:10", "b:20", "a:10"], mtimeNs: -1_500_000_001n },
        { parent: media.inode, name: "empty" },
      ],
      { nodes: nodeNames.slice(0, 2) },
    );
    await metadata.makeSymlinks([{ parent: media.inode, name: "link", target: "films/ä.mkv", mtimeNs: 5n }], { owner });
    await offerPieces(metadata, { upload: "an-upload-under-way", store: media.inode, pieces: ["pinned:3"] });
    const content = await contentOf(metadata);
    await metadata.close();
    await writeFile(join(folder, "metadata.db.zst"), zstdCompressSync(await Bun.file(path).bytes()));
    await writeFile(join(folder, "metadata.json"), `${JSON.stringify(content, null, 2)}\n`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const folder = join(goldenFolder, version);
  await mkdir(folder, { recursive: true });
  const add = async (name: string, write: () => Promise<unknown>): Promise<void> => {
    if (existsSync(join(folder, name))) return;
    await write();
    console.log(`wrote ${name}`);
  };
  const addHex = (name: string, bytes: () => Uint8Array) =>
    add(name, () => writeFile(join(folder, name), `${Buffer.from(bytes()).toString("hex")}\n`));
  for (const [name, { plain, encrypted }] of Object.entries(goldenChunks)) {
    const keys = encrypted ? deriveChunkKeys(goldenStoreKey) : undefined;
    await addHex(`chunk-${name}.hex`, () => sealChunk(plain, { keys, out: new Uint8Array(sealedBytesMax(plain.length)) }).stored);
  }
  await addHex("ticket.hex", () => signTicket(goldenSigner(1), goldenTicket()));
  await addHex("receipt.hex", () => signReceipt(goldenSigner(2), goldenReceipt()));
  await add("metadata.db.zst", () => writeDatabase(folder));
}

if (import.meta.main) await main();
