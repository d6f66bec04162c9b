/**
 * Random sequences of namespace operations, against a plain model: the same answer or the same error
 * to each, and the same tree in the end. `SEEDS=2000` runs more of them, `SEED=17` runs that one.
 */
import { expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, parseInode, rootInode } from "../../protocol/ids.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import type { LocatedExtent, MetadataStore } from "../../src/meta/store.ts";
import { memoryMetadata } from "../support/member.ts";
import { chunkId, collectAll, fileCommit, knownNode, newUpload, nodeNames, offerPieces, owner, piece } from "../support/metadata.ts";
import {
  bytesOfPiece,
  createNamespaceModel,
  holeByte,
  linksOf,
  type ModelFile,
  modelRoot,
  type NamespaceModel,
  type Place,
  Refused,
  sizeOf,
} from "../support/namespace-model.ts";
import { type HandClock, handClock } from "../support/pki.ts";

const stepsPerSeed = 60;
const names = ["a", "b", "c", "é", "\u{1f600}"];
const contents = ["p:1", "q:2", "r:3", "s:5", "t:8"];

interface World {
  readonly model: NamespaceModel;
  readonly metadata: MetadataStore;
  readonly clock: HandClock;
  readonly random: Random;
  /** What each record of the model is called in the store; those that are gone stay. */
  readonly inodeOf: Map<number, Inode>;
  readonly trace: string[];
}

const [n1] = nodeNames;
const session = { caller: owner, token: "a-session-of-a-test" };

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.int(from.length)] as T;
}

/** Mostly something that exists, sometimes something that did. The root only now and then, where hardly anything may be. */
function someId({ random, model, inodeOf }: World, type: "directory" | "other"): number {
  if (random.int(25) === 0) return pick(random, [...inodeOf.keys()]);
  const isWanted = (id: number, isDirectory: boolean) =>
    (id !== modelRoot || random.int(6) === 0) && isDirectory === (type === "directory");
  const wanted = [...model.entries].filter(([id, entry]) => isWanted(id, entry.type === "directory") || random.int(12) === 0);
  return wanted.length === 0 ? modelRoot : pick(random, wanted)[0];
}

function somePlace(world: World): Place {
  return { parent: someId(world, "directory"), name: pick(world.random, names) };
}

/** Mostly one where something is. */
function takenPlace(world: World): Place {
  const names = [...world.model.entries.values()]
    .flatMap((entry) => entry.names)
    .filter(({ parent }) => parent > modelRoot || world.random.int(6) === 0);
  return names.length === 0 || world.random.int(6) === 0 ? somePlace(world) : pick(world.random, names);
}

function someTime(random: Random): bigint {
  return BigInt(random.int(4_000_000_000) - 2_000_000_000) * 1_000_000_000n + BigInt(random.int(1_000_000_000));
}

function inodeFor({ inodeOf }: World, id: number): Inode {
  return inodeOf.get(id) ?? parseInode(999_999_999);
}

function placeFor(world: World, place: Place): { parent: Inode; name: string } {
  return { parent: inodeFor(world, place.parent), name: place.name };
}

/** Runs both sides of one operation and compares how they end. */
async function both<T>(
  world: World,
  what: string,
  sides: { readonly model: () => T; readonly real: () => Promise<unknown> },
): Promise<T | undefined> {
  let answer: T | undefined;
  let expected = "done";
  try {
    answer = world.model.attempt(sides.model);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    expected = error.code;
  }
  world.trace.push(`${what} -> ${expected}`);
  const outcome = await sides.real().then(
    () => "done",
    (error: unknown) => {
      if (!(error instanceof CollectiveError)) throw error;
      return error.code;
    },
  );
  expect(`${what} -> ${outcome}`).toBe(`${what} -> ${expected}`);
  return answer;
}

