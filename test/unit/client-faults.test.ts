/** What becomes of transfers when nodes lie, lose, fill up or die, and when files change under a reader. */
import { describe, expect, test } from "bun:test";
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import { largeChunkBytes, mebibyte, nodeDeadAfterMs } from "../../protocol/limits.ts";
import { defaultStorePolicy, type Store } from "../../protocol/schema.ts";
import { createMemoryChunkStore, type MemoryChunkStore } from "../../src/chunk/memory.ts";
import { readRange } from "../../src/client/download.ts";
import { readMany } from "../../src/client/read-many.ts";
import { startMaintenance } from "../../src/coordinator/maintenance.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createLog, type Log, silentLog } from "../../src/core/log.ts";
import { content, ingestFile, ingestFiles, readContent, until } from "../support/content.ts";
import { startTestMember, type TestMember, type TestMemberOptions, type TestNode, type TestNodeOptions } from "../support/member.ts";
import { expectCode, owner, reclaimAll } from "../support/metadata.ts";

interface Cluster extends AsyncDisposable {
  readonly member: TestMember;
  readonly nodes: readonly TestNode[];
  readonly store: Store;
}

interface ClusterOptions extends TestMemberOptions {
  readonly nodes: readonly TestNodeOptions[];
  readonly replicas?: number;
}

async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const member = await startTestMember(options);
  const nodes = await Promise.all(options.nodes.map((node, index) => member.startNode(`node-0${index + 1}`, node)));
  const policy = { ...defaultStorePolicy, replicas: options.replicas ?? 2 };
  const store = await member.metadata.createStore({ name: "media", policy, owner });
  return { member, nodes, store, [Symbol.asyncDispose]: () => member[Symbol.asyncDispose]() };
}

async function extentsOf({ member }: Cluster, inode: Inode) {
  return member.metadata.extents(inode, { offset: 0, lengthBytes: Number.MAX_SAFE_INTEGER, limit: 1_000 });
}

async function statesOf(cluster: Cluster, chunk: ChunkId): Promise<Map<GlobalName, string>> {
  const [copies = []] = await cluster.member.metadata.copiesOf(cluster.store.inode, [chunk]);
  return new Map(copies.map((copy) => [copy.node, copy.state]));
}

function memoryStores(count: number, capacityBytes = 256 * mebibyte): MemoryChunkStore[] {
  return Array.from({ length: count }, () => createMemoryChunkStore({ capacityBytes }));
}

