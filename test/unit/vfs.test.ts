/** What a mount's file system promises beyond equal bytes: what is sent, what is kept when storing fails, and whose change wins. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseGlobalName } from "../../protocol/ids.ts";
import { kibibyte, largeChunkBytes, mebibyte } from "../../protocol/limits.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { createRanges } from "../../src/vfs/ranges.ts";
import { createReadAhead } from "../../src/vfs/read-ahead.ts";
import { content, until } from "../support/content.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { expectCode, owner } from "../support/metadata.ts";
import { alice } from "../support/pki.ts";
import { call, openTestFileSystem } from "../support/vfs.ts";

let member: TestMember;
/** Of all nodes together. */
let sentBytes = 0;
/** How many chunks. */
let fetched = 0;
let nodesRefuse = false;
beforeAll(async () => {
  member = await startTestMember();
  const intercept = (request: Request): Response | undefined => {
    if (request.method === "GET") {
      fetched++;
      return undefined;
    }
    sentBytes += Number(request.headers.get("content-length") ?? 0);
    return nodesRefuse ? new Response("no", { status: 500 }) : undefined;
  };
  for (const local of ["node-01", "node-02"]) await member.startNode(local, { intercept });
  await member.metadata.createStore({ name: "s", policy: { ...defaultStorePolicy, replicas: 1 }, owner });
});
afterAll(() => member[Symbol.asyncDispose]());

const open = (options: Partial<Parameters<typeof openTestFileSystem>[0]> = {}) =>
  openTestFileSystem({ remote: member.remote(), ...options });

describe("a large file", () => {
  const size = 3 * largeChunkBytes + 1_000;
  test("sends only what was written", async () => {
    await using mount = await open();
    const bytes = content(size, 7);
    await mount.writeFile("/s/large", bytes);
    sentBytes = 0;
    const file = await mount.open("/s/large");
    await mount.write(file, content(10, 8), largeChunkBytes + 5);
    await mount.close(file);
    expect(sentBytes).toBeGreaterThan(10);
    expect(sentBytes).toBeLessThan(kibibyte);
    bytes.set(content(10, 8), largeChunkBytes + 5);
    await using other = await open();
    expect(Buffer.compare(await other.readFile("/s/large"), bytes)).toBe(0);
  });

  test("is fetched once for all mounts that share a folder, also after they have ended", async () => {
    const chunkFolder = mkdtempSync(join(tmpdir(), "collective-chunks-"));
    try {
      const bytes = content(size, 11);
      {
        await using mount = await open({ chunkFolder });
        await mount.writeFile("/s/fetched", bytes);
      }
      fetched = 0;
      {
        await using mount = await open({ chunkFolder });
        expect(Buffer.compare(await mount.readFile("/s/fetched"), bytes)).toBe(0);
        expect(fetched).toBe(4);
        await until(
          () => readdirSync(chunkFolder, { recursive: true }).filter((path) => /\w{64}$/.test(`${path}`)).length === 4,
          "the chunks are kept",
        );
      }
      await using mount = await open({ chunkFolder });
      expect(Buffer.compare(await mount.readFile("/s/fetched"), bytes)).toBe(0);
      expect(fetched).toBe(4);
    } finally {
      rmSync(chunkFolder, { recursive: true, force: true });
    }
  });

  test("is appended to by sending its end", async () => {
    await using mount = await open();
    await mount.writeFile("/s/log", content(size, 9));
    sentBytes = 0;
    const file = await mount.open("/s/log", { access: "write", append: true });
    const options = { offset: 0, append: true, fromCache: false, clearSetIds: false };
    await mount.fs.write(call, file, content(100, 10), options);
    await mount.close(file);
    expect(sentBytes).toBeLessThan(50 * kibibyte);
    expect(Buffer.compare((await mount.readFile("/s/log")).subarray(size), content(100, 10))).toBe(0);
  });

  test("passes through a spool that is smaller than it", async () => {
    await using mount = await open({ spoolBytesMax: 6 * mebibyte });
    const bytes = content(20 * mebibyte, 11);
    const file = await mount.create("/s/through");
    for (let at = 0; at < bytes.length; at += mebibyte) await mount.write(file, bytes.subarray(at, at + mebibyte), at);
    expect(Buffer.compare(await mount.read(file, 0, bytes.length), bytes)).toBe(0);
    await mount.close(file);
    await using other = await open();
    expect(Buffer.compare(await other.readFile("/s/through"), bytes)).toBe(0);
  });

  test("is the same when it is synced all the while it is written, and room is made in the spool", async () => {
    await using mount = await open({ spoolBytesMax: 3 * mebibyte });
    const bytes = content(12 * mebibyte, 15);
    const file = await mount.create("/s/synced");
    const syncs: (void | Promise<void>)[] = [];
    for (let at = 0; at < bytes.length; at += mebibyte / 2) {
      await mount.write(file, bytes.subarray(at, at + mebibyte / 2), at);
      syncs.push(mount.fs.sync(call, file, { dataOnly: false }));
    }
    await Promise.all([...syncs, mount.close(file)]);
    await using other = await open();
    expect(Buffer.compare(await other.readFile("/s/synced"), bytes)).toBe(0);
  });
});

