/** The main paths, by the executable: what goes in comes out, whatever it is and whatever it is called. */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { exitCodeOf } from "../../protocol/errors.ts";
import { expectFailure, fail, listing, statusOf, succeed, succeedJson, until, verifyCounts } from "../support/e2e-commands.ts";
import { bytesOf, chunkPath, describeTree, diskBytes, makeTree, sha256 } from "../support/e2e-files.ts";
import { type Collective, type Handle, startCollective } from "../support/process.ts";

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

describe("write and read", () => {
  test("any size comes back byte for byte, also one of 0 bytes", async () => {
    await using collective = await startCollective();
    await succeed(collective, ["mkdir", "/s"]);
    const sizes = [
      0,
      1,
      64 * kibibyte - 1,
      64 * kibibyte,
      64 * kibibyte + 1,
      mebibyte + 1,
      16 * mebibyte,
      16 * mebibyte + 1,
      21 * mebibyte + 3,
    ];
    for (const size of sizes) {
      const content = bytesOf(`size ${size}`, size);
      await succeed(collective, ["write", `/s/${size}`], { stdin: new Blob([content]) });
      const { stdoutBytes } = await succeed(collective, ["read", `/s/${size}`]);
      expect(stdoutBytes.length).toBe(size);
      expect(sha256(stdoutBytes)).toBe(sha256(content));
    }
    expect(await verifyCounts(collective, "/")).toMatchObject({ files: sizes.length, bad: 0, missing: 0 });
  });

  test("a range is exactly those bytes, within, across and beyond chunks and the end", async () => {
    await using collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/s"]);
    const size = 5 * mebibyte + 17;
    const content = bytesOf("range", size);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });
    const ranges: readonly (readonly [offset: number, length: number | undefined])[] = [
      [0, 1],
      [0, 0],
      [mebibyte - 1, 2],
      [mebibyte, mebibyte],
      [17, 3 * mebibyte],
      [size - 1, 1],
      [size - 1, 100],
      [size - 5, undefined],
      [size, 1],
      [size + mebibyte, undefined],
    ];
    for (const [offset, length] of ranges) {
      const flags = ["--offset", String(offset), ...(length === undefined ? [] : ["--length", String(length)])];
      const { stdoutBytes } = await succeed(collective, ["read", "/s/file", ...flags]);
      expect(Buffer.compare(stdoutBytes, content.subarray(offset, length === undefined ? size : offset + length))).toBe(0);
    }
  });

  test("writing again replaces the whole content, counts the version up and keeps the mode", async () => {
    await using collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([bytesOf("first", 3 * mebibyte)]) });
    await succeed(collective, ["write", "/s/file"], { stdin: "short" });
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("short");
    expect(await statusOf(collective, "/s/file")).toMatchObject({ version: 2, size: 5 });
    await succeed(collective, ["write", "/s/file"], { stdin: "" });
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("");
    expect(await statusOf(collective, "/s/file")).toMatchObject({ version: 3, size: 0 });
  });
});

