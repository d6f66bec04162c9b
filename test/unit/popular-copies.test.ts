/** Extra copies of what is read often: made, used and removed by a coordinator and nodes, all real but for the disks and the time. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ChunkId, GlobalName } from "../../protocol/ids.ts";
import { mebibyte } from "../../protocol/limits.ts";
import { defaultStorePolicy, type Store, type StorePolicy } from "../../protocol/schema.ts";
import { createMemoryChunkStore, type MemoryChunkStore } from "../../src/chunk/memory.ts";
import { locate } from "../../src/client/locate.ts";
import type { Remote } from "../../src/client/remote.ts";
import { extraCopiesMax, readsForCopy } from "../../src/cluster/extra-copies.ts";
import { readCounting } from "../../src/cluster/popularity.ts";
import { createPopularCopies, type PopularCopies } from "../../src/coordinator/popular-copies.ts";
import { createSurplusCopies, type SurplusCopies } from "../../src/coordinator/surplus-copies.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { content, ingestFile, readContent } from "../support/content.ts";
import { startTestMember, type TestMember, type TestNode } from "../support/member.ts";
import { owner } from "../support/metadata.ts";

const nodeBytes = 64 * mebibyte;
const fileBytes = 300_000;
const plain = content(fileBytes, 4711);
/** Enough for all extra copies there may be. */
const many = readsForCopy * 2 ** (extraCopiesMax - 1);
const seed = Number(process.env.SEED ?? Date.now() & 0xffff);
const never = new AbortController().signal;

let member: TestMember;
let remote: Remote;
let stores: Map<GlobalName, MemoryChunkStore>;
let popular: PopularCopies;
let surplus: SurplusCopies;
let datastore: Store;
let file: Awaited<ReturnType<typeof ingestFile>>["attr"];

/** Stands in the way of what nodes are asked, or does not. */
let intercept: (name: string, request: Request) => Response | undefined;

beforeEach(async () => {
  member = await startTestMember();
  stores = new Map();
  intercept = () => undefined;
  for (let i = 1; i <= 5; i++) await startNode(`node-0${i}`);
  remote = member.remote();
  popular = createPopularCopies(member.service);
  surplus = createSurplusCopies(member.service);
  await write({ strategy: "media", replicas: 2 });
});
afterEach(() => member[Symbol.asyncDispose]());

async function startNode(local: string): Promise<TestNode> {
  const store = createMemoryChunkStore({ capacityBytes: nodeBytes });
  const node = await member.startNode(local, { store, capacityBytes: nodeBytes, intercept: (request) => intercept(local, request) });
  stores.set(node.name, store);
  return node;
}

async function write(policy: Partial<StorePolicy>, name = "films"): Promise<void> {
  datastore = await member.metadata.createStore({ name, policy: { ...defaultStorePolicy, ...policy }, owner });
  file = (await ingestFile(remote, datastore, { name: "film", source: plain })).attr;
}

async function chunks(): Promise<ChunkId[]> {
  const extents = await member.metadata.extents(file.inode, { offset: 0, lengthBytes: fileBytes, limit: 100 });
  return extents.map(({ chunk }) => chunk);
}

/** By chunk, on how many nodes its bytes really are. */
async function heldTimes(): Promise<number[]> {
  const held = await Promise.all([...stores.values()].map(async (store) => await store.has(await chunks())));
  return (await chunks()).map((_, index) => held.filter((has) => has[index]).length);
}

async function countsOf(state: string): Promise<number[]> {
  const copies = await member.metadata.copiesOf(datastore.inode, await chunks());
  return copies.map((ofChunk) => ofChunk.filter((copy) => copy.state === state).length);
}

const all = async (count: number) => (await chunks()).map(() => count);

async function readTimes(times: number): Promise<void> {
  for (let i = 0; i < times; i++) await locate(remote, [{ inode: file.inode, offset: 0, lengthBytes: fileBytes }]);
}

async function heartbeats(): Promise<void> {
  for (const node of member.nodes()) await node.register();
}

/** As maintenance does. */
async function collectGarbage(): Promise<void> {
  const { metadata, service } = member;
  for (const garbage of await metadata.collectGarbage(1_000)) {
    const request = { holder: member.member, operation: "delete" as const };
    const [target] = service.tickets.issue({ ...request, chunks: garbage.chunks.map((id) => ({ id, nodes: [garbage.node] })) }).nodes;
    if (!target) throw new Error(`no ticket for ${garbage.node}`);
    await service.nodes.delete(target, garbage.chunks);
    await metadata.forgetCopies(garbage);
  }
}

const halfLives = (count: number): void => {
  member.clock.nowMs += count * readCounting.halfLifeMs;
};

/** All nodes are alive after a long time. */
async function later(count: number): Promise<void> {
  halfLives(count);
  await heartbeats();
}