describe("a damaged copy", () => {
  test("costs no read, is reported, checked and set aside", async () => {
    const stores = memoryStores(2);
    await using cluster = await startCluster({ nodes: stores.map((store) => ({ store })) });
    // So many chunks that some are sure to be asked of either node first.
    const plain = content(mebibyte, 1);
    const { attr } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
    const extents = await extentsOf(cluster, attr.inode);
    const [bad, good] = stores as [MemoryChunkStore, MemoryChunkStore];
    for (const { chunk } of extents) bad.damage(chunk);
    const lines: string[] = [];
    const log = createLog({ level: "warn", format: "text", write: (line) => void lines.push(line), wallMs: () => 0 });
    const got = await readContent(cluster.member.remote({ log }), attr.inode);
    expect(Buffer.compare(got, plain)).toBe(0);
    const [name] = cluster.nodes.map((node) => node.name) as [GlobalName];
    const seen = extents.filter(({ chunk }) => lines.some((line) => line.includes(chunk)));
    expect(seen.length).toBeGreaterThan(0);
    for (const { chunk } of seen) {
      await until(async () => (await statesOf(cluster, chunk)).get(name) === "damaged", "the copy to be marked");
      expect(await bad.has([chunk])).toEqual([false]);
      expect(await good.has([chunk])).toEqual([true]);
    }
    expect(bad.usage().quarantinedCount).toBe(seen.length);
    expect((await cluster.member.metadata.storeByName("media")).degradedChunks).toBe(seen.length);
    // Who reads next does not stumble over it again.
    lines.length = 0;
    expect(Buffer.compare(await readContent(cluster.member.remote({ log }), attr.inode), plain)).toBe(0);
    expect(lines).toEqual([]);
  });

  test("of a small file costs no read of many either", async () => {
    const stores = memoryStores(2);
    await using cluster = await startCluster({ nodes: stores.map((store) => ({ store })) });
    const files = Array.from({ length: 20 }, (_, index) => ({ name: `f${index}`, source: content(500, index) }));
    const { attrs } = await ingestFiles(cluster.member.remote(), cluster.store, files);
    const chunks = (await Promise.all(attrs.map((attr) => extentsOf(cluster, attr.inode)))).flat().map((extent) => extent.chunk);
    for (const [index, chunk] of chunks.entries()) stores[index % 2]?.damage(chunk);
    const contents = await readMany(cluster.member.remote(), attrs);
    for (const [index, bytes] of contents.entries()) expect(Buffer.compare(bytes, files[index]?.source ?? new Uint8Array(1))).toBe(0);
  });

  test("with no other copy left is data damaged, not a node away", async () => {
    const stores = memoryStores(2);
    await using cluster = await startCluster({ nodes: stores.map((store) => ({ store })) });
    const { attr } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: content(1_000, 2) });
    const [extent] = await extentsOf(cluster, attr.inode);
    if (!extent) throw new Error("no chunk");
    for (const store of stores) store.damage(extent.chunk);
    const remote = cluster.member.remote();
    await expectCode("corrupt", readContent(remote, attr.inode));
    await until(
      async () => [...(await statesOf(cluster, extent.chunk)).values()].every((state) => state === "damaged"),
      "both to be marked",
    );
    await expectCode("corrupt", readContent(remote, attr.inode));
    await expectCode("corrupt", readMany(remote, [attr]));
    expect(await cluster.member.metadata.totals([])).toMatchObject({ lostChunks: 1 });
    // Written again, the same bytes heal it.
    const { attr: again, totals } = await ingestFile(remote, cluster.store, { name: "file", source: content(1_000, 2) });
    expect(totals.degradedChunks).toBe(0);
    expect(Buffer.compare(await readContent(remote, again.inode), content(1_000, 2))).toBe(0);
    expect(await cluster.member.metadata.totals([])).toMatchObject({ degradedChunks: 0, lostChunks: 0 });
  });

  test("that is missing on its node is noted and read elsewhere", async () => {
    const stores = memoryStores(2);
    await using cluster = await startCluster({ nodes: stores.map((store) => ({ store })) });
    const plain = content(mebibyte, 3);
    const { attr } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
    const chunks = (await extentsOf(cluster, attr.inode)).map((extent) => extent.chunk);
    await stores[0]?.delete(chunks);
    for (let round = 0; round < 2; round++) expect(Buffer.compare(await readContent(cluster.member.remote(), attr.inode), plain)).toBe(0);
    const [lost] = cluster.nodes;
    const first = async () =>
      (await Promise.all(chunks.map((chunk) => statesOf(cluster, chunk)))).filter((states) => !states.has(lost?.name ?? owner));
    await until(async () => (await first()).length > 0, "the loss to be noted");
  });
});