async function learn(world: World, ids: readonly number[] | undefined): Promise<void> {
  for (const id of ids ?? []) {
    // What is written by its number may have no name, and is known already.
    if (world.inodeOf.has(id)) continue;
    const path: string[] = [];
    for (let at = id; at !== modelRoot; ) {
      const [name] = world.model.entries.get(at)?.names ?? [];
      path.unshift(name?.name ?? "");
      at = name?.parent ?? modelRoot;
    }
    const { attr } = await world.metadata.resolve(path);
    if (attr) world.inodeOf.set(id, attr.inode);
  }
}

async function makeDirectories(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const places = Array.from({ length: 1 + random.int(3) }, () =>
    random.int(6) === 0 ? { parent: modelRoot, name: pick(random, names) } : somePlace(world),
  );
  const mode = random.int(0o1000);
  const existing = pick(random, ["keep", "fail"] as const);
  const made = await both(world, `mkdir ${JSON.stringify(places)} ${existing}`, {
    model: () => places.map((place) => model.makeDirectory(place, { mode, existing })),
    real: () =>
      metadata.makeDirectories(
        places.map((place) => ({ ...placeFor(world, place), mode })),
        { existing, owner },
      ),
  });
  await learn(world, made);
}

async function commit(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const files = Array.from({ length: 1 + random.int(3) }, (): ModelFile => {
    const pieces = Array.from({ length: random.int(4) }, () => pick(random, contents));
    const place = somePlace(world);
    const there = model.entries.get(place.parent)?.children.get(place.name);
    const based = { id: there ?? pick(random, [...model.entries.keys()]), version: 1 + random.int(2) };
    const replaces = pick(random, [undefined, undefined, undefined, undefined, based, null]);
    const id = random.int(4) === 0 ? someId(world, "other") : undefined;
    return { ...place, pieces, mode: random.int(0o1000), mtimeNs: someTime(random), replaces, id };
  });
  const upload = newUpload();
  const pieces = files.flatMap((file) => file.pieces);
  const stores = new Set(files.map((file) => model.entries.get(file.id ?? file.parent)?.store ?? 0));
  for (const store of stores) await offerPieces(metadata, { upload, store: inodeFor(world, store), pieces });
  if (!n1) throw new Error("no node");
  const confirmed = [{ node: n1, chunks: [...new Set(pieces)].map(chunkId) }];
  const commits = files.map(({ replaces, id, ...file }) => {
    const content = replaces && { inode: inodeFor(world, replaces.id), version: replaces.version };
    return fileCommit({
      ...file,
      parent: inodeFor(world, file.parent),
      ...(content === undefined ? {} : { replaces: content }),
      ...(id === undefined ? {} : { inode: inodeFor(world, id) }),
    });
  });
  const made = await both(
    world,
    `commit ${files.map((file) => `${file.parent}/${file.name} ${file.id ?? ""} on ${JSON.stringify(file.replaces)}`).join(" ")}`,
    {
      model: () => files.map((file) => model.commitFile(file)),
      real: () => metadata.commit({ upload, files: commits, confirmed, last: true, owner }),
    },
  );
  await learn(world, made);
}

