/** Names and attributes of a mount as POSIX has them, where a kernel's cache or another client could hide what is wrong. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Right } from "../../protocol/rights.ts";
import type { RouteName } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import type { Call } from "../../src/vfs/file-system.ts";
import { content } from "../support/content.ts";
import { until } from "../support/e2e-commands.ts";
import { nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { expectCode, owner } from "../support/metadata.ts";
import { call, openTestFileSystem, type TestFileSystem } from "../support/vfs.ts";

let member: TestMember;
/** What was asked of the coordinator. */
const asked: string[] = [];
beforeAll(async () => {
  member = await startTestMember({
    wrapHandlers: (handlers) =>
      Object.fromEntries(
        Object.entries(handlers).map(([name, handle]) => [
          name,
          (...given: Parameters<typeof handle>) => {
            asked.push(name);
            return (handle as (...given: unknown[]) => unknown)(...given);
          },
        ]),
      ) as typeof handlers,
  });
  for (const local of ["node-01", "node-02"]) await member.startNode(local);
  await member.metadata.createStore({ name: "s", policy: { ...defaultStorePolicy, replicas: 1 }, owner });
});
afterAll(() => member[Symbol.asyncDispose]());
beforeEach(() => {
  asked.length = 0;
});

const open = (options: Partial<Parameters<typeof openTestFileSystem>[0]> = {}) =>
  openTestFileSystem({ remote: member.remote(), ...options });
const askedTimes = (route: RouteName): number => asked.filter((name) => name === route).length;
const as = (uid: number, gid: number): Call => ({ ...call, caller: { ...call.caller, uid, gid } });
const attributesAt = async (mount: TestFileSystem, path: string) => {
  const entry = await mount.find(path);
  if (!entry) throw new Error(`${path} does not exist`);
  return entry.attributes;
};
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a file with several names", () => {
  test("is one file, and stays one as names come and go", async () => {
    await using mount = await open();
    await mount.writeFile("/s/one", content(10, 1));
    const { inode } = await attributesAt(mount, "/s/one");
    const linked = await mount.fs.link(call, inode, await mount.place("/s/two"));
    expect(linked.attributes).toMatchObject({ inode, links: 2 });
    await mount.writeFile("/s/two", content(20, 2));
    expect((await mount.readFile("/s/one")).length).toBe(20);
    await mount.fs.rename(call, await mount.place("/s/two"), await mount.place("/s/three"), "replace");
    await mount.fs.unlink(call, await mount.place("/s/one"));
    expect(await mount.fs.getAttributes(call, inode)).toMatchObject({ attributes: { links: 1, sizeBytes: 20 } });
    expect(await attributesAt(mount, "/s/three")).toMatchObject({ inode, links: 1 });
    await mount.fs.unlink(call, await mount.place("/s/three"));
    expect(await mount.names("/s")).not.toContain("three");
  });

  test("is written under the rest of its names when the one it was opened by is removed", async () => {
    await using mount = await open();
    await mount.writeFile("/s/first", content(10, 3));
    const { inode } = await attributesAt(mount, "/s/first");
    await mount.fs.link(call, inode, await mount.place("/s/second"));
    const file = await mount.open("/s/first");
    await mount.write(file, content(30, 4), 0);
    await mount.fs.unlink(call, await mount.place("/s/first"));
    await mount.close(file);
    await using other = await open();
    expect(Buffer.compare(await other.readFile("/s/second"), content(30, 4))).toBe(0);
  });

  test("is not taken for removed when it was another client that gave it the other name", async () => {
    await using mount = await open();
    await using other = await open();
    await mount.writeFile("/s/known", content(10, 5));
    const file = await mount.open("/s/known");
    await mount.write(file, content(40, 6), 0);
    await other.fs.link(call, (await attributesAt(other, "/s/known")).inode, await other.place("/s/unknown"));
    await mount.fs.unlink(call, await mount.place("/s/known"));
    await mount.close(file);
    expect(Buffer.compare(await other.readFile("/s/unknown"), content(40, 6))).toBe(0);
  });

  test("is not taken for removed when its name had come to another file", async () => {
    await using mount = await open();
    await using other = await open();
    await mount.writeFile("/s/passed on", content(10, 5));
    const file = await mount.open("/s/passed on");
    await mount.write(file, content(40, 6), 0);
    await other.fs.rename(call, await other.place("/s/passed on"), await other.place("/s/away"), "replace");
    await other.writeFile("/s/passed on", content(1));
    await mount.fs.unlink(call, await mount.place("/s/passed on"));
    await mount.close(file);
    expect(Buffer.compare(await other.readFile("/s/away"), content(40, 6))).toBe(0);
    expect(await other.find("/s/passed on")).toBeUndefined();
  });

  test("keeps both when one is renamed to the other", async () => {
    await using mount = await open();
    await mount.writeFile("/s/same", content(1));
    await mount.fs.link(call, (await attributesAt(mount, "/s/same")).inode, await mount.place("/s/again"));
    const [from, to] = [await mount.place("/s/same"), await mount.place("/s/again")];
    await mount.fs.rename(call, from, to, "replace");
    await mount.fs.rename(call, from, to, "exchange");
    await expectCode("already_exists", async () => mount.fs.rename(call, from, to, "keep"));
    for (const path of ["/s/same", "/s/again"]) expect((await attributesAt(mount, path)).links).toBe(2);
  });
});