describe("put and get", () => {
  test("a tree comes back the same: links, modes, times, empty things and every kind of name", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    makeTree(join(path, "tree"));
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["put", "-r", join(path, "tree"), "/s/stored"]);
    await succeed(collective, ["get", "-r", "/s/stored", join(path, "fetched")]);
    expect(describeTree(join(path, "fetched"))).toEqual(describeTree(join(path, "tree")));
    expect(await verifyCounts(collective, "/s")).toMatchObject({ bad: 0, missing: 0 });
  });

  test("the second run leaves alone what is identical, and brings what has changed", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    const [tree, fetched] = [join(path, "tree"), join(path, "fetched")];
    makeTree(tree);
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["mkdir", "/s/stored"]);
    const put = ["put", "-r", `${tree}/.`, "/s/stored"];
    const get = ["get", "-r", "/s/stored/.", fetched];
    await succeed(collective, put);
    await succeed(collective, get);
    const inodeOf = (name: string): number => statSync(join(fetched, name)).ino;
    const [sameInode, changedInode] = [inodeOf("deep/large"), inodeOf("run.sh")];
    const before = await listing(collective);

    await succeed(collective, put);
    expect(await statusOf(collective, "/s/stored/deep/large")).toMatchObject({ version: 1 });
    expect(await statusOf(collective, "/s/stored/many/file-7")).toMatchObject({ version: 1 });
    expect(await listing(collective)).toBe(before);

    writeFileSync(join(tree, "run.sh"), "#!/bin/sh\necho changed\n");
    chmodSync(join(tree, "with space/a b.txt"), 0o700);
    await succeed(collective, put);
    expect(await statusOf(collective, "/s/stored/run.sh")).toMatchObject({ version: 2 });
    expect(await statusOf(collective, "/s/stored/deep/large")).toMatchObject({ version: 1 });
    await succeed(collective, get);
    expect(describeTree(fetched)).toEqual(describeTree(tree));
    expect(inodeOf("deep/large")).toBe(sameInode);
    expect(inodeOf("run.sh")).not.toBe(changedInode);
  });

  test("targets are those of cp(1): inside an existing directory, else the new name", async () => {
    await using collective = await startCollective({ nodes: 2 });
    const { path } = collective.home;
    const local = (name: string): string => join(path, name);
    writeFileSync(local("a"), "a");
    writeFileSync(local("b"), "another");
    mkdirSync(local("tree/below"), { recursive: true });
    writeFileSync(local("tree/below/c"), "c");
    await succeed(collective, ["mkdir", "-p", "/s/dir"]);

    await succeed(collective, ["put", local("a"), "/s/dir"]);
    await succeed(collective, ["put", local("a"), "/s/new-name"]);
    await succeed(collective, ["put", local("a"), local("b"), "/s/dir"]);
    await succeed(collective, ["put", "-r", local("tree"), "/s/dir"]);
    await succeed(collective, ["put", "-r", `${local("tree")}/`, "/s/renamed"]);
    await succeed(collective, ["put", "-r", `${local("tree")}/.`, "/s/renamed"]);
    await succeed(collective, ["put", "-r", ".", "/s/dir"], { cwd: local("tree") });
    const names = (JSON.parse(await listing(collective)) as { name: string }[]).map((entry) => entry.name);
    expect(names).toEqual([
      "s",
      "s/dir",
      "s/dir/a",
      "s/dir/b",
      "s/dir/below",
      "s/dir/below/c",
      "s/dir/tree",
      "s/dir/tree/below",
      "s/dir/tree/below/c",
      "s/new-name",
      "s/renamed",
      "s/renamed/below",
      "s/renamed/below/c",
    ]);

    mkdirSync(local("into"));
    await succeed(collective, ["get", "/s/dir/a", local("into")]);
    await succeed(collective, ["get", "/s/dir/a", local("other-name")]);
    await succeed(collective, ["get", "/s/dir/b", "/s/new-name", local("into")]);
    await succeed(collective, ["get", "-r", "/s/dir/tree", local("into")]);
    await succeed(collective, ["get", "-r", "/s/dir/tree", local("new-tree")]);
    await succeed(collective, ["get", "-r", "/s/dir/tree/.", local("new-tree")]);
    expect(readFileSync(local("other-name"), "utf8")).toBe("a");
    symlinkSync("other-name", local("link"));
    await succeed(collective, ["get", "/s/dir/b", local("link")]);
    expect(lstatSync(local("link")).isSymbolicLink()).toBe(true);
    expect(readFileSync(local("other-name"), "utf8")).toBe("another");
    const pathsOf = (tree: string): string[] => describeTree(tree).map((line) => line.split(" ", 1)[0] ?? "");
    expect(pathsOf(local("into"))).toEqual(['"a"', '"b"', '"new-name"', '"tree"', '"tree/below"', '"tree/below/c"']);
    expect(pathsOf(local("new-tree"))).toEqual(['"below"', '"below/c"']);

    const before = await listing(collective);
    await fail(collective, ["put", local("a"), local("b"), "/s/nothing-here"], { code: "not_a_directory", says: /nothing-here/ });
    await fail(collective, ["put", local("tree"), "/s/dir"], { code: "is_a_directory", says: /tree is a directory/ });
    await fail(collective, ["put", "-r", local("tree"), "/s/new-name"], { code: "not_a_directory", says: /new-name/ });
    await fail(collective, ["get", "/s/dir", local("into")], { code: "is_a_directory", says: /dir/ });
    await fail(collective, ["get", "/s/dir/a", "/s/dir/b", local("nothing")], { code: "not_a_directory", says: /nothing/ });
    expect(await listing(collective)).toBe(before);
  });
});