/** A part of a file is replaced by a part of a piece or by a hole, and its size by another one, perhaps. */
async function change(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const id = someId(world, "other");
  const known = model.entries.get(id);
  const size = known ? sizeOf(known) : 0;
  const sizeBytes = random.int(2) === 0 ? random.int(40) : size;
  const text = pick(random, contents);
  const offset = random.int(sizeBytes + 1);
  const chunkOffset = random.int(piece(text).plainBytes);
  const plainBytes = Math.min(sizeBytes - offset, 1 + random.int(piece(text).plainBytes - chunkOffset));
  const isHole = random.int(3) === 0;
  const bytes = isHole ? Array<string>(plainBytes).fill(holeByte) : bytesOfPiece(text).slice(chunkOffset, chunkOffset + plainBytes);
  const based = { id, version: (known?.version ?? 1) - (random.int(6) === 0 ? 1 : 0) };
  const file = { parent: modelRoot, name: "changed", pieces: [], mode: random.int(0o1000), mtimeNs: someTime(random), replaces: based, id };
  const upload = newUpload();
  await offerPieces(metadata, { upload, store: inodeFor(world, known?.store ?? 0), pieces: [text] });
  if (!n1) throw new Error("no node");
  const inode = inodeFor(world, id);
  const { extents: _, ...commit } = fileCommit({ ...file, inode, parent: rootInode, replaces: { inode, version: based.version } });
  const part = isHole ? { chunk: null, plainBytes } : { ...piece(text), plainBytes, chunkOffset, chunkBytes: piece(text).plainBytes };
  const changes = plainBytes > 0 ? [{ offset, extents: [part] }] : [];
  const confirmed = [{ node: n1, chunks: [chunkId(text)] }];
  await both(world, `change ${id} to ${sizeBytes} at ${offset} ${isHole ? "hole" : text} ${plainBytes} over ${based.version}`, {
    model: () => [model.commitFile({ ...file, changed: { sizeBytes, offset, bytes } })],
    real: () => metadata.commit({ upload, files: [{ ...commit, sizeBytes, changes }], confirmed, last: true, owner }),
  });
}

async function makeSymlink(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const place = somePlace(world);
  const link = { target: `${pick(random, names)}/${pick(random, names)}`, mtimeNs: someTime(random) };
  const made = await both(world, `symlink ${JSON.stringify(place)}`, {
    model: () => [model.makeSymlink(place, link)],
    real: () => metadata.makeSymlinks([{ ...placeFor(world, place), ...link }], { owner }),
  });
  await learn(world, made);
}

async function rename(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const place = takenPlace(world);
  const to = somePlace(world);
  const replace = random.int(3) > 0;
  await both(world, `rename ${JSON.stringify(place)} ${JSON.stringify(to)} ${replace}`, {
    model: () => model.rename(place, to, replace),
    real: () => metadata.rename(placeFor(world, place), placeFor(world, to), { replace }),
  });
}

async function exchange(world: World): Promise<void> {
  const { model, metadata } = world;
  const [one, other] = [takenPlace(world), takenPlace(world)];
  await both(world, `exchange ${JSON.stringify(one)} ${JSON.stringify(other)}`, {
    model: () => model.exchange(one, other),
    real: () => metadata.exchange(placeFor(world, one), placeFor(world, other)),
  });
}

async function link(world: World): Promise<void> {
  const { model, metadata } = world;
  const id = someId(world, "other");
  const to = somePlace(world);
  await both(world, `link ${id} ${JSON.stringify(to)}`, {
    model: () => model.link(id, to),
    real: () => metadata.link(inodeFor(world, id), placeFor(world, to)),
  });
}

async function hold(world: World): Promise<void> {
  const { model, metadata } = world;
  const id = someId(world, "other");
  await both(world, `hold ${id}`, {
    model: () => model.hold(id),
    real: async () => {
      const { gone } = await metadata.hold(session, [inodeFor(world, id)]);
      expect(gone.length === 0).toBe(model.entries.has(id));
    },
  });
}

async function release(world: World): Promise<void> {
  const { random, model, metadata, inodeOf } = world;
  const id = pick(random, [...inodeOf.keys()]);
  await both(world, `release ${id}`, {
    model: () => model.release(id),
    real: () => metadata.release(session, [inodeFor(world, id)]),
  });
  while (await metadata.reclaim());
}

async function remove(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const place = takenPlace(world);
  const kind = pick(random, ["file", "file", "directory", "tree"] as const);
  await both(world, `remove ${JSON.stringify(place)} ${kind}`, {
    model: () => model.remove(place, kind),
    real: () => metadata.remove(placeFor(world, place), kind, { by: "dora" }),
  });
}