describe("what is read often", () => {
  test("gets copies up to the limit, readers use all of them, and they go when it is forgotten", async () => {
    expect(await popular.add(never)).toBe(0);
    await readTimes(readsForCopy - 1);
    expect(await popular.add(never)).toBe(0);
    await readTimes(1);
    expect(await popular.add(never)).toBe((await chunks()).length);
    expect(await heldTimes()).toEqual(await all(3));
    expect(await popular.add(never)).toBe(0);
    await readTimes(many);
    await popular.add(never);
    expect(await heldTimes()).toEqual(await all(2 + extraCopiesMax));
    expect(await countsOf("stored")).toEqual(await all(2 + extraCopiesMax));
    expect(await popular.add(never)).toBe(0);

    const asked = new Set<string>();
    intercept = (name, request) => {
      if (request.method === "GET") asked.add(name);
      return undefined;
    };
    for (let i = 0; i < 20; i++) expect(Buffer.compare(await readContent(remote, file.inode), plain)).toBe(0);
    expect(asked.size).toBeGreaterThanOrEqual(4);

    // Read a little still, then not at all.
    await later(2);
    expect(await surplus.release(never)).toBe(0);
    await later(4);
    expect(await surplus.release(never)).toBe((await chunks()).length * extraCopiesMax);
    await collectGarbage();
    expect(await heldTimes()).toEqual(await all(2));
    expect(await countsOf("stored")).toEqual(await all(2));
    expect(await surplus.release(never)).toBe(0);
    expect(Buffer.compare(await readContent(remote, file.inode), plain)).toBe(0);
  });

  test("gets none in stores of another strategy, and none in a store that is gone", async () => {
    await write({ strategy: "backup", replicas: 2 }, "papers");
    await readTimes(many);
    expect(await popular.add(never)).toBe(0);
    await write({ strategy: "media", replicas: 1 }, "more");
    await readTimes(many);
    await member.metadata.removeStore("more", { by: "dora" });
    while (await member.metadata.reclaim());
    expect(await popular.add(never)).toBe(0);
  });

  test("gets none where space runs short", async () => {
    for (const [name, store] of stores) {
      if (name.startsWith("node-05")) continue;
      const bytes = 4 * mebibyte;
      for (let i = 0; store.usage().freeBytes > nodeBytes / 4; i++) {
        const data = content(bytes, i + 1);
        await store.put(new Bun.CryptoHasher("sha256").update(data).digest("hex") as ChunkId, data);
      }
    }
    await heartbeats();
    await readTimes(many);
    await popular.add(never);
    const extras = (await heldTimes()).map((times) => times - 2);
    const onRoomy = (await stores.get("node-05@home.collective.local" as GlobalName)?.has(await chunks())) ?? [];
    for (const [index, extra] of extras.entries()) expect(extra).toBe(onRoomy[index] ? Math.min(1, extra) : 0);
    expect(await popular.add(never)).toBe(0);
  });
});