describe("what is stored", () => {
  test("the same file under ten names takes no more room than once", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    const local = join(path, "file");
    const content = bytesOf("dedup", 100_000_000);
    writeFileSync(local, content);
    const stored = (): number => collective.nodes.reduce((sum, node) => sum + diskBytes(node.dataDirectory), 0);
    await succeed(collective, ["mkdir", "/s"]);
    const empty = stored();
    await succeed(collective, ["put", local, "/s/copy-0"]);
    const once = stored() - empty;
    expect(once).toBeGreaterThan(2 * content.length);
    for (let index = 1; index < 9; index++) await succeed(collective, ["put", local, `/s/copy-${index}`]);
    await succeed(collective, ["write", "/s/copy-9"], { stdin: Bun.file(local) });
    expect(stored() - empty - once).toBeLessThan(0.01 * once);
    expect(sha256((await succeed(collective, ["read", "/s/copy-9"])).stdoutBytes)).toBe(sha256(content));
  });

  test("text shrinks, and random bytes do not grow", async () => {
    await using collective = await startCollective();
    await succeed(collective, ["mkdir", "/s"]);
    const stored = (): number => collective.nodes.reduce((sum, node) => sum + diskBytes(node.dataDirectory), 0);
    const grownBy = async (content: Uint8Array<ArrayBuffer>, name: string): Promise<number> => {
      const before = stored();
      await succeed(collective, ["write", name], { stdin: new Blob([content]) });
      return stored() - before;
    };
    const copies = 2;
    const text = Buffer.from(Array.from({ length: 400_000 }, (_, line) => `line ${line}: the quick brown fox and ${line % 97}\n`).join(""));
    expect(await grownBy(text, "/s/text")).toBeLessThan(0.35 * copies * text.length);
    const random = bytesOf("random", 20 * mebibyte);
    expect(await grownBy(random, "/s/random")).toBeLessThan(1.02 * copies * random.length);
  });
});