describe("a node that fails", () => {
  test("while a file is read is left aside", async () => {
    await using cluster = await startCluster({ nodes: [{}, {}] });
    const plain = content(10 * mebibyte, 4);
    const { attr } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
    await cluster.nodes[0]?.kill();
    expect(Buffer.compare(await readContent(cluster.member.remote(), attr.inode), plain)).toBe(0);
    await cluster.nodes[1]?.kill();
    await expectCode("unavailable", readContent(cluster.member.remote(), attr.inode));
  });

  test("before or while a file is written is replaced by another", async () => {
    for (const killAtBytes of [0, 9 * mebibyte]) {
      await using cluster = await startCluster({ nodes: [{}, {}, {}] });
      const [victim] = cluster.nodes;
      const remote = cluster.member.remote();
      let killed = false;
      let read = 0;
      const kill = (): void => {
        if (killed) return;
        killed = true;
        void victim?.kill();
      };
      if (killAtBytes === 0) await victim?.kill();
      const onProgress = (bytes: number): void => {
        read += bytes;
        if (killAtBytes > 0 && read >= killAtBytes) kill();
      };
      const plain = content(24 * mebibyte, 5);
      const { attr, totals } = await ingestFile(remote, cluster.store, { name: "file", source: plain }, { onProgress });
      expect(totals.degradedChunks).toBe(0);
      const extents = await extentsOf(cluster, attr.inode);
      expect(extents.every((extent) => extent.copies.filter((copy) => copy.state === "stored").length >= 2)).toBe(true);
      expect(Buffer.compare(await readContent(remote, attr.inode), plain)).toBe(0);
    }
  });

  test("is tried again at once where all others have failed, too: it was the network that was away", async () => {
    await using cluster = await startCluster({ nodes: [{}, {}] });
    const remote = cluster.member.remote();
    for (const node of cluster.nodes) remote.noteFailure(node.name);
    const { totals } = await ingestFile(remote, cluster.store, { name: "file", source: content(1_000, 7) });
    expect(totals).toMatchObject({ degradedChunks: 0 });
  });

  test("with nobody to replace it leaves the file with fewer copies, and says so", async () => {
    await using cluster = await startCluster({ nodes: [{}, {}] });
    await cluster.nodes[0]?.kill();
    const plain = content(5 * mebibyte, 6);
    const { attr, totals } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
    expect(totals.degradedChunks).toBe((await extentsOf(cluster, attr.inode)).length);
    expect(Buffer.compare(await readContent(cluster.member.remote(), attr.inode), plain)).toBe(0);
    expect(await cluster.member.metadata.totals([])).toMatchObject({ lostChunks: 0 });
  });

  test("in itself does not fail the transfer", async () => {
    const [broken, whole] = memoryStores(2) as [MemoryChunkStore, MemoryChunkStore];
    let ill = true;
    const sick =
      <A extends unknown[], R>(call: (...given: A) => Promise<R>) =>
      (...given: A): Promise<R> =>
        ill ? Promise.reject(new Error("the index is on fire")) : call(...given);
    const store = { ...broken, put: sick(broken.put), putMany: sick(broken.putMany), get: sick(broken.get) };
    await using cluster = await startCluster({ nodes: [{ store }, { store: whole }] });
    const plain = content(3 * mebibyte, 7);
    const { attr, totals } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
    expect(totals.degradedChunks).toBeGreaterThan(0);
    ill = false;
    const small = await ingestFile(cluster.member.remote(), cluster.store, { name: "small", source: content(100, 8) });
    ill = true;
    expect(Buffer.compare(await readContent(cluster.member.remote(), attr.inode), plain)).toBe(0);
    expect(Buffer.compare(await readContent(cluster.member.remote(), small.attr.inode), content(100, 8))).toBe(0);
    const [read] = await readMany(cluster.member.remote(), [small.attr]);
    expect(Buffer.compare(read ?? new Uint8Array(0), content(100, 8))).toBe(0);
  });

  test("with all others fails the write, as unavailable", async () => {
    const refuse = (request: Request) => (request.method === "PUT" ? new Response(null, { status: 503 }) : undefined);
    await using cluster = await startCluster({ nodes: Array.from({ length: 8 }, () => ({ intercept: refuse })) });
    await expectCode("unavailable", ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: content(mebibyte * 2, 9) }));
    await using none = await startCluster({ nodes: [] });
    await expectCode("unavailable", ingestFile(none.member.remote(), none.store, { name: "file", source: content(10, 9) }));
  });

  test("and is known to be dead is not asked", async () => {
    let asked = 0;
    const count = () => {
      asked++;
      return undefined;
    };
    await using cluster = await startCluster({ nodes: [{ intercept: count }, {}, {}] });
    cluster.member.clock.nowMs += nodeDeadAfterMs;
    for (const node of cluster.nodes.slice(1)) await node.register();
    const { attr, totals } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: content(9 * mebibyte, 10) });
    expect(totals.degradedChunks).toBe(0);
    await readContent(cluster.member.remote(), attr.inode);
    expect(asked).toBe(0);
  });
});