test("an exchange gives each the other's name, and what is open stays with its file", async () => {
  await using mount = await open();
  await mount.writeFile("/s/x", content(10, 7));
  await mount.fs.makeDirectory(call, await mount.place("/s/y"), 0o755);
  await mount.writeFile("/s/y/inside", content(5, 8));
  const file = await mount.open("/s/x");
  await mount.write(file, content(50, 9), 0);
  await mount.fs.rename(call, await mount.place("/s/x"), await mount.place("/s/y"), "exchange");
  await mount.close(file);
  expect(Buffer.compare(await mount.readFile("/s/y"), content(50, 9))).toBe(0);
  expect(await mount.names("/s/x")).toEqual(["inside"]);
  await mount.fs.unlink(call, await mount.place("/s/y"));
  expect(await mount.names("/s/x")).toEqual(["inside"]);
});

describe("owners", () => {
  test("are who made it, and whoever mounted it where nobody said", async () => {
    await using mount = await open();
    expect(await attributesAt(mount, "/s")).toMatchObject({ uid: 1_000, gid: 1_000 });
    const caller = as(1_234, 2_345);
    await mount.fs.makeDirectory(caller, await mount.place("/s/theirs"), 0o755);
    await mount.fs.makeSymlink(caller, await mount.place("/s/theirs/link"), "x");
    await mount.fs.makeNode(caller, { ...(await mount.place("/s/theirs/fifo")), kind: "fifo", mode: 0o600, device: 0 });
    await mount.fs.makeNode(caller, { ...(await mount.place("/s/theirs/device")), kind: "block_device", mode: 0o600, device: 0x0801 });
    await using other = await open();
    for (const path of ["/s/theirs", "/s/theirs/link", "/s/theirs/fifo", "/s/theirs/device"]) {
      expect(await attributesAt(other, path), path).toMatchObject({ uid: 1_234, gid: 2_345 });
    }
    expect(await attributesAt(other, "/s/theirs/device")).toMatchObject({ kind: "block_device", mode: 0o600, device: 0x0801 });
  });

  test("are given away with the set-id bits taken", async () => {
    await using mount = await open();
    await mount.writeFile("/s/given", content(1));
    const { inode } = await attributesAt(mount, "/s/given");
    await mount.fs.setAttributes(call, inode, { mode: 0o6755, clearSetIds: false });
    const given = await mount.fs.setAttributes(call, inode, { uid: 7, clearSetIds: true });
    expect(given.attributes).toMatchObject({ uid: 7, gid: 0, mode: 0o755 });
  });

  test("come from a set-group-id directory as far as the group goes", async () => {
    await using mount = await open();
    const { attributes } = await mount.fs.makeDirectory(call, await mount.place("/s/team"), 0o755);
    await mount.fs.setAttributes(call, attributes.inode, { gid: 77, mode: 0o2775, clearSetIds: false });
    await mount.fs.makeDirectory(as(5, 6), await mount.place("/s/team/sub"), 0o755);
    await mount.fs.makeNode(as(5, 6), { ...(await mount.place("/s/team/file")), kind: "file", mode: 0o644, device: 0 });
    expect(await attributesAt(mount, "/s/team/sub")).toMatchObject({ uid: 5, gid: 77, mode: 0o2755 });
    expect(await attributesAt(mount, "/s/team/file")).toMatchObject({ uid: 5, gid: 77, mode: 0o644 });
  });
});