describe("a transfer that is cut off", () => {
  const size = 96 * mebibyte;

  /** Starts to fetch `/s/file` and answers the client as soon as some of it is there but not all. */
  async function fetchSome(collective: Collective, folder: string, bytesMin: number): Promise<Handle> {
    for (let attempt = 0; attempt < 5; attempt++) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      const client = collective.start(["get", "/s/file", join(folder, "file")]);
      await until(
        () => readdirSync(folder).map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
        ([bytes = 0]) => bytes >= bytesMin,
        { pollMs: 2 },
      );
      process.kill(client.pid, "SIGSTOP");
      if (!existsSync(join(folder, "file"))) return client;
      await client.kill();
    }
    throw new Error("the transfer always ended too soon");
  }

  test("get goes on where kill -9 stopped it, and fetches nothing again", async () => {
    await using collective = await startCollective();
    const folder = join(collective.home.path, "into");
    const content = bytesOf("resumed", size);
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });

    const cutOff = await fetchSome(collective, folder, 32 * mebibyte);
    await cutOff.kill();
    expect(existsSync(join(folder, "file"))).toBe(false);

    // What the first run has fetched is nowhere else any more, so the second one cannot fetch it again.
    const { chunks } = await statusOf(collective, "/s/file");
    for (const { id } of chunks.slice(0, 8))
      for (const node of collective.nodes) rmSync(chunkPath(node.dataDirectory, id), { force: true });
    await succeed(collective, ["get", "/s/file", join(folder, "file")]);
    expect(sha256(readFileSync(join(folder, "file")))).toBe(sha256(content));
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  test("what is left of a transfer from another collective is not taken up", async () => {
    await using here = await startCollective({ nodes: 1 });
    await using there = await startCollective({ nodes: 1, member: "bob@garage.collective.local" });
    const folder = join(here.home.path, "into");
    const contents = { here: bytesOf("here", size), there: bytesOf("there", size) };
    for (const collective of [here, there]) await succeed(collective, ["mkdir", "/s"]);
    await succeed(here, ["write", "/s/file"], { stdin: new Blob([contents.here]) });
    await succeed(there, ["write", "/s/file"], { stdin: new Blob([contents.there]) });

    const cutOff = await fetchSome(here, folder, 32 * mebibyte);
    await cutOff.kill();
    await succeed(there, ["get", "/s/file", join(folder, "file")]);
    expect(sha256(readFileSync(join(folder, "file")))).toBe(sha256(contents.there));
  });

  test("put -r stores what was missing and leaves alone what was stored", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    const files = 1_500;
    mkdirSync(join(path, "tree"));
    for (let index = 0; index < files; index++) writeFileSync(join(path, "tree", String(index)), `content ${index}`);
    await succeed(collective, ["mkdir", "-p", "/s/tree"]);
    const stored = async (): Promise<string[]> =>
      (JSON.parse((await succeed(collective, ["ls", "--json", "/s/tree"])).stdout) as { name: string; inode: number }[]).map(
        ({ name, inode }) => `${name} ${inode}`,
      );

    const cutOff = collective.start(["put", "-r", `${path}/tree/.`, "/s/tree"]);
    await until(stored, (names) => names.length > 20);
    await cutOff.kill();
    const before = await stored();
    expect(before.length).toBeLessThan(files);

    await succeed(collective, ["put", "-r", `${path}/tree/.`, "/s/tree"]);
    const after = await stored();
    expect(after.length).toBe(files);
    expect(before.every((line) => after.includes(line))).toBe(true);
    const [first = ""] = before;
    expect(await statusOf(collective, `/s/tree/${first.split(" ")[0]}`)).toMatchObject({ version: 1 });
    await succeed(collective, ["get", "-r", "/s/tree", join(path, "fetched")]);
    expect(describeTree(join(path, "fetched"))).toEqual(describeTree(join(path, "tree")));
  });

  test("a file that is replaced and collected while it is fetched is a conflict, and nothing stands under its name", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const folder = join(collective.home.path, "into");
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([bytesOf("old", size)]) });
    const [node] = collective.nodes;
    if (!node) throw new Error("no node");

    const reader = await fetchSome(collective, folder, 8 * mebibyte);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([bytesOf("new", size)]) });
    await until(
      () => diskBytes(node.dataDirectory),
      (bytes) => bytes < 1.2 * size,
    );
    process.kill(reader.pid, "SIGCONT");
    expectFailure({ exitCode: await reader.exited, stderr: lastError(reader.stderr()), stdout: "" }, { code: "conflict", says: /changed/ });
    expect(existsSync(join(folder, "file"))).toBe(false);
    await succeed(collective, ["get", "/s/file", join(folder, "file")]);
    expect(sha256(readFileSync(join(folder, "file")))).toBe(sha256(bytesOf("new", size)));
  });
});

