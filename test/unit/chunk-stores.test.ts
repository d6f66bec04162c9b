/** Chunks of several members on one node: apart in everything, except that together they fill one disk. */
import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseSite, type Site } from "../../protocol/ids.ts";
import { gibibyte, guestsPerNodeMax, inlineStoredBytesMax } from "../../protocol/limits.ts";
import { openDiskChunkStores } from "../../src/chunk/disk-stores.ts";
import { createMemoryChunkStore } from "../../src/chunk/memory.ts";
import { type ChunkStores, createChunkStores } from "../../src/chunk/stores.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { failure, testChunk } from "../conformance/chunk-store.ts";
import { garage, home } from "../support/pki.ts";

const shed = parseSite("shed.collective.local");
const small = testChunk(1_000, 1);
const large = testChunk(inlineStoredBytesMax + 1, 2);

interface Folder extends Disposable {
  readonly dir: string;
  open(capacityBytes?: number): Promise<ChunkStores>;
  /** As it would be found after `kill -9` at this moment. */
  crashed(): Folder;
}

function folder(): Folder {
  const dir = mkdtempSync(join(tmpdir(), "stores-"));
  return {
    dir,
    open: (capacityBytes = gibibyte) => openDiskChunkStores({ dir, site: home, capacityBytes, log: silentLog, clock: systemClock }),
    crashed: () => {
      const copy = folder();
      cpSync(dir, copy.dir, { recursive: true, filter: (path) => !path.endsWith(".lock") && !path.endsWith("-shm") });
      return copy;
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

async function put(stores: ChunkStores, owner: Site, ...chunks: (typeof small)[]): Promise<void> {
  await (await stores.open(owner)).putMany(chunks);
}

describe("stores of several members", () => {
  for (const chunk of [small, large]) {
    test(`share no chunk of ${chunk.data.length} bytes, though it be the same one`, async () => {
      using at = folder();
      const stores = await at.open();
      const everybody = [home, garage, shed];
      const has = () => Promise.all(everybody.map(async (owner) => (await stores.find(owner).has([chunk.id]))[0]));
      await put(stores, home, chunk);
      expect(await has()).toEqual([true, false, false]);
      expect((await failure(stores.find(garage).get(chunk.id))).code).toBe("not_found");
      expect(stores.find(garage).locate(chunk.id)).toBeUndefined();
      expect(await stores.find(garage).verify([chunk.id])).toEqual(["missing"]);
      expect(await stores.find(garage).delete([chunk.id])).toEqual({ deletedBytes: 0 });
      await put(stores, garage, chunk);
      await put(stores, shed, chunk);
      expect(stores.usage()).toMatchObject({ usedBytes: 3 * chunk.data.length, chunkCount: 3 });
      const counted = { usedBytes: chunk.data.length, chunkCount: 1 };
      expect(stores.guests()).toEqual([
        { site: garage, ...counted },
        { site: shed, ...counted },
      ]);
      expect(await stores.find(garage).delete([chunk.id])).toEqual({ deletedBytes: chunk.data.length });
      expect(await has()).toEqual([true, false, true]);
      await stores.find(home).delete([chunk.id]);
      expect(await has()).toEqual([false, false, true]);
      expect(Buffer.compare(await stores.find(shed).get(chunk.id), chunk.data)).toBe(0);
      expect(stores.guests()).toEqual([{ site: shed, ...counted }]);
      await stores.close();
    });
  }

  test("are put aside apart: one's damage is not another's", async () => {
    using at = folder();
    const stores = await at.open();
    for (const owner of [home, garage]) await put(stores, owner, large);
    truncateSync(stores.find(garage).locate(large.id)?.path ?? "", 5);
    expect(await stores.find(garage).verify([large.id])).toEqual(["damaged"]);
    expect(await stores.find(home).verify([large.id])).toEqual(["ok"]);
    expect(stores.usage()).toMatchObject({ chunkCount: 1, quarantinedCount: 1, usedBytes: 2 * large.data.length });
    await stores.close();
  });

  test("hold no more than the one capacity together, however many put at once", async () => {
    using at = folder();
    const capacityBytes = 500_000;
    const stores = await at.open(capacityBytes);
    const puts = [home, garage, shed].flatMap((owner) =>
      Array.from({ length: 12 }, (_, i) => ({ owner, chunk: testChunk(i % 2 === 0 ? large.data.length : 40_000, i) })),
    );
    const results = await Promise.allSettled(puts.map(({ owner, chunk }) => put(stores, owner, chunk)));
    const stored = puts.filter((_, i) => results[i]?.status === "fulfilled");
    for (const result of results) if (result.status === "rejected") expect(result.reason.code).toBe("no_space");
    const { usedBytes, freeBytes } = stores.usage();
    expect(stored.length).toBeLessThan(puts.length);
    expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
    expect(usedBytes).toBe(stored.reduce((sum, { chunk }) => sum + chunk.data.length, 0));
    expect(freeBytes).toBe(capacityBytes - usedBytes);
    const refused = testChunk(large.data.length, 99);
    expect((await failure(put(stores, garage, refused))).details).toEqual({ usedBytes, capacityBytes, neededBytes: large.data.length });
    // What one has taken away another can use.
    const ofHome = stored.filter(({ owner }) => owner === home).map(({ chunk }) => chunk.id);
    await stores.find(home).delete(ofHome);
    if (ofHome.length > 1) await put(stores, garage, refused);
    await stores.close();
  });

  test("are made by the first put and by nothing else, once, whoever comes at once", async () => {
    using at = folder();
    const stores = await at.open();
    await stores.find(garage).verify([small.id]);
    await stores.find(garage).delete([small.id]);
    expect(existsSync(join(at.dir, "guests"))).toBe(false);
    const [one, two] = await Promise.all([stores.open(garage), stores.open(garage)]);
    expect(one).toBe(two);
    expect(stores.guests()).toEqual([]);
    expect(readdirSync(join(at.dir, "guests"))).toEqual([garage]);
    await stores.close();
  });

  test("are made however the folder is written, with a dot before it and a slash behind", async () => {
    using at = folder();
    const dir = `./${relative(process.cwd(), at.dir)}/`;
    const stores = await openDiskChunkStores({ dir, site: home, capacityBytes: gibibyte, log: silentLog, clock: systemClock });
    await put(stores, garage, small, large);
    expect(stores.guests()).toMatchObject([{ site: garage, chunkCount: 2 }]);
    await stores.close();
  });

  test("are as many as a node may have", async () => {
    const open = async () => createMemoryChunkStore({ capacityBytes: gibibyte });
    const stores = createChunkStores({ site: home, own: await open(), guests: new Map(), unusable: [shed], openGuest: open });
    const others = Array.from({ length: guestsPerNodeMax }, (_, i) => parseSite(`m${i}.collective.local`));
    const results = await Promise.allSettled(others.map((owner) => put(stores, owner, small)));
    expect(results.map(({ status }) => status)).toEqual([...others.slice(1).map(() => "fulfilled" as const), "rejected"]);
    const error = await failure(stores.open(others.at(-1) ?? garage));
    expect(error).toMatchObject({ code: "no_space", message: expect.stringContaining("m63.collective.local") });
    // Those that are here go on.
    await put(stores, others[0] ?? garage, large);
    await put(stores, home, large);
    expect(stores.guests()).toHaveLength(guestsPerNodeMax - 1);
    await stores.close();
  });

  test("refuse everything once closed, also what was being opened", async () => {
    let go = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      go = resolve;
    });
    const guest = createMemoryChunkStore({ capacityBytes: gibibyte });
    const stores = createChunkStores({
      ...{ site: home, own: createMemoryChunkStore({ capacityBytes: gibibyte }), guests: new Map(), unusable: [] },
      openGuest: () => waiting.then(() => guest),
    });
    const opening = failure(stores.open(garage));
    const closing = Promise.all([stores.close(), stores.close()]);
    expect((await failure(stores.open(home))).code).toBe("unavailable");
    go();
    expect((await opening).code).toBe("unavailable");
    await closing;
    expect((await failure(guest.get(small.id))).code).toBe("unavailable");
    expect(() => stores.find(garage)).toThrow(expect.objectContaining({ code: "unavailable" }));
  });

  test("are tried again when one could not be made", async () => {
    let attempts = 0;
    const openGuest = async () => {
      if (++attempts === 1) throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      return createMemoryChunkStore({ capacityBytes: gibibyte });
    };
    const own = createMemoryChunkStore({ capacityBytes: gibibyte });
    const stores = createChunkStores({ site: home, own, guests: new Map(), unusable: [], openGuest });
    expect((await failure(stores.open(garage))).code).toBe("no_space");
    await put(stores, garage, small);
    expect(attempts).toBe(2);
  });
});

describe("after a restart", () => {
  test("all guests are there, and count", async () => {
    using at = folder();
    let stores = await at.open();
    await put(stores, home, small);
    await put(stores, garage, small, large);
    await put(stores, shed, small);
    await stores.find(shed).delete([small.id]);
    const usage = stores.usage();
    await stores.close();
    writeFileSync(join(at.dir, "guests", "README"), "not ours");
    mkdirSync(join(at.dir, "guests", "..not-a-site"));
    stores = await at.open();
    expect({ ...stores.usage(), freeBytes: 0 }).toEqual({ ...usage, freeBytes: 0 });
    expect(stores.guests()).toEqual([{ site: garage, usedBytes: small.data.length + large.data.length, chunkCount: 2 }]);
    expect(await stores.find(garage).verify([small.id, large.id])).toEqual(["ok", "ok"]);
    expect(readdirSync(join(at.dir, "guests")).sort()).toEqual(["..not-a-site", "README", garage, shed]);
    // Whose folder was left empty comes back to it.
    await put(stores, shed, large);
    expect(await stores.find(shed).verify([small.id, large.id])).toEqual(["missing", "ok"]);
    await stores.close();
    expect((await at.open().then((again) => again.close().then(() => again.guests()))).map(({ site }) => site)).toEqual([garage, shed]);
  });

  test("that was none, what each had acknowledged is there", async () => {
    using at = folder();
    const stores = await at.open();
    const gone = testChunk(inlineStoredBytesMax + 2, 3);
    await put(stores, home, small, large);
    await put(stores, garage, small, large, gone);
    using after = at.crashed();
    await stores.close();
    unlinkSync(join(after.dir, "guests", garage, "chunks", gone.id.slice(0, 2), gone.id.slice(2, 4), gone.id));
    writeFileSync(join(after.dir, "guests", garage, "incoming", small.id), "half");
    const recovered = await after.open();
    expect(await recovered.find(home).verify([small.id, large.id])).toEqual(["ok", "ok"]);
    expect(await recovered.find(garage).verify([small.id, large.id, gone.id])).toEqual(["ok", "ok", "missing"]);
    expect(recovered.guests()).toEqual([{ site: garage, usedBytes: small.data.length + large.data.length, chunkCount: 2 }]);
    expect(readdirSync(join(after.dir, "guests", garage, "incoming"))).toEqual([]);
    await recovered.close();
  });

  test("a guest whose index is damaged is not said to have nothing, and the others are served", async () => {
    using at = folder();
    let stores = await at.open();
    for (const owner of [home, garage, shed]) await put(stores, owner, small);
    await stores.close();
    truncateSync(join(at.dir, "guests", garage, "chunks.db"), 5_000);
    stores = await at.open();
    expect(stores.unusable()).toEqual([garage]);
    expect(() => stores.find(garage)).toThrow(expect.objectContaining({ code: "unavailable", message: expect.stringContaining(garage) }));
    expect((await failure(stores.open(garage))).code).toBe("unavailable");
    expect(await stores.find(home).verify([small.id])).toEqual(["ok"]);
    expect(await stores.find(shed).verify([small.id])).toEqual(["ok"]);
    expect(stores.guests().map(({ site }) => site)).toEqual([shed]);
    await stores.close();
    expect(readdirSync(join(at.dir, "guests", garage))).toContain("chunks.db");
  });

  test("the folder belongs to one process, guests and all", async () => {
    using at = folder();
    const stores = await at.open();
    await put(stores, garage, small);
    expect((await failure(at.open())).code).toBe("conflict");
    await put(stores, garage, large);
    await stores.close();
  });
});