describe("times", () => {
  test("that were set are kept to the nanosecond, also of what is not stored yet", async () => {
    await using mount = await open();
    const file = await mount.create("/s/timed");
    await mount.write(file, content(10), 0);
    const [accessed, modified] = [-1_000_000_007n, 1_234_567_890_123_456_789n];
    await mount.fs.setAttributes(call, file.inode, { accessed, modified, clearSetIds: false });
    await mount.close(file);
    await using other = await open();
    expect(await attributesAt(other, "/s/timed")).toMatchObject({ accessedNs: accessed, modifiedNs: modified });
  });

  test("of change move with names and attributes, as seen by the client that changed them", async () => {
    await using mount = await open();
    await mount.writeFile("/s/moving", content(1));
    const { inode } = await attributesAt(mount, "/s/moving");
    const changedNs = async (): Promise<bigint> => (await mount.fs.getAttributes(call, inode)).attributes.changedNs;
    const changes: Readonly<Record<string, () => unknown>> = {
      link: async () => mount.fs.link(call, inode, await mount.place("/s/moved")),
      unlink: async () => mount.fs.unlink(call, await mount.place("/s/moved")),
      rename: async () => mount.fs.rename(call, await mount.place("/s/moving"), await mount.place("/s/elsewhere"), "replace"),
      attribute: () => mount.fs.setExtendedAttribute(call, inode, "user.a", bytesOf("b"), "either"),
      mode: () => mount.fs.setAttributes(call, inode, { mode: 0o600, clearSetIds: false }),
    };
    for (const [what, change] of Object.entries(changes)) {
      const before = await changedNs();
      member.clock.nowMs += 10;
      await change();
      expect(await changedNs(), what).toBeGreaterThan(before);
    }
  });

  test("of a directory in which files are made and removed are known, and not asked for", async () => {
    await using mount = await open();
    await mount.fs.makeDirectory(call, await mount.place("/s/busy"), 0o755);
    const { inode } = await attributesAt(mount, "/s/busy");
    for (const change of ["create", "unlink"] as const) {
      const place = await mount.place("/s/busy/file");
      await mount.fs.getAttributes(call, inode);
      member.clock.nowMs += 10;
      asked.length = 0;
      if (change === "create") await mount.close(await mount.create("/s/busy/file"));
      else await mount.fs.unlink(call, place);
      const { attributes } = await mount.fs.getAttributes(call, inode);
      expect(askedTimes("getAttr"), change).toBe(0);
      await using other = await open();
      expect(await attributesAt(other, "/s/busy"), change).toMatchObject({
        modifiedNs: attributes.modifiedNs,
        changedNs: attributes.changedNs,
        links: attributes.links,
      });
    }
  });

  test("and modes that were just changed are not undone by a listing that began before", async () => {
    await using mount = await open();
    await mount.fs.makeDirectory(call, await mount.place("/s/listed"), 0o755);
    await mount.writeFile("/s/listed/file", content(1));
    const [{ inode }, file] = [await attributesAt(mount, "/s/listed"), await attributesAt(mount, "/s/listed/file")];
    const { handle } = await mount.fs.openDirectory(call, inode);
    await mount.fs.list(call, { inode, handle }, { after: 0, withAttributes: false, entriesMax: 1 });
    await mount.fs.setAttributes(call, file.inode, { mode: 0o600, clearSetIds: false });
    const listed = await mount.fs.list(call, { inode, handle }, { after: 2, withAttributes: true, entriesMax: 5 });
    expect(listed.map(({ entry }) => entry?.attributes.mode)).toEqual([0o600]);
    await mount.fs.releaseDirectory(call, { inode, handle });
  });
});

describe("extended attributes", () => {
  test("are asked for once, and not at all of what has none", async () => {
    await using mount = await open();
    const file = await mount.create("/s/attributed");
    const get = async (name: string) => mount.fs.getExtendedAttribute(call, file.inode, name);
    await expectCode("no_attribute", get("security.capability"));
    expect(askedTimes("extendedAttributes")).toBe(0);
    await mount.fs.setExtendedAttribute(call, file.inode, "user.a", bytesOf("one"), "create");
    await mount.fs.setExtendedAttribute(call, file.inode, "trusted.b", bytesOf("two"), "either");
    expect(Buffer.from(await get("user.a")).toString()).toBe("one");
    await expectCode("no_attribute", get("security.capability"));
    expect(await mount.fs.listExtendedAttributes(call, file.inode)).toEqual(["trusted.b", "user.a"]);
    expect(await mount.fs.listExtendedAttributes(as(5, 5), file.inode)).toEqual(["user.a"]);
    expect(askedTimes("extendedAttributes")).toBe(1);
    await mount.close(file);
  });

  test("that another client has changed are seen as soon as that is told", async () => {
    await using one = await open();
    await using two = await open();
    await one.writeFile("/s/tagged", content(1));
    const { inode } = await attributesAt(one, "/s/tagged");
    await attributesAt(two, "/s/tagged");
    const seen = async (): Promise<string | undefined> => {
      const names = await two.fs.listExtendedAttributes(call, inode);
      return names.includes("user.a") ? Buffer.from(await two.fs.getExtendedAttribute(call, inode, "user.a")).toString() : undefined;
    };
    for (const value of ["first", "second"]) {
      member.clock.nowMs++;
      await one.fs.setExtendedAttribute(call, inode, "user.a", bytesOf(value), "either");
      await until(seen, (now) => now === value);
    }
    member.clock.nowMs++;
    await one.fs.removeExtendedAttribute(call, inode, "user.a");
    await until(seen, (now) => now === undefined);
  });
});