describe("room", () => {
  test("that some nodes have is found", async () => {
    await using cluster = await startCluster({ nodes: [{ capacityBytes: 5 * mebibyte }, {}, {}] });
    const plain = content(40 * mebibyte, 11);
    const { attr, totals } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
    expect(totals.degradedChunks).toBe(0);
    expect(Buffer.compare(await readContent(cluster.member.remote(), attr.inode), plain)).toBe(0);
  });

  test("that no node has fails the write and leaves what is there alone", async () => {
    await using cluster = await startCluster({ nodes: [{ capacityBytes: 6 * mebibyte }, { capacityBytes: 6 * mebibyte }], replicas: 1 });
    const remote = cluster.member.remote();
    const { attr } = await ingestFile(remote, cluster.store, { name: "first", source: content(3 * mebibyte, 12) });
    const error = await expectCode("no_space", ingestFile(remote, cluster.store, { name: "second", source: content(30 * mebibyte, 13) }));
    expect(error.message).not.toContain("undefined");
    await expectCode(
      "no_space",
      ingestFile(cluster.member.remote(), cluster.store, { name: "second", source: content(30 * mebibyte, 14) }),
    );
    expect((await cluster.member.metadata.resolve(["media", "second"])).attr).toBeNull();
    expect(Buffer.compare(await readContent(remote, attr.inode), content(3 * mebibyte, 12))).toBe(0);
  });
});

describe("a file that changes under its reader", () => {
  test("gives the old content or a conflict, never a mixture", async () => {
    for (const collected of [false, true]) {
      await using cluster = await startCluster({ nodes: [{}, {}], replicas: 1 });
      const { member } = cluster;
      const remote = member.remote();
      const old = content(7 * largeChunkBytes, 15);
      const { attr } = await ingestFile(remote, cluster.store, { name: "file", source: old });
      const pieces: Uint8Array[] = [];
      const reading = (async () => {
        for await (const piece of readRange(remote, { inode: attr.inode, offset: 0, lengthBytes: old.length })) {
          pieces.push(Uint8Array.from(piece));
          if (pieces.length > 1) continue;
          await ingestFile(member.remote(), cluster.store, { name: "file", source: content(7 * largeChunkBytes, 16) });
          if (!collected) continue;
          await collect(cluster);
        }
      })();
      if (collected) await expectCode("conflict", reading);
      else await reading;
      const got = Buffer.concat(pieces);
      expect(Buffer.compare(got, old.subarray(0, got.length))).toBe(0);
      if (!collected) expect(got.length).toBe(old.length);
    }
  });

  test("by being removed is a conflict, not a shorter file or one of zeros", async () => {
    let asked = 0;
    await using cluster = await startCluster({
      nodes: [{}],
      replicas: 1,
      wrapHandlers: (handlers) => ({
        ...handlers,
        locate: async (input, context) => {
          if (asked++ > 0) await cluster.member.metadata.remove({ parent: cluster.store.inode, name: "file" }, "file", { by: owner });
          const answer = await handlers.locate(input, context);
          // Cut short, so that the rest is asked for when the file is freed already.
          return { ...answer, files: answer.files.map((file) => ({ ...file, extents: file.extents.slice(0, 3), endOffset: 3 * 65_536 })) };
        },
      }),
    });
    const { attr } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: content(mebibyte, 17) });
    await expectCode("conflict", readContent(cluster.member.remote(), attr.inode));
    expect(asked).toBe(2);
  });
});

/** What a coordinator does by itself, until there is nothing left to do. */
async function collect({ member }: Cluster): Promise<void> {
  await reclaimAll(member.metadata);
  const maintenance = startMaintenance({ ...member.service, clock: systemClock });
  await until(async () => (await member.metadata.collectGarbage(100)).length === 0, "the garbage to be gone");
  await maintenance.stop();
}