describe("when something is wrong", () => {
  const kill = async (name: GlobalName): Promise<void> => {
    await member
      .nodes()
      .find((node) => node.name === name)
      ?.kill();
  };
  const holders = async (): Promise<GlobalName[]> => {
    const [id] = await chunks();
    const [copies] = await member.metadata.copiesOf(datastore.inode, id ? [id] : []);
    return (copies ?? []).filter((copy) => copy.state === "stored").map((copy) => copy.node);
  };

  test("a node that is gone without anybody knowing costs nothing but its part", async () => {
    await readTimes(many);
    const [gone] = (await holders()) as [GlobalName];
    await kill(gone);
    await popular.add(never);
    await popular.add(never);
    for (const count of await countsOf("stored")) expect(count).toBeGreaterThanOrEqual(2);
    expect(Buffer.compare(await readContent(remote, file.inode), plain)).toBe(0);
  });

  test("targets that fail are left out for a while, and what they were offered goes", async () => {
    intercept = (_, request) => (request.url.endsWith("replicate") ? new Response("no", { status: 500 }) : undefined);
    await readTimes(many);
    await popular.add(never);
    expect(await popular.add(never)).toBe(0);
    expect(await countsOf("stored")).toEqual(await all(2));
    intercept = () => undefined;
    expect(await popular.add(never)).toBe(0);
    // They answered nothing, so what they were offered is spared for as long as a ticket could be used, and no longer.
    member.clock.nowMs += 31 * 60_000;
    await heartbeats();
    await collectGarbage();
    expect(await countsOf("offered")).toEqual(await all(0));
    await readTimes(many);
    expect(await popular.add(never)).toBe((await chunks()).length * extraCopiesMax);
  });

  test("a copy that is damaged is found when it would be copied or kept, and no good one goes for it", async () => {
    await readTimes(many);
    await popular.add(never);
    expect(await heldTimes()).toEqual(await all(4));
    // Damaged are those that would be kept: the roomiest nodes come first.
    const [id] = await chunks();
    if (!id) throw new Error("no chunk");
    const damaged = (await holders()).slice(0, 3);
    for (const name of damaged) stores.get(name)?.damage(id);
    await later(20);
    for (let round = 0; round < 4; round++) {
      await surplus.release(never);
      await collectGarbage();
    }
    const [first, ...others] = await heldTimes();
    expect(first).toBeGreaterThanOrEqual(1);
    expect(others.every((count) => count === 2)).toBe(true);
    expect(Buffer.compare(await readContent(remote, file.inode), plain)).toBe(0);
  });

  test("nothing goes while a node that is kept cannot be asked, is suspect, or the store wants more", async () => {
    await readTimes(many);
    await popular.add(never);
    await later(20);
    intercept = (_, request) => (request.url.endsWith("verify") ? new Response("no", { status: 500 }) : undefined);
    expect(await surplus.release(never)).toBe(0);
    intercept = () => undefined;
    await member.metadata.setStore("films", { replicas: 4 });
    expect(await surplus.release(never)).toBe(0);
    await member.metadata.setStore("films", { replicas: 2 });
    // Nobody has sent a heartbeat: all are suspect.
    member.clock.nowMs += 5_000;
    expect(await surplus.release(never)).toBe(0);
    await heartbeats();
    expect(await surplus.release(never)).toBe((await chunks()).length * 2);
  });

  test("copies on nodes that are dead do not count, and are too many when they are back", async () => {
    await readTimes(many);
    await popular.add(never);
    const gone = (await holders()).slice(0, 2);
    await later(20);
    halfLives(1);
    for (const node of member.nodes()) if (!gone.includes(node.name)) await node.register();
    expect((await holders()).length).toBe(4);
    // Of the two that are alive none may go.
    await surplus.release(never);
    expect((await countsOf("stored"))[0]).toBe(4);
    await heartbeats();
    await surplus.release(never);
    await collectGarbage();
    expect(await heldTimes()).toEqual(await all(2));
  });

  test("a coordinator that has just started removes nothing, for it knows nothing of readers", async () => {
    await readTimes(many);
    await popular.add(never);
    await member.metadata.setStore("films", { replicas: 1 });
    const fresh = createSurplusCopies({
      ...member.service,
      popularity: { ...member.service.popularity, readsOf: () => 0 },
      startedMonotonicMs: member.clock.nowMs,
    });
    expect(await fresh.release(never)).toBe(0);
    await later(1);
    expect(await fresh.release(never)).toBe((await chunks()).length * 3);
  });

  test("copying that is stopped leaves nothing that is not collected", async () => {
    await readTimes(many);
    const stop = new AbortController();
    intercept = (_, request) => {
      if (request.url.endsWith("replicate")) stop.abort();
      return undefined;
    };
    await popular.add(stop.signal);
    member.clock.nowMs += 31 * 60_000;
    await heartbeats();
    await collectGarbage();
    expect(await heldTimes()).toEqual(await countsOf("stored"));
    expect(Buffer.compare(await readContent(remote, file.inode), plain)).toBe(0);
  });

  test(`whatever happens, no removal takes a good copy that the policy asks for (SEED=${seed})`, async () => {
    const random = createSeededRandom(seed);
    const ids = await chunks();
    const isGood = async (store: MemoryChunkStore, id: ChunkId): Promise<boolean> => {
      const [held] = await store.has([id]);
      const bytes = held ? await store.get(id, { verify: false }) : new Uint8Array(0);
      return new Bun.CryptoHasher("sha256").update(bytes).digest("hex") === id;
    };
    const good = () =>
      Promise.all(
        ids.map(async (id) => (await Promise.all([...stores.values()].map((store) => isGood(store, id)))).filter((whole) => whole).length),
      );
    const silent = new Set<string>();
    const steps: Readonly<Record<string, () => Promise<unknown>>> = {
      read: async () => {
        await readTimes(random.int(2 * many));
        await popular.add(never);
      },
      wait: async () => halfLives(random.int(8) / 2),
      damage: async () => {
        const store = [...stores.values()][random.int(stores.size)];
        const counts = await good();
        // The last good copy stays good, or there would be nothing to lose.
        for (const [at, id] of ids.entries()) if (store && (counts[at] ?? 0) > 1 && (await isGood(store, id))) store.damage(id);
      },
      silence: async () => {
        silent.clear();
        silent.add(`node-0${1 + random.int(5)}`);
      },
      fail: async () => {
        const [local, path] = [`node-0${1 + random.int(5)}`, ["replicate", "verify", ""][random.int(3)] ?? ""];
        intercept = (name, request) => (name === local && request.url.endsWith(path) ? new Response("no", { status: 500 }) : undefined);
      },
      mend: async () => {
        intercept = () => undefined;
      },
      replicas: () => member.metadata.setStore("films", { replicas: 1 + random.int(3) }),
    };
    for (let step = 0; step < 60; step++) {
      await Object.values(steps)[random.int(Object.keys(steps).length)]?.();
      for (const node of member.nodes()) if (!silent.has(node.name.split("@")[0] ?? "")) await node.register();
      const [before, policy] = [await good(), await member.metadata.policyOf(datastore.inode)];
      await surplus.release(never);
      await collectGarbage().catch(() => undefined);
      const after = await good();
      for (const [index, count] of after.entries()) expect(count).toBeGreaterThanOrEqual(Math.min(policy.replicas, before[index] ?? 0));
    }
  });
});
