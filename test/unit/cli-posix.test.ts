/** What mounts make, as the other faces show and carry it: special files, several names of one file, owners. */
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { routes } from "../../protocol/routes.ts";
import { formatMode } from "../../src/cli/output/entries.ts";
import { statPath } from "../../src/client/files.ts";
import { type CliMember, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";
import { testFolder } from "../support/pki.ts";

/** `/a/tree` with a file under two names, a fifo and a device; the store `/b` beside it. */
async function withTree(): Promise<CliMember> {
  const cli = await startCliMember();
  await cli.ok(["mkdir", "-p", "/a/tree", "/b"]);
  await cli.put("/a/tree/one", "one");
  const { call } = cli.remote.control;
  const [tree, one] = [await statPath(cli.remote, ["a", "tree"]), await statPath(cli.remote, ["a", "tree", "one"])];
  const at = (name: string) => ({ parent: tree.inode, name });
  await call(routes.link, { inode: one.inode, to: at("two") });
  await call(routes.setAttr, { inode: one.inode, uid: 7, gid: 8, mode: 0o4755 });
  await call(routes.makeNode, { ...at("pipe"), type: "fifo", mode: 0o600, device: 0 });
  await call(routes.makeNode, { ...at("zero"), type: "character_device", mode: 0o666, device: 261, uid: 0, gid: 0 });
  return cli;
}

test("modes are shown as ls shows them", () => {
  const shown = (type: Parameters<typeof formatMode>[0]["type"], mode: number) => formatMode({ type, mode });
  expect([shown("directory", 0o1777), shown("directory", 0o2750), shown("file", 0o6755), shown("file", 0o7644)]).toEqual([
    ...["drwxrwxrwt", "drwxr-s---", "-rwsr-sr-x", "-rwSr-Sr-T"],
  ]);
  expect([shown("fifo", 0), shown("socket", 0), shown("character_device", 0), shown("block_device", 0)].map(([letter]) => letter)).toEqual([
    ...["p", "s", "c", "b"],
  ]);
});

test("ls and stat show of what kind something is, and du counts a file once", async () => {
  await using cli = await withTree();
  const modes = (await cli.ok(["ls", "-l", "/a/tree"])).match(/[-a-z]{10}(?= )/gm);
  expect(modes).toEqual(["-rwsr-xr-x", "prw-------", "-rwsr-xr-x", "crw-rw-rw-"]);
  const stat = await cli.ok(["stat", "/a/tree/two"]);
  expect(stat).toMatch(/user and group +7:8/);
  expect(stat).toMatch(/names +2/);
  expect(await cli.ok(["stat", "/a/tree/zero"])).toMatch(/type +character device/);
  expect(await cli.json(["du", "/a/tree"])).toMatchObject({ files: 1 });
  await cli.ok(["rm", "/a/tree/one", "/a/tree/pipe"]);
  expect(await cli.ok(["ls", "/a/tree"])).toBe("two\nzero\n");
});

test("get leaves special files out and says so", async () => {
  await using cli = await withTree();
  await using folder = await testFolder();
  const { stderr } = await cli.run(["get", "-r", "/a/tree", folder.path]);
  expect(stderr).toMatch(/left out .*pipe: it would be neither a file, a directory nor a symbolic link/);
  expect((await readdir(join(folder.path, "tree"))).sort()).toEqual(["one", "two"]);
  expectFailure(await cli.run(["get", "/a/tree/pipe", join(folder.path, "pipe")]), { code: "invalid_argument", says: /neither a file/ });
});

test("cp and mv carry special files and owners, also to another datastore", async () => {
  await using cli = await withTree();
  await cli.ok(["cp", "-r", "/a/tree", "/a/copy"]);
  await cli.ok(["mv", "/a/tree", "/b/tree"]);
  for (const top of [
    ["a", "copy"],
    ["b", "tree"],
  ]) {
    expect(await statPath(cli.remote, [...top, "pipe"])).toMatchObject({ type: "fifo", mode: 0o600, uid: null });
    expect(await statPath(cli.remote, [...top, "zero"])).toMatchObject({ type: "character_device", device: 261, mode: 0o666, uid: 0 });
    for (const name of ["one", "two"]) {
      expect(await statPath(cli.remote, [...top, name])).toMatchObject({ sizeBytes: 3, mode: 0o4755, uid: 7, gid: 8 });
    }
  }
  expect(await cli.ok(["ls", "/a"])).toBe("copy/\n");
});