describe("garbage", () => {
  test("is deleted from its nodes and nothing else is", async () => {
    const stores = memoryStores(2);
    await using cluster = await startCluster({ nodes: stores.map((store) => ({ store })) });
    const { member } = cluster;
    const remote = member.remote();
    const kept = await ingestFile(remote, cluster.store, { name: "kept", source: content(2 * mebibyte, 18) });
    const files = Array.from({ length: 30 }, (_, index) => ({ name: `gone-${index}`, source: content(5_000 + index, 19 + index) }));
    await ingestFiles(remote, cluster.store, files);
    for (const { name } of files) await member.metadata.remove({ parent: cluster.store.inode, name }, "file", { by: "dora" });
    await collect(cluster);
    const extents = await extentsOf(cluster, kept.attr.inode);
    for (const store of stores) expect(store.usage().chunkCount).toBe(extents.length);
    expect(Buffer.compare(await readContent(remote, kept.attr.inode), content(2 * mebibyte, 18))).toBe(0);
    // The same content can be stored anew at once.
    const { attrs } = await ingestFiles(remote, cluster.store, files);
    for (const [index, bytes] of (await readMany(remote, attrs)).entries()) {
      expect(Buffer.compare(bytes, files[index]?.source ?? new Uint8Array(1))).toBe(0);
    }
  });

  test("of a node that is away waits for it and holds up nobody", async () => {
    const stores = memoryStores(2);
    await using cluster = await startCluster({ nodes: stores.map((store) => ({ store })), replicas: 2 });
    const { member } = cluster;
    await ingestFile(member.remote(), cluster.store, { name: "gone", source: content(100_000, 30) });
    member.clock.nowMs += nodeDeadAfterMs;
    await cluster.nodes[1]?.register();
    await member.metadata.remove({ parent: cluster.store.inode, name: "gone" }, "file", { by: "dora" });
    const maintenance = startMaintenance({ ...member.service, clock: systemClock });
    await until(() => stores[1]?.usage().chunkCount === 0, "the node that is here to delete");
    await maintenance.stop();
    expect(stores[0]?.usage().chunkCount).toBe(2);
    await cluster.nodes[0]?.register();
    await collect(cluster);
    expect(stores[0]?.usage().chunkCount).toBe(0);
  });
});

test("garbage of a node that cannot be reached keeps no other from deleting, and is told of once", async () => {
  const stores = memoryStores(2);
  let refusals = 0;
  let refusing = true;
  const refuse = (request: Request) => {
    if (!refusing || !request.url.endsWith("/delete")) return undefined;
    refusals++;
    return new Response(null, { status: 503 });
  };
  await using cluster = await startCluster({
    nodes: stores.map((store, index) => (index === 0 ? { store, intercept: refuse } : { store })),
  });
  const { member } = cluster;
  await ingestFile(member.remote(), cluster.store, { name: "gone", source: content(100_000, 30) });
  await member.metadata.remove({ parent: cluster.store.inode, name: "gone" }, "file", { by: "dora" });
  const told: string[] = [];
  const log: Log = { ...silentLog, warn: (event) => void told.push(`warn ${event}`), info: (event) => void told.push(`info ${event}`) };
  const clock = { ...systemClock, sleep: (_: number, signal?: AbortSignal) => systemClock.sleep(1, signal) };
  const maintenance = startMaintenance({ ...member.service, clock, log });
  await until(() => stores[1]?.usage().chunkCount === 0, "the node that answers to delete");
  await until(() => refusals > 3, "more passes");
  expect(stores[0]?.usage().chunkCount).toBe(2);
  expect(told).toEqual(["warn maintenance failed, trying on"]);
  refusing = false;
  await until(() => told.length > 1, "the other node to delete");
  await maintenance.stop();
  expect(stores[0]?.usage().chunkCount).toBe(0);
  expect(told).toEqual(["warn maintenance failed, trying on", "info maintenance goes on"]);
});

test("an answer that is no answer is another node's turn", async () => {
  const garbage = (request: Request) => (request.method === "GET" ? new Response("<html>captive portal</html>") : undefined);
  await using cluster = await startCluster({ nodes: [{ intercept: garbage }, {}] });
  const plain = content(5 * mebibyte, 40);
  const { attr } = await ingestFile(cluster.member.remote(), cluster.store, { name: "file", source: plain });
  expect(Buffer.compare(await readContent(cluster.member.remote(), attr.inode), plain)).toBe(0);
  const lost = (request: Request) => (request.method === "GET" ? new Response(null, { status: 404 }) : undefined);
  await using other = await startCluster({ nodes: [{ intercept: lost }, {}] });
  const again = await ingestFile(other.member.remote(), other.store, { name: "file", source: plain });
  expect(Buffer.compare(await readContent(other.member.remote(), again.attr.inode), plain)).toBe(0);
});