describe("what cannot be stored", () => {
  test("is said at close, kept, and stored by itself when that is possible again", async () => {
    await using mount = await open();
    const file = await mount.create("/s/kept");
    await mount.write(file, content(500, 12), 0);
    nodesRefuse = true;
    await expectCode("unavailable", Promise.resolve(mount.fs.sync(call, file, { dataOnly: false })));
    await expectCode("unavailable", Promise.resolve(mount.fs.flush(call, file, 1n)));
    await mount.fs.release(call, file);
    expect(Buffer.compare(await mount.readFile("/s/kept"), content(500, 12))).toBe(0);
    nodesRefuse = false;
    member.clock.nowMs += 11_000;
    for (const node of member.nodes()) await node.register();
    member.clock.tick();
    expect(await mount.fs.stop({ withinMs: 60_000 })).toEqual([]);
    await using other = await open();
    expect(Buffer.compare(await other.readFile("/s/kept"), content(500, 12))).toBe(0);
  });

  test("is named when the mount ends", async () => {
    await using mount = await open();
    const file = await mount.create("/s/lost");
    await mount.write(file, content(500, 13), 0);
    nodesRefuse = true;
    await mount.fs.release(call, file);
    expect(await mount.fs.stop({ withinMs: 60_000 })).toEqual(["/s/lost"]);
    nodesRefuse = false;
    member.clock.nowMs += 11_000;
    for (const node of member.nodes()) await node.register();
  });
});