async function clone(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const source = someId(world, "other");
  const to = random.int(2) === 0 ? somePlace(world) : takenPlace(world);
  const replace = random.int(2) === 0;
  const made = await both(world, `clone ${source} ${JSON.stringify(to)} ${replace}`, {
    model: () => [model.clone(source, to, replace)],
    real: () => metadata.clone(inodeFor(world, source), placeFor(world, to), { replace, owner }),
  });
  await learn(world, made);
}

async function setAttr(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const id = pick(random, [...model.entries.keys()]);
  const change = {
    mode: random.int(2) === 0 ? random.int(0o1000) : undefined,
    mtimeNs: random.int(2) === 0 ? someTime(random) : undefined,
  };
  await both(world, `setattr ${id}`, { model: () => model.setAttr(id, change), real: () => metadata.setAttr(inodeFor(world, id), change) });
}

async function setQuota(world: World): Promise<void> {
  const { random, model, metadata } = world;
  const stores = storesOf(model);
  if (stores.length === 0) return;
  const [id, name] = pick(random, stores);
  const quotaBytes = random.int(3) === 0 ? null : 1 + random.int(80);
  await both(world, `quota ${name} ${quotaBytes}`, {
    model: () => model.setQuota(id, quotaBytes),
    real: () => metadata.setStore(name, { quotaBytes, replicas: 1 }),
  });
}

function storesOf(model: NamespaceModel): [number, string][] {
  return [...(model.entries.get(modelRoot)?.children ?? [])].map(([name, id]) => [id, name]);
}

const operations = [
  makeDirectories,
  makeDirectories,
  commit,
  commit,
  commit,
  change,
  change,
  makeSymlink,
  rename,
  rename,
  rename,
  exchange,
  link,
  link,
  hold,
  hold,
  release,
  remove,
  remove,
  clone,
  clone,
  setAttr,
  setQuota,
];

/** Sorted by UTF-8 bytes, as the store lists. */
function modelTree(model: NamespaceModel, id = modelRoot): unknown {
  const entry = model.entries.get(id);
  if (!entry) throw new Error("the model has lost a record");
  const { type, mode, mtimeNs, ctimeNs, version, target, bytes } = entry;
  const children = [...entry.children].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return {
    ...{ type, mode, mtimeNs, ctimeNs, version, target, sizeBytes: sizeOf(entry), links: linksOf(model, entry) },
    bytes,
    children: children.map(([name, child]) => [name, modelTree(model, child)]),
  };
}

async function realTree(metadata: MetadataStore, inode: Inode = rootInode): Promise<unknown> {
  const attr = await metadata.getAttr(inode);
  const { type, mode, mtimeNs, ctimeNs, version, target, sizeBytes, links, holeBytes = 0 } = attr;
  const isDirectory = type === "directory";
  const { entries } = isDirectory ? await metadata.list(inode, { limit: 1_000 }) : { entries: [] };
  const extents = isDirectory ? [] : await metadata.extents(inode, { offset: 0, lengthBytes: 1_000_000, limit: 1_000 });
  return {
    ...{ type, mode, mtimeNs, ctimeNs, version, target, sizeBytes, links },
    bytes: type === "file" ? bytesOf(extents, { sizeBytes, holeBytes }) : [],
    children: await Promise.all(entries.map(async (entry) => [entry.name, await realTree(metadata, entry.attr.inode)])),
  };
}

function bytesOf(extents: readonly LocatedExtent[], { sizeBytes, holeBytes }: { sizeBytes: number; holeBytes: number }): string[] {
  const bytes = Array<string>(sizeBytes).fill(holeByte);
  for (const { chunk, offset, plainBytes, chunkOffset } of extents) {
    const part = bytesOfPiece(contents.find((text) => chunkId(text) === chunk) ?? "").slice(chunkOffset, chunkOffset + plainBytes);
    bytes.splice(offset, plainBytes, ...part);
  }
  expect(bytes.filter((byte) => byte === holeByte)).toHaveLength(holeBytes);
  return bytes;
}

