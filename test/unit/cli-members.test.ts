/** Files that go from one member to another: cp(1) and mv(1) across members, with the rights of both owners. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { parseGlobalName } from "../../protocol/ids.ts";
import { mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { readRange } from "../../src/client/download.ts";
import { statPath } from "../../src/client/files.ts";
import { systemRandom } from "../../src/core/random.ts";
import { type CliMember, startCliMember } from "../support/cli.ts";
import { type CliMembers, startCliMembers } from "../support/cli-members.ts";
import { expectFailure } from "../support/e2e-commands.ts";
import { alice, bob } from "../support/pki.ts";

const carol = parseGlobalName("carol@office.collective.local");
const large = Buffer.from(systemRandom.bytes(2 * mebibyte + 7));
const [atBob, atCarol] = [`/@${bob}`, `/@${carol}`];

let started: CliMembers;
let [home, garage, office]: CliMember[] = [];

beforeEach(async () => {
  started = await startCliMembers([alice, bob, carol]);
  [home, garage, office] = started.members;
});
afterEach(() => started[Symbol.asyncDispose]());

function three(): [CliMember, CliMember, CliMember] {
  if (!home || !garage || !office) throw new Error("the members have not started");
  return [home, garage, office];
}

async function share(owner: CliMember, store: string, rights: string): Promise<void> {
  await owner.ok(["mkdir", "-p", store]);
  await owner.ok(["access", "grant", store, alice, "--rights", rights]);
}

async function withTree(member: CliMember, path: string): Promise<void> {
  await member.ok(["mkdir", "-p", `${path}/deep/empty`]);
  await member.put(`${path}/one`, "one", { mode: 0o600 });
  await member.put(`${path}/deep/large`, large, { mode: 0o755 });
  await member.put(`${path}/deep/none`, "");
  const { inode } = await statPath(member.remote, path.slice(1).split("/"));
  await member.remote.control.call(routes.makeSymlinks, { links: [{ parent: inode, name: "link", target: "deep/none", mtimeNs: 5n }] });
}

/** Names, kinds, modes, times and sizes of all that is below. */
async function treeOf(member: CliMember, path: string): Promise<unknown> {
  const entries = (await member.json(["ls", "-R", path])) as Record<string, unknown>[];
  return entries.map(({ name, type, mode, mtime, size, target }) => ({ name, type, mode, mtime, size, target }));
}

