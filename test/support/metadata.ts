/** What tests of the metadata need again and again: stores, chunks, files and the codes of errors. */
import { expect } from "bun:test";
import { CollectiveError, type ErrorCode } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdFromBytes, type GlobalName, type Inode } from "../../protocol/ids.ts";
import { type ContentVersion, defaultStorePolicy, type FileCommit, type Store, type StorePolicy } from "../../protocol/schema.ts";
import type { KnownNode, MetadataStore } from "../../src/meta/store.ts";
import { alice } from "./pki.ts";

export const owner = alice;
export const nodeNames = ["node-01", "node-02", "node-03"].map((name) => `${name}@home.collective.local` as GlobalName);

/** The same for the same text. */
export function chunkId(text: string): ChunkId {
  return chunkIdFromBytes(new Bun.CryptoHasher("sha256").update(text).digest());
}

export function knownNode(name: GlobalName): KnownNode {
  return {
    name,
    publicKeyRaw: new Uint8Array(32).fill(name.length),
    address: "127.0.0.1:7001",
    capacityBytes: 1_000_000,
    usedBytes: 0,
    freeBytes: 1_000_000,
    chunkCount: 0,
    version: "0.0.0-test",
    lastSeenMs: 1_000,
  };
}

export async function createStore(metadata: MetadataStore, name = "media", policy: Partial<StorePolicy> = {}): Promise<Store> {
  return metadata.createStore({ name, policy: { ...defaultStorePolicy, replicas: 1, ...policy }, owner });
}

export interface Piece {
  readonly chunk: ChunkId;
  readonly plainBytes: number;
}

/** `a:10` is a chunk of 10 bytes; its id depends on the text alone. */
export function piece(text: string): Piece {
  return { chunk: chunkId(text), plainBytes: Number(text.split(":")[1]) };
}

export interface NewFile {
  readonly parent: Inode;
  readonly name: string;
  readonly pieces?: readonly string[];
  readonly mode?: number;
  readonly mtimeNs?: bigint;
  readonly changedNs?: bigint;
  readonly sizeBytes?: number;
  readonly replaces?: ContentVersion | null;
  /** Written by its number, whatever has the name. */
  readonly inode?: Inode;
}

export function fileCommit(file: NewFile): FileCommit {
  const extents = (file.pieces ?? []).map(piece);
  return {
    parent: file.parent,
    name: file.name,
    mode: file.mode ?? 0o644,
    mtimeNs: file.mtimeNs ?? 1_700_000_000_000_000_001n,
    ...(file.changedNs === undefined ? {} : { changedNs: file.changedNs }),
    sizeBytes: file.sizeBytes ?? extents.reduce((sum, extent) => sum + extent.plainBytes, 0),
    extents,
    ...(file.replaces === undefined ? {} : { replaces: file.replaces }),
    ...(file.inode === undefined ? {} : { inode: file.inode }),
  };
}

export interface WriteOptions {
  readonly upload?: string;
  /** Which nodes hold a copy of every chunk. */
  readonly nodes?: readonly GlobalName[];
  readonly last?: boolean;
}

let uploads = 0;

export function newUpload(): string {
  return `upload-of-a-test-${++uploads}`;
}

/** Announces pieces for these nodes. */
export async function offerPieces(
  metadata: MetadataStore,
  request: { readonly upload: string; readonly store: Inode; readonly pieces: readonly string[]; readonly nodes?: readonly GlobalName[] },
): Promise<{ targets: (readonly GlobalName[])[]; stored: number[] }> {
  const chunks = [...new Set(request.pieces)].map((text) => ({
    id: piece(text).chunk,
    storedBytes: piece(text).plainBytes + 64,
    codec: "none" as const,
  }));
  const nodes = request.nodes ?? nodeNames.slice(0, 1);
  return metadata.offer({ upload: request.upload, store: request.store, chunks, confirmed: [] }, (_, copies) =>
    nodes.filter((node) => !copies.some((copy) => copy.node === node && copy.state !== "damaged")),
  );
}

/** Stores and publishes files of one store, as a client does. */
export async function writeFiles(metadata: MetadataStore, store: Inode, files: readonly NewFile[], options: WriteOptions = {}) {
  const upload = options.upload ?? newUpload();
  const nodes = options.nodes ?? nodeNames.slice(0, 1);
  const pieces = files.flatMap((file) => file.pieces ?? []);
  await offerPieces(metadata, { upload, store, pieces, nodes });
  const chunks = [...new Set(pieces)].map((text) => piece(text).chunk);
  const confirmed = chunks.length === 0 ? [] : nodes.map((node) => ({ node, chunks }));
  return metadata.commit({ upload, files: files.map(fileCommit), confirmed, last: options.last ?? true, owner });
}

export async function writeFile(metadata: MetadataStore, store: Inode, file: NewFile, options: WriteOptions = {}) {
  const { attrs } = await writeFiles(metadata, store, [file], options);
  const [attr] = attrs;
  if (!attr) throw new Error("no attributes came back");
  return attr;
}

export async function makeDirectory(metadata: MetadataStore, parent: Inode, name: string) {
  const [attr] = await metadata.makeDirectories([{ parent, name, mode: 0o755 }], { existing: "fail", owner });
  if (!attr) throw new Error("no attributes came back");
  return attr;
}

export async function namesIn(metadata: MetadataStore, inode: Inode): Promise<string[]> {
  const { entries } = await metadata.list(inode, { limit: 1000 });
  return entries.map((entry) => entry.name);
}

export async function reclaimAll(metadata: MetadataStore): Promise<number> {
  for (let steps = 1; steps < 1_000; steps++) if (!(await metadata.reclaim())) return steps;
  throw new Error("reclaiming does not come to an end");
}

/** Collects until nothing is left, as a coordinator does whose nodes are all alive. */
export async function collectAll(metadata: MetadataStore): Promise<Map<GlobalName, ChunkId[]>> {
  const deleted = new Map<GlobalName, ChunkId[]>();
  for (let round = 0; round < 100; round++) {
    const garbage = await metadata.collectGarbage(100);
    if (garbage.length === 0) return deleted;
    for (const { node, chunks } of garbage) {
      deleted.set(node, [...(deleted.get(node) ?? []), ...chunks]);
      await metadata.forgetCopies({ node, chunks });
    }
  }
  throw new Error("garbage does not come to an end");
}

export async function failureOf(action: Promise<unknown> | (() => unknown)): Promise<CollectiveError> {
  try {
    await (typeof action === "function" ? action() : action);
  } catch (error) {
    if (error instanceof CollectiveError) return error;
    throw error;
  }
  throw new Error("it should have failed and did not");
}

export async function expectCode(code: ErrorCode, action: Promise<unknown> | (() => unknown)): Promise<CollectiveError> {
  const error = await failureOf(action);
  expect(`${error.code}: ${error.message}`).toStartWith(`${code}: `);
  return error;
}