describe("when parts of the collective are away", () => {
  test("one of three nodes killed: every read succeeds; back again, it registers by itself and serves", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    makeTree(join(path, "tree"));
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["put", "-r", join(path, "tree"), "/s"]);
    const expected = describeTree(join(path, "tree"));

    for (const [index, node] of collective.nodes.entries()) {
      await node.process.kill();
      await succeed(collective, ["get", "-r", "/s/tree", join(path, `without-${index}`)]);
      expect(describeTree(join(path, `without-${index}`))).toEqual(expected);
      const killedMs = Date.now();
      await collective.restart(node.name);
      await until(
        () => nodesOf(collective),
        (nodes) =>
          nodes.every(
            ({ id, state, last_seen }) => !id.startsWith(`${node.name}@`) || (state === "alive" && Date.parse(last_seen) > killedMs),
          ),
      );
    }
  });

  test("a coordinator that restarts knows its nodes, and they find it again", async () => {
    await using collective = await startCollective();
    const content = bytesOf("before", 6 * mebibyte);
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/before"], { stdin: new Blob([content]) });
    for (const end of ["kill", "stop"] as const) {
      await collective.coordinator.process[end]();
      const stoppedMs = Date.now();
      await collective.restart("coordinator");
      expect(sha256((await succeed(collective, ["read", "/s/before"])).stdoutBytes)).toBe(sha256(content));
      const { stderr } = await succeed(collective, ["write", `/s/after-${end}`], { stdin: new Blob([bytesOf(end, 6 * mebibyte)]) });
      expect(stderr).toBe("");
      await until(
        () => nodesOf(collective),
        (nodes) => nodes.length === 3 && nodes.every(({ state, last_seen }) => state === "alive" && Date.parse(last_seen) > stoppedMs),
      );
    }
    expect(await verifyCounts(collective, "/s")).toMatchObject({ files: 3, bad: 0, missing: 0 });
  });

  test("with one node of three a write says that it is degraded, and exits 0", async () => {
    await using collective = await startCollective();
    await succeed(collective, ["mkdir", "/s"]);
    for (const node of collective.nodes.slice(1)) await node.process.kill();
    const content = bytesOf("degraded", 5 * mebibyte);
    const { stderr } = await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });
    expect(stderr).toContain("degraded");
    expect(sha256((await succeed(collective, ["read", "/s/file"])).stdoutBytes)).toBe(sha256(content));
    expect(
      (await statusOf(collective, "/s/file")).chunks.every((chunk) => chunk.copies.filter((copy) => copy.state === "stored").length === 1),
    ).toBe(true);
  });
});

describe("many at once", () => {
  test("writers to one file: all succeed, one content stands whole, and every write counts as a version", async () => {
    await using collective = await startCollective();
    await succeed(collective, ["mkdir", "/s"]);
    const contents = [1, 3, 5, 2, 4, 6].map((size, index) => bytesOf(`writer ${index}`, size * mebibyte + index));
    const hashes = new Set(contents.map(sha256));
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([contents[0] ?? ""]) });

    let writing = true;
    const reader = (async () => {
      let reads = 0;
      while (writing || reads === 0) {
        const { exitCode, stdoutBytes, stderr } = await collective.run(["read", "/s/file"]);
        // What was read has been replaced and collected half-way: said, not mixed.
        if (exitCode === exitCodeOf.conflict) expect(stderr).toContain("changed while it was being read");
        else expect(hashes).toContain(sha256(stdoutBytes));
        reads++;
      }
    })();
    const writes = Array.from({ length: 3 }, async () => {
      for (const content of contents) await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });
    });
    await Promise.all(writes).finally(() => {
      writing = false;
    });
    await reader;
    const { stdoutBytes } = await succeed(collective, ["read", "/s/file"]);
    expect(hashes).toContain(sha256(stdoutBytes));
    expect(await statusOf(collective, "/s/file")).toMatchObject({ version: 1 + 3 * contents.length, size: stdoutBytes.length });
  });
});

interface NodeStatus {
  readonly id: string;
  readonly state: string;
  readonly last_seen: string;
}

async function nodesOf(collective: Collective): Promise<readonly NodeStatus[]> {
  return ((await succeedJson(collective, ["status"])) as { local_nodes: readonly NodeStatus[] }).local_nodes;
}

/** What stands after the warnings of the log. */
function lastError(stderr: string): string {
  return stderr.slice(stderr.search(/^collective: /m));
}
