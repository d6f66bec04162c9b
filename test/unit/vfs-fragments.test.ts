/** Small durable changes of a file on a mount: what they send, what they leave in the collective, and what they survive. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { content, ingestFile } from "../support/content.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { expectCode, owner } from "../support/metadata.ts";
import { call, openTestFileSystem } from "../support/vfs.ts";

let member: TestMember;
beforeAll(async () => {
  member = await startTestMember();
  for (const local of ["node-01", "node-02"]) await member.startNode(local);
  await member.metadata.createStore({ name: "s", policy: { ...defaultStorePolicy, replicas: 1 }, owner });
});
afterAll(() => member[Symbol.asyncDispose]());

const open = () => openTestFileSystem({ remote: member.remote() });

async function extentsOf(path: string) {
  const { attr } = await member.metadata.resolve(path.split("/").slice(1));
  if (!attr) throw new Error(`${path} does not exist`);
  return await member.metadata.extents(attr.inode, { offset: 0, lengthBytes: Number.MAX_SAFE_INTEGER, limit: 10_000 });
}

test("a file written with an fsync after each page is the same chunks as one that was put", async () => {
  await using mount = await open();
  const bytes = content(1_300 * kibibyte, 3);
  const file = await mount.create("/s/slowly");
  for (let at = 0; at < bytes.length; at += 4 * kibibyte) {
    await mount.write(file, bytes.subarray(at, at + 4 * kibibyte), at);
    await mount.fs.sync(call, file, { dataOnly: true });
  }
  await mount.close(file);
  await ingestFile(member.remote(), await member.metadata.storeByName("s"), { name: "at-once", source: bytes });
  const chunks = async (path: string) => (await extentsOf(path)).map(({ chunk, offset }) => ({ chunk, offset }));
  expect(await chunks("/s/slowly")).toEqual(await chunks("/s/at-once"));
}, 60_000);

test("what was written is stored also where what lies around it cannot be read any more", async () => {
  await using mount = await open();
  const bytes = content(64 * kibibyte, 5);
  await mount.writeFile("/s/torn", bytes);
  const lost = (await extentsOf("/s/torn")).map(({ chunk }) => chunk);
  for (const node of member.nodes()) await node.store.delete(lost);
  await using other = await open();
  const file = await other.open("/s/torn");
  // So much of the file that it would be written whole.
  await other.write(file, content(40 * kibibyte, 6), 0);
  await other.close(file);
  const again = await other.open("/s/torn", { access: "read" });
  expect(Buffer.compare(await other.read(again, 0, 40 * kibibyte), content(40 * kibibyte, 6))).toBe(0);
  await using third = await open();
  const elsewhere = await third.open("/s/torn", { access: "read" });
  expect(Buffer.compare(await third.read(elsewhere, 0, 40 * kibibyte), content(40 * kibibyte, 6))).toBe(0);
  await expectCode("corrupt", third.read(elsewhere, 40 * kibibyte, 100));
  for (const [fs, open] of [[other, again] as const, [third, elsewhere] as const]) await fs.close(open);
});

test("a file is cut and lengthened without a byte of it being sent or fetched", async () => {
  await using mount = await open();
  const bytes = content(9 * mebibyte, 7);
  await mount.writeFile("/s/cut", bytes);
  const before = (await extentsOf("/s/cut")).map(({ chunk }) => chunk);
  const { inode } = (await mount.find("/s/cut"))?.attributes ?? { inode: 0 };
  await mount.fs.setAttributes(call, inode, { sizeBytes: 8 * mebibyte + 5, clearSetIds: false });
  await mount.fs.setAttributes(call, inode, { sizeBytes: 100 * mebibyte, clearSetIds: false });
  const after = await extentsOf("/s/cut");
  expect(after.map(({ chunk }) => chunk)).toEqual(before);
  expect(after.at(-1)).toMatchObject({ offset: 8 * mebibyte, plainBytes: 5, chunkBytes: mebibyte });
  await using other = await open();
  const found = await other.readFile("/s/cut");
  expect(found.length).toBe(100 * mebibyte);
  expect(Buffer.compare(found.subarray(0, 8 * mebibyte + 5), bytes.subarray(0, 8 * mebibyte + 5))).toBe(0);
  expect(found.subarray(8 * mebibyte + 5).every((byte) => byte === 0)).toBe(true);
});