/** The tree, and beside it what is held without a name. */
async function compareTrees({ model, metadata, inodeOf }: World): Promise<void> {
  expect(await realTree(metadata)).toEqual(modelTree(model));
  const unnamed = [...model.entries].filter(([id, { names }]) => id !== modelRoot && names.length === 0);
  for (const [id] of unnamed) expect(await realTree(metadata, inodeOf.get(id))).toEqual(modelTree(model, id));
}

async function compareAccounts({ model, metadata, inodeOf }: World): Promise<void> {
  const files = [...model.entries.values()].filter((entry) => entry.type === "file");
  for (const [id, name] of storesOf(model)) {
    const own = files.filter((file) => file.store === id);
    const bytes = own.flatMap((file) => file.bytes).filter((byte) => byte !== holeByte);
    const chunks = new Set(bytes.map((byte) => byte.split("/")[0] ?? ""));
    const storedBytes = [...chunks].reduce((sum, text) => sum + piece(text).plainBytes + 64, 0);
    const facts = { files: own.length, logicalBytes: model.used(id), storedBytes };
    expect(await metadata.storeByName(name)).toMatchObject({ ...facts, chunks: chunks.size, degradedChunks: 0 });
    const directories = model.below(id).filter((below) => model.entries.get(below)?.type === "directory").length;
    expect(await metadata.usage(inodeOf.get(id) ?? rootInode)).toEqual({ ...facts, directories });
  }
  // What no file needs goes, and nothing else does.
  await collectAll(metadata);
  const stored = [...model.entries].filter(([, entry]) => entry.type === "file");
  for (const [id] of stored) {
    const extents = await metadata.extents(inodeOf.get(id) ?? rootInode, { offset: 0, lengthBytes: 1_000_000, limit: 1_000 });
    expect(extents.every((extent) => extent.copies.length === 1)).toBe(true);
  }
}

async function runSeed(seed: number): Promise<void> {
  const clock = handClock(1_700_000_000_000);
  const metadata = memoryMetadata(clock);
  const random = createSeededRandom(seed);
  const model = createNamespaceModel(() => BigInt(clock.nowMs) * 1_000_000n);
  const world: World = { model, metadata, clock, random, inodeOf: new Map([[modelRoot, rootInode]]), trace: [] };
  try {
    await metadata.saveNodes(nodeNames.map(knownNode));
    // Copies are of one node here, so the store asks for one.
    for (const name of ["a", "b"]) {
      await learn(world, [model.makeDirectory({ parent: modelRoot, name }, { mode: 0o755, existing: "fail" })]);
      await metadata.makeDirectories([{ parent: rootInode, name, mode: 0o755 }], { existing: "fail", owner });
    }
    for (const id of [...model.entries.keys()]) await learn(world, [id]);
    for (let step = 0; step < stepsPerSeed; step++) {
      clock.nowMs += 1 + random.int(1_000);
      await pick(random, operations)(world);
      if (step % 15 === 14) await compareTrees(world);
    }
    await compareTrees(world);
    for (const id of world.inodeOf.keys()) model.release(id);
    await metadata.release(session, "all");
    while (await metadata.reclaim());
    for (const { name } of await metadata.listStores()) await metadata.setStore(name, { replicas: 1 });
    await compareAccounts(world);
    expect(await realTree(metadata)).toEqual(modelTree(model));
  } catch (error) {
    console.error(`SEED=${seed}\n${world.trace.slice(-12).join("\n")}`);
    throw error;
  } finally {
    await metadata.close();
  }
}

const only = process.env.SEED;
const seeds = only === undefined ? Array.from({ length: Number(process.env.SEEDS ?? 200) }, (_, index) => index + 1) : [Number(only)];

test(`${seeds.length} random histories give the tree that the model gives`, async () => {
  for (const seed of seeds) await runSeed(seed);
});