describe("two mounts", () => {
  test("that write different parts of a file at once both keep theirs", async () => {
    await using one = await open();
    await using two = await open();
    const bytes = content(200 * kibibyte, 14);
    await one.writeFile("/s/both", bytes);
    const [first, second] = [await one.open("/s/both"), await two.open("/s/both")];
    await one.write(first, new Uint8Array(100).fill(1), 0);
    await two.write(second, new Uint8Array(100).fill(2), 150 * kibibyte);
    await one.close(first);
    await two.close(second);
    bytes.fill(1, 0, 100).fill(2, 150 * kibibyte, 150 * kibibyte + 100);
    expect(Buffer.compare(await one.readFile("/s/both"), bytes)).toBe(0);
  });

  test("that append to one file, which both have open, lose nothing and write nothing over each other", async () => {
    await using one = await open();
    await using two = await open();
    await one.writeFile("/s/log", Buffer.from("begin\n"));
    const how = { access: "write", append: true } as const;
    const files = [await one.open("/s/log", how), await two.open("/s/log", how)] as const;
    const lines = Array.from({ length: 30 }, (_, index) => `${"x".repeat(index % 7)} ${index}\n`);
    for (const [index, line] of lines.entries()) {
      const [mount, file] = index % 2 === 0 ? [one, files[0]] : [two, files[1]];
      await mount.fs.write(call, file, Buffer.from(line), { offset: 0, append: true, fromCache: false, clearSetIds: false });
      if (index % 3 === 0) await mount.fs.sync(call, file, { dataOnly: false });
    }
    await one.close(files[0]);
    await two.close(files[1]);
    const text = Buffer.from(await one.readFile("/s/log")).toString();
    expect(text.startsWith("begin\n")).toBe(true);
    expect(text.split("\n").slice(1, -1).sort()).toEqual(lines.map((line) => line.trimEnd()).sort());
  });

  test("keep the mode that the other has set while the file was written", async () => {
    await using one = await open();
    await using two = await open();
    await one.writeFile("/s/guarded", content(10));
    const file = await one.open("/s/guarded");
    await one.write(file, content(20), 0);
    const { inode } = (await two.find("/s/guarded"))?.attributes ?? { inode: 0 };
    await two.fs.setAttributes(call, inode, { mode: 0o600, clearSetIds: false });
    await one.close(file);
    const { mode, sizeBytes } = (await two.fs.getAttributes(call, (await two.open("/s/guarded")).inode)).attributes;
    expect([mode, sizeBytes]).toEqual([0o600, 20]);
  });

  test("do not bring back what the other has removed", async () => {
    await using one = await open();
    await using two = await open();
    await one.writeFile("/s/gone", content(10));
    const file = await one.open("/s/gone");
    await one.write(file, content(20), 0);
    await two.fs.unlink(call, await two.place("/s/gone"));
    await one.close(file);
    expect(await two.find("/s/gone")).toBeUndefined();
  });

  test("store a file where the other has moved it", async () => {
    await using one = await open();
    await using two = await open();
    await one.writeFile("/s/moving", content(10));
    const file = await one.open("/s/moving");
    await one.write(file, content(20, 16), 0);
    await two.fs.rename(call, await two.place("/s/moving"), await two.place("/s/moved"), "replace");
    await one.close(file);
    expect(await two.find("/s/moving")).toBeUndefined();
    expect(Buffer.compare(await two.readFile("/s/moved"), content(20, 16))).toBe(0);
  });

  test("give one of them a new name", async () => {
    await using one = await open();
    await using two = await open();
    const made = await Promise.allSettled([one.create("/s/mine"), two.create("/s/mine")]);
    expect(made.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });
});

describe("names", () => {
  test("are listed page by page, with what each of them is", async () => {
    await using mount = await open();
    await mount.fs.makeDirectory(call, await mount.place("/s/many"), 0o755);
    const expected = Array.from({ length: 30 }, (_, index) => `file ${String(index).padStart(2, "0")}`);
    for (const name of expected) await mount.writeFile(`/s/many/${name}`, content(1));
    expect(await mount.names("/s/many")).toEqual(expected);
  });

  test("of a directory that is shown as the root are found from there", async () => {
    await using mount = await open();
    await mount.fs.makeDirectory(call, await mount.place("/s/shown"), 0o755);
    await mount.writeFile("/s/shown/inside", content(3));
    await using part = await open({ components: ["s", "shown"] });
    expect(await part.names("/")).toEqual(["inside"]);
    await part.writeFile("/other", content(4));
    expect((await mount.readFile("/s/shown/other")).length).toBe(4);
    await expectCode("not_a_directory", open({ components: ["s", "shown", "inside"] }));
  });

  test("can be used again, by another file", async () => {
    await using mount = await open();
    await mount.writeFile("/s/again", content(5, 1));
    const first = (await mount.find("/s/again"))?.attributes.inode;
    await mount.fs.unlink(call, await mount.place("/s/again"));
    await mount.writeFile("/s/again", content(5, 2));
    expect((await mount.find("/s/again"))?.attributes.inode).not.toBe(first);
    expect(Buffer.compare(await mount.readFile("/s/again"), content(5, 2))).toBe(0);
  });
});

test("ranges are the set of bytes that was added", () => {
  const ranges = createRanges();
  for (const [start, end] of [
    [10, 20],
    [30, 40],
    [20, 25],
    [5, 11],
    [50, 60],
    [24, 31],
  ] as const)
    ranges.add({ start, end });
  expect(ranges.list()).toEqual([
    { start: 5, end: 40 },
    { start: 50, end: 60 },
  ]);
  ranges.cut(55);
  expect(ranges.bytes).toBe(40);
  expect(ranges.split({ start: 0, end: 100 }).map(({ start, inside }) => `${start}${inside ? "+" : "-"}`)).toEqual([
    "0-",
    "5+",
    "40-",
    "50+",
    "55-",
  ]);
  expect(
    [
      [0, 5],
      [0, 6],
      [40, 50],
      [39, 50],
      [54, 70],
      [55, 70],
    ].map(([start = 0, end = 0]) => ranges.overlaps({ start, end })),
  ).toEqual([false, true, false, true, true, false]);
});

test("reading ahead grows with what is read on, and ends where a program jumps", () => {
  const ahead = createReadAhead();
  let fetched = 0;
  for (let start = 0; start < 8 * mebibyte; start += 128 * kibibyte) {
    const next = ahead.after({ start, end: start + 128 * kibibyte });
    expect(next.start).toBeGreaterThanOrEqual(start);
    fetched = Math.max(fetched, next.end);
  }
  expect(fetched).toBeGreaterThan(12 * mebibyte);
  const jumped = ahead.after({ start: 500 * mebibyte, end: 500 * mebibyte + 4_096 });
  expect(jumped.end - jumped.start).toBe(0);
});

test("another member's files stand below its name, with numbers of their own, and cannot be moved into it", async () => {
  const garage = parseGlobalName("bob@garage.collective.local");
  await using bob = await startTestMember({ member: garage });
  await bob.startNode("node-01");
  await bob.metadata.createStore({ name: "s", policy: { ...defaultStorePolicy, replicas: 1 }, owner: garage });
  await using mount = await open({ others: { own: alice, remoteOf: async () => bob.remote() } });
  const theirs = `/@${garage}/s`;
  await mount.writeFile(`${theirs}/file`, content(100, 3));
  expect(Buffer.compare(await mount.readFile(`${theirs}/file`), content(100, 3))).toBe(0);
  expect(await mount.names(theirs)).toEqual(["file"]);
  expect((await bob.metadata.resolve(["s", "file"])).attr?.sizeBytes).toBe(100);
  const numbers = await Promise.all(["/", "/s", `/@${garage}`, theirs].map(async (path) => (await mount.find(path))?.attributes.inode));
  expect(new Set(numbers).size).toBe(4);
  await mount.writeFile("/s/own", content(1));
  const [from, to] = [await mount.place("/s/own"), await mount.place(`${theirs}/own`)];
  await expectCode("cross_store", async () => mount.fs.rename(call, from, to, "replace"));
  expect(await mount.find("/@nobody")).toBeUndefined();
});