describe("for whoever was granted", () => {
  const mountedBy = async (local: string, rights: readonly Right[]) => {
    const name = nameAt(local);
    const { attr } = await member.metadata.resolve(["s"]);
    if (!attr) throw new Error("there is no store");
    await member.metadata.grant({ inode: attr.inode, subject: name as never, rights, grantedBy: owner, expiresMs: null });
    return await open({ remote: member.remote({ credentials: await member.credentialsOf({ kind: "user", name }) }) });
  };
  const changesOf = async (mount: TestFileSystem, path: string): Promise<Readonly<Record<string, () => Promise<unknown>>>> => {
    const { inode } = await attributesAt(mount, path);
    const [place, free] = [await mount.place(path), await mount.place(`${path}.new`)];
    const { fs } = mount;
    return {
      create: async () => mount.create(`${path}.new`),
      mkdir: async () => fs.makeDirectory(call, free, 0o755),
      mkfifo: async () => fs.makeNode(call, { ...free, kind: "fifo", mode: 0o600, device: 0 }),
      symlink: async () => fs.makeSymlink(call, free, "x"),
      link: async () => fs.link(call, inode, free),
      rename: async () => fs.rename(call, place, free, "replace"),
      unlink: async () => fs.unlink(call, place),
      chmod: async () => fs.setAttributes(call, inode, { mode: 0o600, clearSetIds: false }),
      truncate: async () => fs.setAttributes(call, inode, { sizeBytes: 0, clearSetIds: false }),
      setxattr: async () => fs.setExtendedAttribute(call, inode, "user.a", bytesOf("b"), "either"),
      removexattr: async () => fs.removeExtendedAttribute(call, inode, "user.a"),
      "open to write": async () => mount.open(path, { access: "write" }),
      "open as empty": async () => mount.open(path, { access: "read", truncate: true }),
    };
  };

  test("reading alone, it is a read-only file system", async () => {
    await using own = await open();
    await own.writeFile("/s/shown", content(10, 1));
    await using mount = await mountedBy("reader", ["read"]);
    expect((await mount.readFile("/s/shown")).length).toBe(10);
    for (const [what, change] of Object.entries(await changesOf(mount, "/s/shown"))) {
      expect((await expectCode("read_only", change)).message, what).not.toBe("");
    }
    expect((await own.readFile("/s/shown")).length).toBe(10);
  });

  test("more than that, what is lacking is a permission that is denied", async () => {
    await using own = await open();
    await own.writeFile("/s/kept", content(10, 1));
    await using mount = await mountedBy("writer", ["read", "write"]);
    await mount.writeFile("/s/kept", content(20, 2));
    await expectCode("permission_denied", async () => mount.fs.unlink(call, await mount.place("/s/kept")));
    asked.length = 0;
    for (let index = 0; index < 5; index++) await mount.close(await mount.open("/s/kept"));
    expect(askedTimes("rightsOn")).toBe(0);
  });

  test("anything, --read-only refuses the same", async () => {
    await using own = await open();
    await own.writeFile("/s/frozen", content(10, 1));
    await using mount = await open({ readOnly: true });
    for (const [what, change] of Object.entries(await changesOf(mount, "/s/frozen"))) {
      expect((await expectCode("read_only", change)).message, what).toContain("--read-only");
    }
  });
});

test("only datastores stand in the root", async () => {
  await using mount = await open();
  const { inode } = await attributesAt(mount, "/");
  const place = { parent: inode, name: "x" };
  await expectCode("not_permitted", async () => mount.create("/x"));
  await expectCode("not_permitted", async () => mount.fs.makeSymlink(call, place, "s"));
  await expectCode("not_permitted", async () => mount.fs.makeNode(call, { ...place, kind: "socket", mode: 0o600, device: 0 }));
});
