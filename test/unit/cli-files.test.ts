import { describe, expect, test } from "bun:test";
import type { ChunkId } from "../../protocol/ids.ts";
import { mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { chunkTable } from "../../src/cli/output/chunks.ts";
import { describeTerminal } from "../../src/cli/output/terminal.ts";
import { readRange } from "../../src/client/download.ts";
import { statPath } from "../../src/client/files.ts";
import { layoutOf } from "../../src/client/layout.ts";
import { systemRandom } from "../../src/core/random.ts";
import { type CliMember, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";
import { nameAt } from "../support/member.ts";
import { home } from "../support/pki.ts";

interface Listed {
  readonly name: string;
  readonly type: string;
  readonly mode: number;
  readonly mtime: string;
  readonly target?: string;
}

/** What a tree looks like, but for inodes and the times of the tree's own top. */
async function treeOf(cli: CliMember, path: string): Promise<unknown> {
  const entries = (await cli.json(["ls", "-R", path])) as Listed[];
  return entries.map(({ name, type, mode, mtime, target }) => ({ name, type, mode, mtime, target }));
}

async function contentOf(cli: CliMember, path: string): Promise<Buffer> {
  const { inode, sizeBytes } = await statPath(cli.remote, path.split("/").slice(1));
  const pieces: Buffer[] = [];
  for await (const piece of readRange(cli.remote, { inode, offset: 0, lengthBytes: sizeBytes })) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

const large = Buffer.from(systemRandom.bytes(2 * mebibyte + 7));

/** `/a/tree`: files of all kinds, a link, an empty directory; the store `/b` beside it. */
async function withTree(): Promise<CliMember> {
  const cli = await startCliMember();
  await cli.ok(["mkdir", "-p", "/a/tree/deep/er", "/a/tree/empty", "/b"]);
  await cli.put("/a/tree/one", "one", { mode: 0o600, mtimeNs: 1_600_000_000_000_000_001n });
  await cli.put("/a/tree/deep/er/two", "two", { mode: 0o755 });
  await cli.put("/a/tree/deep/none", "");
  await cli.put("/a/tree/large", large);
  const tree = await statPath(cli.remote, ["a", "tree"]);
  const link = { parent: tree.inode, name: "link", target: "deep/none", mtimeNs: 5n };
  await cli.remote.control.call(routes.makeSymlinks, { links: [link] });
  const empty = await statPath(cli.remote, ["a", "tree", "empty"]);
  await cli.remote.control.call(routes.setAttr, { inode: empty.inode, mode: 0o711, mtimeNs: 1_500_000_000_000_000_000n });
  return cli;
}

describe("rm", () => {
  test("removes files and links, and directories only with -r", async () => {
    await using cli = await withTree();
    expectFailure(await cli.run(["rm", "/a/tree"]), { code: "is_a_directory", says: /\/a\/tree is a directory/ });
    await cli.ok(["rm", "/a/tree/link", "/a/tree/one"]);
    expect(await cli.ok(["ls", "-R", "/a"])).toBe(
      "tree/\ntree/deep/\ntree/deep/er/\ntree/deep/er/two\ntree/deep/none\ntree/empty/\ntree/large\n",
    );
    await cli.ok(["rm", "-r", "/a/tree"]);
    expect(await cli.ok(["ls", "/a"])).toBe("");
    await cli.ok(["rm", "-r", "/a"]);
    expect(await cli.ok(["ls", "/"])).toBe("b/\n");
  });

  test("stops at the first path that does not exist, unless told not to mind", async () => {
    await using cli = await withTree();
    expectFailure(await cli.run(["rm", "/a/tree/one", "/a/nope", "/a/tree/large"]), {
      code: "not_found",
      says: /\/a\/nope does not exist/,
    });
    expect(await cli.ok(["ls", "/a/tree"])).toBe("deep/\nempty/\nlarge\nlink -> deep/none\n");
    await cli.ok(["rm", "-rf", "/a/nope", "/nope/deeper", "/a/tree/large"]);
    expect(await cli.ok(["ls", "/a/tree"])).toBe("deep/\nempty/\nlink -> deep/none\n");
    expectFailure(await cli.run(["rm", "-r", "/"]), { code: "invalid_argument", says: /the root cannot be removed/ });
  });

  test("--dry-run says what would go and removes nothing", async () => {
    await using cli = await withTree();
    expect(await cli.ok(["rm", "-r", "--dry-run", "/a/tree", "/a/tree/one"])).toBe(
      "would remove /a/tree: 4 files, 4 directories, 2.0 MiB\nwould remove /a/tree/one\n",
    );
    expect(await cli.json(["du", "/a"])).toMatchObject({ files: 4, directories: 5 });
  });
});

describe("cp", () => {
  test("inside a datastore: the same content, mode and time, and not one chunk more", async () => {
    await using cli = await withTree();
    const chunks = cli.nodes.map((node) => node.store.usage().chunkCount);
    await cli.ok(["cp", "/a/tree/one", "/a/other"]);
    expect((await contentOf(cli, "/a/other")).toString()).toBe("one");
    const [original, copy] = [await statPath(cli.remote, ["a", "tree", "one"]), await statPath(cli.remote, ["a", "other"])];
    expect(copy).toMatchObject({ mode: original.mode, mtimeNs: original.mtimeNs, sizeBytes: 3 });
    expect(copy.inode).not.toBe(original.inode);
    await cli.ok(["cp", "-r", "/a/tree", "/a/copy"]);
    expect(await treeOf(cli, "/a/copy")).toEqual(await treeOf(cli, "/a/tree"));
    expect(cli.nodes.map((node) => node.store.usage().chunkCount)).toEqual(chunks);
  });

  test("between datastores: the same content, mode and time, with keys of the other", async () => {
    await using cli = await withTree();
    await cli.ok(["cp", "-r", "/a/tree", "/b"]);
    expect(await treeOf(cli, "/b/tree")).toEqual(await treeOf(cli, "/a/tree"));
    expect((await contentOf(cli, "/b/tree/large")).equals(large)).toBe(true);
    expect((await contentOf(cli, "/b/tree/deep/er/two")).toString()).toBe("two");
    const idsOf = async (path: string) => ((await cli.json(["stat", path])) as { chunks: { id: string }[] }).chunks.map(({ id }) => id);
    expect((await idsOf("/b/tree/large")).some((id) => id === undefined)).toBe(false);
    expect(new Set([...(await idsOf("/a/tree/large")), ...(await idsOf("/b/tree/large"))]).size).toBe(6);
  });

  test("an existing directory takes the source inside, a file at the target is replaced, directories are merged", async () => {
    await using cli = await withTree();
    await cli.ok(["cp", "/a/tree/one", "/a/tree/deep"]);
    expect((await contentOf(cli, "/a/tree/deep/one")).toString()).toBe("one");
    await cli.put("/b/one", "something longer");
    await cli.ok(["cp", "/a/tree/one", "/b/one"]);
    expect((await contentOf(cli, "/b/one")).toString()).toBe("one");
    await cli.ok(["mkdir", "-p", "/b/tree/deep"]);
    await cli.put("/b/tree/deep/kept", "kept");
    await cli.ok(["cp", "-r", "/a/tree", "/b"]);
    expect(await cli.ok(["ls", "/b/tree/deep"])).toBe("er/\nkept\nnone\none\n");
  });

  test("many small files go between datastores in groups, in no other order of content", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/a", "/b", "/a/many"]);
    await cli.putMany("/a/many", Object.fromEntries(Array.from({ length: 150 }, (_, index) => [index, `content ${index}`])));
    await cli.ok(["cp", "-r", "/a/many", "/b"]);
    for (const index of [0, 1, 63, 127, 128, 149]) expect((await contentOf(cli, `/b/many/${index}`)).toString()).toBe(`content ${index}`);
    expect(await cli.json(["du", "/b"])).toMatchObject({ files: 150 });
  });

  const refused: readonly (readonly [string, readonly string[], Parameters<typeof expectFailure>[1]])[] = [
    ["a directory without -r", ["/a/tree", "/b"], { code: "is_a_directory", says: /\/a\/tree is a directory/ }],
    ["a directory into itself", ["-r", "/a/tree", "/a/tree/deep"], { code: "invalid_argument", says: /cannot be copied into itself/ }],
    ["a directory onto itself", ["-r", "/a/tree", "/a/tree"], { code: "invalid_argument", says: /cannot be copied into itself/ }],
    ["a file onto itself", ["/a/tree/one", "/a/tree"], { code: "invalid_argument", says: /are the same file/ }],
    ["what does not exist", ["/a/nope", "/b"], { code: "not_found", says: /\/a\/nope does not exist/ }],
    ["into what does not exist", ["/a/tree/one", "/b/nope/one"], { code: "not_found", says: /\/b\/nope does not exist/ }],
    ["a file to the root", ["/a/tree/one", "/one"], { code: "invalid_argument", says: /only datastores can stand in the root/ }],
    [
      "a directory onto a file",
      ["-r", "/a/tree/deep", "/a/tree/one"],
      { code: "not_a_directory", says: /\/a\/tree\/one exists and is not a directory/ },
    ],
    ["the root", ["-r", "/", "/b"], { code: "invalid_argument", says: /the root/ }],
  ];
  test("refuses, and changes nothing", async () => {
    await using cli = await withTree();
    const before = await cli.ok(["ls", "-R", "/"]);
    for (const [, args, expected] of refused) expectFailure(await cli.run(["cp", ...args]), expected);
    expect(await cli.ok(["ls", "-R", "/"])).toBe(before);
  });
});

describe("mv", () => {
  test("renames, moves into a directory, and replaces a file", async () => {
    await using cli = await withTree();
    const { inode } = await statPath(cli.remote, ["a", "tree", "one"]);
    await cli.ok(["mv", "/a/tree/one", "/a/renamed"]);
    await cli.ok(["mv", "/a/renamed", "/a/tree/deep"]);
    await cli.ok(["mv", "/a/tree/deep/renamed", "/a/tree/large"]);
    expect(await statPath(cli.remote, ["a", "tree", "large"])).toMatchObject({ inode, sizeBytes: 3 });
    expect(await cli.ok(["ls", "/a/tree/deep"])).toBe("er/\nnone\n");
    await cli.ok(["mv", "/a", "/renamed"]);
    expect(await cli.ok(["ls", "/"])).toBe("b/\nrenamed/\n");
  });

  test("between datastores by copying, with mode and time, and the source goes last", async () => {
    await using cli = await withTree();
    const before = await treeOf(cli, "/a/tree");
    await cli.ok(["mv", "/a/tree", "/b/moved"]);
    expect(await treeOf(cli, "/b/moved")).toEqual(before);
    expect((await contentOf(cli, "/b/moved/large")).equals(large)).toBe(true);
    expect(await cli.ok(["ls", "/a"])).toBe("");
    await cli.ok(["mv", "/b/moved/large", "/a"]);
    expect((await contentOf(cli, "/a/large")).equals(large)).toBe(true);
    expect((await cli.run(["stat", "/b/moved/large"])).exitCode).toBe(3);
  });

  test("between datastores leaves both as they were when not all can be copied", async () => {
    await using cli = await withTree();
    // Room for the small files, and for more than one step of the way.
    await cli.ok(["store", "set", "b", "--quota", "1000"]);
    await cli.put("/b/large", "stood here before");
    await cli.ok(["mkdir", "/b/tree"]);
    const before = [await treeOf(cli, "/a"), await treeOf(cli, "/b")];
    for (const [from, to] of [
      ["/a/tree", "/b"],
      ["/a/tree", "/b/new"],
      ["/a/tree/large", "/b"],
      ["/a/tree/large", "/b/new"],
    ] as const) {
      expectFailure(await cli.run(["mv", from, to]), { code: "quota_exceeded", says: /quota is 1000 bytes/ });
    }
    expect([await treeOf(cli, "/a"), await treeOf(cli, "/b")]).toEqual(before);
    expect((await contentOf(cli, "/a/tree/large")).equals(large)).toBe(true);
    expect((await contentOf(cli, "/b/large")).toString()).toBe("stood here before");
    await cli.ok(["store", "set", "b", "--quota", "1TB"]);
    await cli.ok(["mv", "/a/tree", "/b"]);
    expect((await contentOf(cli, "/b/tree/large")).equals(large)).toBe(true);
  });

  const refused: readonly (readonly [readonly string[], Parameters<typeof expectFailure>[1]])[] = [
    [["/a/tree", "/a/tree/deep"], { code: "invalid_argument", says: /cannot be moved into itself/ }],
    [["/a/tree/one", "/a/tree/one"], { code: "invalid_argument", says: /are the same file/ }],
    [["/a/nope", "/b"], { code: "not_found", says: /\/a\/nope does not exist/ }],
    [["/", "/b"], { code: "invalid_argument", says: /the root cannot be moved/ }],
    [["/a/tree/one", "/new"], { code: "invalid_argument", says: /only datastores can stand in the root/ }],
    [["/a/tree/deep", "/b"], { code: "not_empty", says: /\/b\/deep is not empty/ }],
    [["/a/tree/deep", "/a/tree/one"], { code: "not_a_directory", says: /one exists and is not a directory/ }],
  ];
  test("refuses, and changes nothing", async () => {
    await using cli = await withTree();
    await cli.ok(["mkdir", "-p", "/b/deep/full"]);
    const before = await cli.ok(["ls", "-R", "/"]);
    for (const [args, expected] of refused) expectFailure(await cli.run(["mv", ...args]), expected);
    expect(await cli.ok(["ls", "-R", "/"])).toBe(before);
  });
});

describe("stat and du", () => {
  test("stat --json has the fields of the contract, with the codec of every chunk", async () => {
    await using cli = await withTree();
    await cli.put("/a/text", "collective ".repeat(30_000));
    const text = (await cli.json(["stat", "/a/text"])) as { size: number; chunks: { size: number; stored_size: number; codec: string }[] };
    expect(Object.keys(text)).toEqual([
      "path",
      "type",
      "size",
      "mtime",
      "mode",
      "owner",
      "inode",
      "version",
      "store",
      "redundancy",
      "chunks",
    ]);
    expect(text).toMatchObject({
      path: "/a/text",
      type: "file",
      size: 330_000,
      store: "a",
      redundancy: "replicas 2",
      version: 1,
      mode: 0o644,
    });
    expect(text.chunks.every((chunk) => chunk.codec === "zstd" && chunk.stored_size < chunk.size)).toBe(true);
    expect(text.chunks.reduce((sum, chunk) => sum + chunk.size, 0)).toBe(text.size);
    const random = (await cli.json(["stat", "/a/tree/large"])) as { chunks: unknown[] };
    expect(random.chunks[0]).toMatchObject({
      codec: "none",
      copies: [
        { node: "node-01@home.collective.local", state: "stored" },
        { node: "node-02@home.collective.local", state: "stored" },
      ],
    });
    expect(await cli.json(["stat", "/a/tree/link"])).toMatchObject({ type: "symlink", target: "deep/none", chunks: [] });
    expect(await cli.json(["stat", "/"])).toMatchObject({ path: "/", type: "directory", store: null, redundancy: null });
  });

  test("stat for people counts copies that are alive", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/a"]);
    await cli.put("/a/file", systemRandom.bytes(100_000));
    const shown = await cli.ok(["stat", "/a/file"]);
    expect(shown).toContain("4 of 4 alive");
    expect(shown.match(/node-01, node-02/g)).toHaveLength(2);
    const [chunk] = await layoutOf(cli.remote, (await statPath(cli.remote, ["a", "file"])).inode);
    const [node] = cli.nodes;
    if (!chunk || !node) throw new Error("nothing was stored");
    await cli.member.metadata.markCopies(node.name, [{ chunk: chunk.id, state: "damaged" }]);
    const damaged = await cli.ok(["stat", "/a/file"]);
    expect(damaged).toContain("3 of 4 alive");
    expect(damaged).toContain("node-01 (damaged), node-02");
  });

  test("stat for people shows 20 chunks and says how many more there are", () => {
    const terminal = describeTerminal({ stream: { write: () => undefined }, environment: {} });
    const id = "0".repeat(64) as ChunkId;
    const chunks = Array.from({ length: 1_234 }, (_, index) => ({
      offset: index,
      id,
      plainBytes: 1,
      storedBytes: 65,
      codec: "none" as const,
      copies: [{ node: nameAt("node-01"), state: "stored" as const }],
    }));
    const lines = chunkTable({ chunks, nodes: [{ name: nameAt("node-01"), state: "dead" }], home }, terminal).split("\n");
    expect(lines).toHaveLength(1 + 20 + 1);
    expect(lines[1]).toEndWith("node-01 (dead)");
    expect(lines.at(-1)).toBe("… and 1,214 more (--json shows all)");
  });

  test("du counts what is shared once in what is stored", async () => {
    await using cli = await withTree();
    const before = (await cli.json(["du", "/a"])) as { size: number; stored_size: number };
    await cli.ok(["cp", "/a/tree/large", "/a/again"]);
    expect(await cli.json(["du", "/a"])).toMatchObject({ files: 5, size: before.size + large.length, stored_size: before.stored_size });
    expectFailure(await cli.run(["du", "/nope"]), { code: "not_found", says: /\/nope does not exist/ });
  });
});