async function contentOf(member: CliMember, path: string): Promise<Buffer> {
  const { inode, sizeBytes } = await statPath(member.remote, path.slice(1).split("/"));
  const pieces: Buffer[] = [];
  for await (const piece of readRange(member.remote, { inode, offset: 0, lengthBytes: sizeBytes })) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

describe("cp", () => {
  test("from another member, to it, and from one to a third: content, modes and times are the same", async () => {
    const [here, there, third] = three();
    await share(there, "/films", "read");
    await share(third, "/inbox", "read+write");
    await here.ok(["mkdir", "/own"]);
    await withTree(there, "/films/tree");
    await here.ok(["cp", "-r", `${atBob}/films/tree`, "/own"]);
    await here.ok(["cp", "-r", "/own/tree", `${atCarol}/inbox`]);
    await here.ok(["cp", "-r", `${atBob}/films/tree`, `${atCarol}/inbox/direct`]);
    const original = await treeOf(there, "/films/tree");
    for (const [member, path] of [
      [here, "/own/tree"],
      [third, "/inbox/tree"],
      [third, "/inbox/direct"],
    ] as const) {
      expect(await treeOf(member, path)).toEqual(original);
      expect((await contentOf(member, `${path}/deep/large`)).equals(large)).toBe(true);
      expect((await contentOf(member, `${path}/one`)).toString()).toBe("one");
    }
    expect(await statPath(third.remote, ["inbox", "tree", "one"])).toMatchObject({ owner: alice });
  });

  test("never takes numbers of one member for those of another", async () => {
    const [here, there] = three();
    // The same path, and so the same inode numbers, on both sides.
    await share(there, "/same", "read+write");
    await here.ok(["mkdir", "/same"]);
    await there.put("/same/file", "of bob");
    await here.put("/same/file", "of alice");
    await here.ok(["cp", `${atBob}/same/file`, "/same/file"]);
    expect((await contentOf(here, "/same/file")).toString()).toBe("of bob");
    await here.ok(["cp", "-r", "/same", `${atBob}/same`]);
    expect((await contentOf(there, "/same/same/file")).toString()).toBe("of bob");
  });

  test("is refused where either owner does not allow it, and changes nothing", async () => {
    const [here, there] = three();
    await share(there, "/drop", "write");
    await share(there, "/films", "read");
    await there.put("/films/film", "film");
    await there.ok(["mkdir", "/closed"]);
    await there.put("/closed/secret", "secret");
    await here.ok(["mkdir", "/own"]);
    await here.put("/own/file", "file");
    const refused: readonly (readonly [readonly string[], Parameters<typeof expectFailure>[1]])[] = [
      [[`${atBob}/closed/secret`, "/own"], { code: "not_found", says: /closed/ }],
      [["/own/file", `${atBob}/films/new`], { code: "permission_denied", says: /has not been granted write on anything in \/films/ }],
      [["/own/file", `${atBob}/films/film`], { code: "permission_denied", says: /has not been granted write on anything in \/films/ }],
      [["/own/file", `${atBob}/new`], { code: "invalid_argument", says: /only datastores can stand in the root/ }],
      [["-r", "/own", `${atBob}/`], { code: "permission_denied", says: /only bob@garage.collective.local may/ }],
      [[`${atBob}/films`, "/own"], { code: "is_a_directory", says: /\/@bob@garage.collective.local\/films is a directory/ }],
      [[`/@dave@attic.collective.local/x`, "/own"], { code: "not_found", says: /is no peer/ }],
    ];
    const before = [await treeOf(here, "/own"), await there.ok(["ls", "-R", "/"])];
    for (const [args, expected] of refused) expectFailure(await here.run(["cp", ...args]), expected);
    expect([await treeOf(here, "/own"), await there.ok(["ls", "-R", "/"])]).toEqual(before);
    await here.ok(["cp", "/own/file", `${atBob}/drop/file`]);
    expect((await contentOf(there, "/drop/file")).toString()).toBe("file");
  });
});

describe("mv", () => {
  test("takes a tree away only when all of it is at the other member", async () => {
    const [here, there] = three();
    await share(there, "/films", "read+write+delete");
    await here.ok(["mkdir", "/own"]);
    await withTree(there, "/films/tree");
    const original = await treeOf(there, "/films/tree");
    await here.ok(["mv", `${atBob}/films/tree`, "/own"]);
    expect(await there.ok(["ls", "/films"])).toBe("");
    expect(await treeOf(here, "/own/tree")).toEqual(original);
    expect((await contentOf(here, "/own/tree/deep/large")).equals(large)).toBe(true);
    await here.ok(["mv", "/own/tree", `${atBob}/films/back`]);
    expect(await here.ok(["ls", "/own"])).toBe("");
    expect(await treeOf(there, "/films/back")).toEqual(original);
  });

  test("without the right to delete at the source leaves it, and says where the copy is", async () => {
    const [here, there] = three();
    await share(there, "/films", "read");
    await there.put("/films/film", "film");
    await here.ok(["mkdir", "/own"]);
    expectFailure(await here.run(["mv", `${atBob}/films/film`, "/own"]), {
      code: "permission_denied",
      says: /all of it is at \/own\/film now, but \/@bob@garage.collective.local\/films\/film stays: .*has not been granted delete/,
    });
    expect((await contentOf(there, "/films/film")).toString()).toBe("film");
    expect((await contentOf(here, "/own/film")).toString()).toBe("film");
  });

  test("replaces a file and an empty directory, and refuses what mv(1) refuses", async () => {
    const [here, there] = three();
    await share(there, "/films", "read+write+delete");
    await here.ok(["mkdir", "-p", "/own/full/tree", "/own/dir/tree"]);
    await here.put("/own/full/tree/kept", "kept");
    await here.put("/own/file", "old");
    await there.ok(["mkdir", "-p", "/films/tree"]);
    await there.put("/films/tree/new", "new");
    await there.put("/films/file", "new");
    expectFailure(await here.run(["mv", `${atBob}/films/tree`, "/own/full"]), {
      code: "not_empty",
      says: /\/own\/full\/tree is not empty/,
    });
    expectFailure(await here.run(["mv", `${atBob}/films/tree`, "/own/file"]), { code: "not_a_directory", says: /\/own\/file exists/ });
    expectFailure(await here.run(["mv", `${atBob}/`, "/own"]), { code: "invalid_argument", says: /the root cannot be moved/ });
    expect(await there.ok(["ls", "-R", "/films"])).toBe("file\ntree/\ntree/new\n");
    await here.ok(["mv", `${atBob}/films/tree`, "/own/dir"]);
    await here.ok(["mv", `${atBob}/films/file`, "/own"]);
    expect(await here.ok(["ls", "-R", "/own"])).toBe("dir/\ndir/tree/\ndir/tree/new\nfile\nfull/\nfull/tree/\nfull/tree/kept\n");
    expect((await contentOf(here, "/own/file")).toString()).toBe("new");
  });

  test("takes nothing away that changed, came or went deep inside meanwhile", async () => {
    const changes: readonly ((cli: CliMember) => Promise<unknown>)[] = [
      (cli) => cli.put("/a/tree/deep/none", "changed"),
      (cli) => cli.put("/a/tree/deep/fresh", "fresh"),
      (cli) => cli.ok(["mv", "/a/tree/one", "/a/tree/deep/two"]),
    ];
    let change: (() => Promise<unknown>) | undefined;
    await using cli = await startCliMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        // The last thing that a copy of a tree does.
        setAttr: async (input, context) => {
          const once = change;
          change = undefined;
          await once?.();
          return await handlers.setAttr(input, context);
        },
      }),
    });
    await withTree(cli, "/a/tree");
    await cli.ok(["mkdir", "/b"]);
    for (const each of changes) {
      change = () => each(cli);
      expectFailure(await cli.run(["mv", "/a/tree", "/b"]), { code: "conflict", says: /\/a\/tree was changed while it was being moved/ });
      expect(await cli.ok(["ls", "/b"])).toBe("");
    }
    expect((await contentOf(cli, "/a/tree/deep/none")).toString()).toBe("changed");
    await cli.ok(["mv", "/a/tree", "/b"]);
    expect(await cli.ok(["ls", "-R", "/b/tree"])).toBe(
      "deep/\ndeep/empty/\ndeep/fresh\ndeep/large\ndeep/none\ndeep/two\nlink -> deep/none\n",
    );
  });
});
