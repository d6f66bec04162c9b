/**
 * Whatever is wrong with what a person gives or has: one clear line, the right exit code, and nothing
 * is changed.
 */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ErrorCode } from "../../protocol/errors.ts";
import {
  coordinatorArgs,
  expectFailure,
  fail,
  listing,
  nodeArgs,
  startNode,
  statusOf,
  succeed,
  until,
  verifyCounts,
} from "../support/e2e-commands.ts";
import { bytesOf, chunkPath, describeTree, filesBelow, mountSmallDisk, sha256, smallDiskReason } from "../support/e2e-files.ts";
import { type Collective, executable, type RunResult, run, startCollective, temporaryHome } from "../support/process.ts";

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

type Case = readonly [args: readonly string[], code: ErrorCode, says: RegExp];

describe("paths and arguments", () => {
  test("each mistake has its line and its exit code, and leaves everything as it was", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { path } = collective.home;
    const local = join(path, "local");
    writeFileSync(local, "local");
    mkdirSync(join(path, "tree"));
    Bun.spawnSync(["mkfifo", join(path, "fifo")]);
    writeFileSync(join(path, "huge"), "");
    truncateSync(join(path, "huge"), 300e9);
    symlinkSync("fifo", join(path, "link-to-fifo"));
    await succeed(collective, ["mkdir", "-p", "/s/dir/local"]);
    await succeed(collective, ["mkdir", "/t"]);
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    const before = await listing(collective);
    const cases: readonly Case[] = [
      // A parent that is missing.
      [["write", "/s/missing/file"], "not_found", /\/s\/missing does not exist/],
      [["write", "/missing/file"], "not_found", /\/missing does not exist/],
      [["mkdir", "/s/missing/dir"], "not_found", /\/s\/missing does not exist/],
      [["put", local, "/s/missing/file"], "not_found", /\/s\/missing does not exist/],
      [["cp", "/s/file", "/s/missing/file"], "not_found", /\/s\/missing does not exist/],
      [["mv", "/s/file", "/s/missing/file"], "not_found", /\/s\/missing does not exist/],
      [["get", "/s/file", join(path, "missing/file")], "not_found", /missing/],
      // The thing itself is missing.
      [["read", "/s/none"], "not_found", /\/s\/none does not exist/],
      [["get", "/s/none", path], "not_found", /\/s\/none does not exist/],
      [["stat", "/s/none"], "not_found", /\/s\/none does not exist/],
      [["rm", "/s/none"], "not_found", /\/s\/none does not exist/],
      [["mv", "/s/none", "/s/new"], "not_found", /\/s\/none does not exist/],
      [["verify", "/s/none"], "not_found", /\/s\/none does not exist/],
      [["put", join(path, "none"), "/s"], "not_found", /no such file.*none/],
      [["ls", "--context", "nobody", "/"], "not_found", /no context is named "nobody"/],
      // Names and paths that nothing can have.
      [["write", `/s/${"n".repeat(256)}`], "name_too_long", /256 bytes, at most 255/],
      [["mkdir", `/s/${"ü".repeat(128)}`], "name_too_long", /256 bytes, at most 255/],
      [["mkdir", "-p", `/s/${"a/".repeat(2_100)}`], "name_too_long", /longer than 4096 bytes/],
      [["mkdir", "-p", `/s/${"a/".repeat(300)}`], "name_too_long", /deeper than 256/],
      [["read", "/.."], "invalid_argument", /leads above the root/],
      [["write", "/s/../../file"], "invalid_argument", /leads above the root/],
      [["write", "s/file"], "invalid_argument", /not an absolute path/],
      [["ls", ""], "invalid_argument", /not an absolute path/],
      // A file where a directory should be, and the other way round.
      [["write", "/s/file/below"], "not_a_directory", /\/s\/file is a file, not a directory/],
      [["read", "/s/file/below"], "not_a_directory", /\/s\/file is a file, not a directory/],
      [["mkdir", "-p", "/s/file/below"], "not_a_directory", /\/s\/file is a file, not a directory/],
      [["put", local, "/s/file/below"], "not_a_directory", /\/s\/file is a file, not a directory/],
      [["put", "-r", join(path, "tree"), "/s/file"], "not_a_directory", /not a directory/],
      [["write", "/s/dir"], "is_a_directory", /\/s\/dir is a directory/],
      [["write", "/s"], "is_a_directory", /\/s is a directory/],
      [["put", local, "/s/dir"], "is_a_directory", /local is a directory/],
      [["read", "/s/dir"], "is_a_directory", /\/s\/dir is a directory/],
      [["rm", "/s/dir"], "is_a_directory", /\/s\/dir is a directory/],
      [["cp", "/s/dir", "/s/copy"], "is_a_directory", /\/s\/dir is a directory/],
      [["put", join(path, "huge"), "/s"], "too_large", /huge has 300000000000 bytes, a file has at most 274877906944/],
      // Neither files nor directories.
      [["put", join(path, "fifo"), "/s"], "invalid_argument", /fifo is neither a file, a directory nor a symbolic link/],
      [["get", "/s/file", join(path, "fifo")], "invalid_argument", /fifo is neither a file nor a directory/],
      [["get", "/s/file", join(path, "link-to-fifo")], "invalid_argument", /fifo is neither a file nor a directory/],
      // The root, and what cannot be moved where.
      [["write", "/"], "invalid_argument", /root/],
      [["write", "/file"], "invalid_argument", /only datastores can stand in the root/],
      [["put", local, "/"], "invalid_argument", /only datastores can stand in the root/],
      [["rm", "-r", "/"], "invalid_argument", /root/],
      [["mkdir", "/s"], "already_exists", /\/s exists already/],
      [["mkdir", "/s/file"], "already_exists", /\/s\/file exists already/],
      [["mv", "/s/dir", "/s/dir/local/below"], "invalid_argument", /cannot be moved into itself/],
      [["cp", "-r", "/s/dir", "/s/dir/local"], "invalid_argument", /cannot be copied into itself/],
      [["cp", "/s/file", "/s/file"], "invalid_argument", /the same file/],
      // Usage.
      [["raed", "/s/file"], "invalid_argument", /no command "raed", did you mean read\?/],
      [["store", "lsit"], "invalid_argument", /no command "lsit", did you mean list\?/],
      [["ls", "--logn"], "invalid_argument", /no flag --logn, did you mean --long\?/],
      [["ls", "-x"], "invalid_argument", /no flag -x/],
      [["read"], "invalid_argument", /PATH is missing/],
      [["read", "/s/file", "/s/file"], "invalid_argument", /one argument too many/],
      [["read", "/s/file", "--offset", "-1"], "invalid_argument", /"-1" is not a size/],
      [["read", "/s/file", "--length", "much"], "invalid_argument", /"much" is not a size/],
      [["ls", "/s", "--context"], "invalid_argument", /--context needs a value/],
      [["store", "create", "u", "--replicas", "none"], "invalid_argument", /none/],
      [["ls", "/@bob@garage.collective.local/s"], "not_found", /bob@garage\.collective\.local is no peer of alice@home\.collective\.local/],
    ];
    for (const [args, code, says] of cases) await fail(collective, args, { code, says }, { stdin: "input" });
    expect(await listing(collective)).toBe(before);
    expect(readdirSync(path).sort()).toEqual(["coordinator", "fifo", "home", "huge", "link-to-fifo", "local", "node-01", "tree"]);
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
  });

  test("without a context, and with a coordinator that is not there, a command says so within a bounded time", async () => {
    await using home = await temporaryHome();
    const startedMs = performance.now();
    expectFailure(await run(["ls", "/"], { env: home.env }), { code: "configuration", says: /no context/ });

    await using collective = await startCollective({ nodes: 0 });
    const contexts = join(collective.env.COLLECTIVE_HOME ?? "", "config.json");
    // Port 1 is nobody's; 192.0.2.1 is documentation and never answers, where the network lets such packets out at all.
    writeFileSync(contexts, readFileSync(contexts, "utf8").replace(collective.coordinator.address, "127.0.0.1:1"));
    for (const args of [["ls", "/"], ["status"], ["write", "/s/file"], ["put", executable(), "/s"]]) {
      await fail(collective, args, { code: "unavailable", says: /127\.0\.0\.1:1: connection refused/ });
    }
    writeFileSync(contexts, "{ not JSON");
    await fail(collective, ["ls", "/"], { code: "configuration", says: /config\.json/ });
    expect(readFileSync(contexts, "utf8")).toBe("{ not JSON");
    expect(performance.now() - startedMs).toBeLessThan(30_000);
  });

  test("a local file that cannot be stored stops no other, and is named", async () => {
    await using collective = await startCollective({ nodes: 2 });
    const { path } = collective.home;
    mkdirSync(join(path, "tree"));
    for (const name of ["a", "b", "c"]) writeFileSync(join(path, "tree", name), name);
    // A name that is not UTF-8 has no name in the collective.
    writeFileSync(Buffer.concat([Buffer.from(join(path, "tree/bad-")), Buffer.of(0xff)]), "bad");
    await succeed(collective, ["mkdir", "/s"]);
    const { exitCode, stderr } = await collective.run(["put", "-r", join(path, "tree"), "/s"]);
    expect(stderr).toContain("bad-");
    expect(exitCode).not.toBe(0);
    expect((await succeed(collective, ["ls", "/s/tree"])).stdout).toBe("a\nb\nc\n");
  });
});

function chunkFileBytes(dataDirectory: string): number {
  return filesBelow(join(dataDirectory, "chunks")).reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0);
}

describe("a full disk", () => {
  test("capacity: exit 7, nothing half stored, and what was sent in vain is collected", async () => {
    await using collective = await startCollective({ capacity: "20MB" });
    await succeed(collective, ["mkdir", "/s"]);
    const kept = bytesOf("kept", 5 * mebibyte);
    await succeed(collective, ["write", "/s/kept"], { stdin: new Blob([kept]) });
    const used = (): number => collective.nodes.reduce((sum, node) => sum + chunkFileBytes(node.dataDirectory), 0);
    const [before, usedBefore] = [await listing(collective), used()];
    const tooMuch = { stdin: new Blob([bytesOf("too much", 40 * mebibyte)]) };
    // Whoever sees it first says so: the coordinator by the last heartbeats, or the last node that was asked.
    const full = { code: "no_space", says: /no node has room for \d+ bytes|the node is full: \d+ of \d+ bytes used/ } as const;
    await fail(collective, ["write", "/s/too-much"], full, tooMuch);
    await fail(collective, ["write", "/s/kept"], full, tooMuch);
    expect(await listing(collective)).toBe(before);
    expect(sha256((await succeed(collective, ["read", "/s/kept"])).stdoutBytes)).toBe(sha256(kept));
    await until(used, (bytes) => bytes === usedBefore);
    // The coordinator hears of the free space with the next heartbeats.
    await until(
      async () => (await collective.run(["write", "/s/fits"], { stdin: new Blob([bytesOf("fits", 10 * mebibyte)]) })).exitCode,
      (exitCode) => exitCode === 0,
      { timeoutMs: 5_000 },
    );
    expect(await verifyCounts(collective, "/s")).toMatchObject({ files: 2, bad: 0, missing: 0 });
  });

  test("quota: exit 7, and what was sent in vain is collected", async () => {
    await using collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["store", "create", "s", "--quota", "8MiB"]);
    await succeed(collective, ["write", "/s/kept"], { stdin: new Blob([bytesOf("kept", 5 * mebibyte)]) });
    const used = (): number => collective.nodes.reduce((sum, node) => sum + chunkFileBytes(node.dataDirectory), 0);
    const [before, usedBefore] = [await listing(collective), used()];
    await fail(
      collective,
      ["write", "/s/too-much"],
      { code: "quota_exceeded", says: /quota is 8388608 bytes, and 5242881 more do not fit/ },
      { stdin: new Blob([bytesOf("too much", 5 * mebibyte + 1)]) },
    );
    expect(await listing(collective)).toBe(before);
    await until(used, (bytes) => bytes === usedBefore);
  });

  test.skipIf(smallDiskReason !== undefined)(
    `of a node: exit 7, nothing half stored, and it serves on (${smallDiskReason ?? "on a small tmpfs"})`,
    async () => {
      await using disk = await mountSmallDisk(48 * mebibyte);
      await using collective = await startCollective({ nodes: 0 });
      await using _node = await startNode(collective, { name: "node-01", dataDirectory: disk.path });
      await succeed(collective, ["mkdir", "/s"]);
      const kept = bytesOf("kept", 9 * mebibyte);
      await succeed(collective, ["write", "/s/kept"], { stdin: new Blob([kept]) });
      const [before, usedBefore] = [await listing(collective), chunkFileBytes(disk.path)];
      const tooMuch = { stdin: new Blob([bytesOf("too much", 60 * mebibyte)]) };
      await fail(collective, ["write", "/s/too-much"], { code: "no_space", says: /full|no node has room/ }, tooMuch);
      expect(await listing(collective)).toBe(before);
      await until(
        () => chunkFileBytes(disk.path),
        (bytes) => bytes === usedBefore,
      );
      await succeed(collective, ["write", "/s/fits"], { stdin: new Blob([bytesOf("fits", 5 * mebibyte)]) });
      expect(sha256((await succeed(collective, ["read", "/s/kept"])).stdoutBytes)).toBe(sha256(kept));
    },
  );

  test("under standard output: exit 7 with one line, however much was printed", async () => {
    await using collective = await startCollective({ nodes: 1 });
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([bytesOf("printed", 3 * mebibyte)]) });
    for (const args of [["read", "/s/file"], ["ls", "-R", "--json", "/"], ["status"], ["--help"]]) {
      const child = Bun.spawn([executable(), ...args], { env: { ...collective.env }, stdout: Bun.file("/dev/full"), stderr: "pipe" });
      const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
      expectFailure({ exitCode, stderr, stdout: "" }, { code: "no_space", says: /no space left on device/ });
    }
  });

  test.skipIf(smallDiskReason !== undefined)(
    `of the person who fetches: exit 7, and no file that is not whole (${smallDiskReason ?? "on a small tmpfs"})`,
    async () => {
      await using disk = await mountSmallDisk(20 * mebibyte);
      await using collective = await startCollective({ nodes: 1 });
      await succeed(collective, ["mkdir", "/s"]);
      // The last piece of the content is where the disk ends: a write that takes a part of it is no success.
      const sizes = [20 * mebibyte + 4 * kibibyte, 18 * mebibyte, 100 * mebibyte];
      for (const size of sizes) await succeed(collective, ["write", `/s/${size}`], { stdin: new Blob([bytesOf(`full ${size}`, size)]) });
      writeFileSync(join(disk.path, "other"), bytesOf("other", 3 * mebibyte));
      for (const size of sizes) {
        const target = join(disk.path, "fetched");
        await fail(collective, ["get", `/s/${size}`, target], { code: "no_space", says: /no space left/ });
        expect(existsSync(target)).toBe(false);
      }
      expect(readFileSync(join(disk.path, "other")).length).toBe(3 * mebibyte);
    },
  );
});

describe("damage on a disk", () => {
  const damages: readonly (readonly [what: string, damage: (path: string) => void])[] = [
    ["a flipped bit", (path) => flipBit(path, 5_000)],
    ["a flipped bit in its header", (path) => flipBit(path, 9)],
    ["cut short", (path) => truncateSync(path, 700_000)],
    ["emptied", (path) => truncateSync(path, 0)],
    ["removed", (path) => unlinkSync(path)],
  ];

  test("of chunk files: the read takes the other copies and says so, the bad ones are put aside, and storing again heals", async () => {
    await using collective = await startCollective({ nodes: 2 });
    const [damaged] = collective.nodes;
    if (!damaged) throw new Error("no node");
    await succeed(collective, ["mkdir", "/s"]);
    const contents = ["a", "b", "c"].map((name) => ({ path: `/s/${name}`, bytes: bytesOf(name, 8 * mebibyte) }));
    for (const { path, bytes } of contents) await succeed(collective, ["write", path], { stdin: new Blob([bytes]) });
    const chunksOf = async () =>
      (await Promise.all(contents.map(({ path }) => statusOf(collective, path)))).flatMap(({ chunks }) => chunks);
    const chunks = await chunksOf();
    expect(chunks.length).toBe(24);
    for (const [index, { id }] of chunks.entries()) damages[index % damages.length]?.[1](chunkPath(damaged.dataDirectory, id));

    let warnings = "";
    for (const { path, bytes } of contents) {
      const { stdoutBytes, stderr } = await succeed(collective, ["read", path]);
      expect(sha256(stdoutBytes)).toBe(sha256(bytes));
      warnings += stderr;
    }
    expect(warnings).toMatch(
      /warn .*copy could not be read, trying another node=node-01@home\.collective\.local chunk=[0-9a-f]{64} code=(corrupt|not_found)/,
    );
    await until(damaged.process.stderr, (log) => log.includes("chunk quarantined"));

    const removed = chunks.filter((_, index) => damages[index % damages.length]?.[0] === "removed").length;
    await verifyCounts(collective, "/s");
    const good = (await chunksOf()).filter(({ copies }) =>
      copies.some(({ node, state }) => node.startsWith("node-01@") && state === "stored"),
    );
    expect(good).toEqual([]);
    for (const { path } of contents) expect((await succeed(collective, ["read", path])).stderr).toBe("");
    expect(readdirSync(join(damaged.dataDirectory, "quarantine")).length).toBe(24 - removed);

    for (const { path, bytes } of contents) await succeed(collective, ["write", `${path}-again`], { stdin: new Blob([bytes]) });
    expect(await verifyCounts(collective, "/s")).toMatchObject({ files: 6, chunks: 24, copies: 48, bad: 0, missing: 0 });
    expect(readdirSync(join(damaged.dataDirectory, "quarantine"))).toEqual([]);
  });

  test("of a small chunk, which lies in the node's database: found, put aside and read from elsewhere", async () => {
    await using collective = await startCollective({ nodes: 2 });
    const { path } = collective.home;
    const [damaged] = collective.nodes;
    if (!damaged) throw new Error("no node");
    mkdirSync(join(path, "tree"));
    for (let index = 0; index < 40; index++) writeFileSync(join(path, "tree", String(index)), bytesOf(`small ${index}`, 3_000));
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["put", "-r", join(path, "tree"), "/s"]);
    await damaged.process.stop();
    {
      using database = new Database(join(damaged.dataDirectory, "chunks.db"));
      // One of 256 bytes of ciphertext is 0xff already.
      const other = "iif(substr(data, 101, 1) = x'ff', x'00', x'ff')";
      database.run(`UPDATE inline_data SET data = CAST(substr(data, 1, 100) || ${other} || substr(data, 102) AS BLOB)`);
    }
    await collective.restart(damaged.name);
    await succeed(collective, ["get", "-r", "/s/tree", join(path, "fetched")]);
    expect(describeTree(join(path, "fetched"))).toEqual(describeTree(join(path, "tree")));
    await until(damaged.process.stderr, (log) => log.includes("chunk quarantined"));
    const { exitCode, stdout } = await collective.run(["verify", "-r", "/s", "--json"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ files: 40, chunks: 40, copies: 80, bad: 40 });
  });

  test("of every copy: the read fails as beyond repair, and prints nothing that is wrong", async () => {
    await using collective = await startCollective({ nodes: 2 });
    const { path } = collective.home;
    await succeed(collective, ["mkdir", "/s"]);
    const content = bytesOf("lost", 9 * mebibyte);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });
    const lost = (await statusOf(collective, "/s/file")).chunks.at(-1);
    for (const node of collective.nodes) flipBit(chunkPath(node.dataDirectory, lost?.id ?? ""), 5_000);

    const read = await collective.run(["read", "/s/file"]);
    expect(read.exitCode).toBe(8);
    expect(content.subarray(0, read.stdoutBytes.length).equals(read.stdoutBytes)).toBe(true);
    expectFailure(
      { ...read, stdout: "", stderr: errorLines(read.stderr) },
      { code: "corrupt", says: /all of its 2 copies are damaged or missing/ },
    );
    const get = await collective.run(["get", "/s/file", join(path, "fetched")]);
    expectFailure({ ...get, stderr: errorLines(get.stderr) }, { code: "corrupt", says: /chunk/ });
    expect(existsSync(join(path, "fetched"))).toBe(false);
    expect((await collective.run(["verify", "-r", "/s"])).exitCode).toBe(8);
  });

  const databases = [
    ["coordinator", "metadata.db"],
    ["node-01", "chunks.db"],
  ] as const;
  for (const [name, file] of databases) {
    test(`of ${file}: the ${name} says which file is damaged, exits 8 and leaves it as it is`, async () => {
      await using collective = await startCollective({ nodes: 1 });
      await succeed(collective, ["mkdir", "/s"]);
      for (let index = 0; index < 20; index++) await succeed(collective, ["mkdir", `/s/${index}`]);
      await succeed(collective, ["write", "/s/file"], { stdin: "content" });
      const { dataDirectory } = collective.service(name);
      const database = join(dataDirectory, file);

      // Cut short while its log is there, as after a crash, and then without one, as after a clean stop.
      await collective.service(name).process.kill();
      const whole = new Map(
        readdirSync(dataDirectory)
          .filter((entry) => entry.startsWith(file))
          .map((entry) => [entry, readFileSync(join(dataDirectory, entry))]),
      );
      truncateSync(database, 5_000);
      await expectRefusal(collective, name, database);
      for (const [entry, bytes] of whole) writeFileSync(join(dataDirectory, entry), bytes);
      await collective.restart(name);
      expect(await collective.service(name).process.stop()).toBe(0);
      const good = readFileSync(database);

      const damagedDatabases = [
        good.subarray(0, 0),
        good.subarray(0, 60),
        good.subarray(0, 4_096),
        good.subarray(0, good.length / 2),
        good.subarray(0, good.length - 1),
        Buffer.concat([Buffer.from("not a database, "), good.subarray(16)]),
        Buffer.concat([good.subarray(0, 4_096), Buffer.alloc(good.length - 4_096, 0xa5)]),
      ];
      for (const bytes of damagedDatabases) {
        writeFileSync(database, bytes);
        await expectRefusal(collective, name, database);
        expect(readFileSync(database).equals(bytes)).toBe(true);
      }
      writeFileSync(database, good);
      await collective.restart(name);
      expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
    }, 60_000);
  }
});

function flipBit(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

/** Without what the log says before. */
function errorLines(stderr: string): string {
  return stderr.slice(Math.max(0, stderr.search(/^collective: /m)));
}

async function expectRefusal(collective: Collective, name: string, database: string): Promise<void> {
  const { address, dataDirectory } = collective.service(name);
  const args =
    name === "coordinator" ? coordinatorArgs({ address, dataDirectory }) : nodeArgs(collective, { name, address, dataDirectory });
  const refused = await run(args, { env: collective.env, timeoutMs: 10_000 });
  expectFailure({ ...refused, stderr: errorLines(refused.stderr) }, { code: "corrupt", says: new RegExp(RegExp.escape(database)) });
}

describe("serving", () => {
  test("an address or a data directory that is in use: said, exit 6, and whoever has it is not disturbed", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { path } = collective.home;
    const [node] = collective.nodes;
    if (!node) throw new Error("no node");
    await succeed(collective, ["mkdir", "/s"]);
    const before = await listing(collective);
    const fresh = join(path, "fresh");
    const cases: readonly (readonly [args: readonly string[], says: RegExp])[] = [
      [
        coordinatorArgs({ member: "zoe", address: collective.coordinator.address, dataDirectory: fresh }),
        /the address 127\.0\.0\.1:\d+ is in use/,
      ],
      [coordinatorArgs({ member: "zoe", address: node.address, dataDirectory: fresh }), /the address 127\.0\.0\.1:\d+ is in use/],
      [coordinatorArgs({ dataDirectory: collective.coordinator.dataDirectory }), /metadata\.db is in use by another process/],
      [
        nodeArgs(collective, { name: "node-02", dataDirectory: join(path, "node-02"), address: node.address }),
        /the address 127\.0\.0\.1:\d+ is in use/,
      ],
      [
        nodeArgs(collective, { name: "node-02", dataDirectory: join(path, "node-02"), address: collective.coordinator.address }),
        /is in use/,
      ],
      [nodeArgs(collective, { name: "node-01", dataDirectory: node.dataDirectory }), /chunks\.db is in use by another process/],
    ];
    for (const [args, says] of cases) {
      const refused = await run(args, { env: collective.env, timeoutMs: 10_000 });
      expectFailure({ ...refused, stderr: errorLines(refused.stderr) }, { code: "conflict", says });
    }
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
    await succeed(collective, ["rm", "/s/file"]);
    expect(JSON.parse(await listing(collective)).length).toBe(JSON.parse(before).length);
  });

  test("a data directory of somebody else is refused and left alone", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const { dataDirectory } = collective.coordinator;
    const nodeDirectory = collective.nodes[0]?.dataDirectory ?? "";
    await collective.coordinator.process.stop();
    await collective.nodes[0]?.process.stop();
    const cases: readonly (readonly [args: readonly string[], says: RegExp])[] = [
      [coordinatorArgs({ member: "zoe@attic.collective.local", dataDirectory }), /belongs to home\.collective\.local, not to attic/],
      [
        nodeArgs(collective, { name: "node-07", dataDirectory: nodeDirectory }).filter(
          (arg) => arg !== "--enrol-from" && arg !== dataDirectory,
        ),
        /node-01@home.*not of the node node-07@home/,
      ],
    ];
    for (const [args, says] of cases) {
      const refused = await run(args, { env: collective.env, timeoutMs: 10_000 });
      expectFailure({ ...refused, stderr: errorLines(refused.stderr) }, { code: "configuration", says });
    }
  });

  test("configuration: every mistake at once, with the key and the file", async () => {
    await using home = await temporaryHome();
    const file = join(home.path, "config.json");
    const start = (config: unknown, args: readonly string[] = [], env = {}) => {
      writeFileSync(file, typeof config === "string" ? config : JSON.stringify(config));
      return run(["serve", "-c", file, ...args], { env: { ...home.env, ...env }, timeoutMs: 10_000 });
    };
    const good = { mode: "coordinator", member_id: "alice@home.collective.local" };
    const fileName = RegExp.escape(file);
    const cases: readonly (readonly [start: () => Promise<RunResult>, says: RegExp])[] = [
      [() => start({ ...good, coordinator: { adress: ":8001" } }), new RegExp(`${fileName}: coordinator\\.adress: .*did you mean address`)],
      [() => start({ ...good, storage: "5GB" }), new RegExp(`${fileName}: storage: `)],
      [() => start("{ not JSON"), new RegExp(fileName)],
      [
        () => start({ mode: "coordinator", member_id: "Not A Member", log_level: "loud", metrics_address: 9090 }),
        /3 mistakes in .*config\.json: .*member_id.*metrics_address.*log_level|3 mistakes in .*member_id.*log_level/,
      ],
      [() => start({ ...good, coordinator: { cert_validity: "1s" } }), /coordinator\.cert_validity: .*between 30s and 397d/],
      [() => start(good, ["--capacity", "5GB", "--log-level", "loud"]), /2 mistakes|--capacity|--log-level/],
      [() => start(good, [], { COLLECTIVE_LOG_LEVEL: "loud" }), /COLLECTIVE_LOG_LEVEL: "loud" is not one of/],
      [() => run(["serve", "-c", join(home.path, "none.json")], { env: home.env }), /cannot read .*none\.json/],
      [() => run(["serve", "--role", "node", "--member", "alice"], { env: home.env }), /node\.node_id: missing, set --node-id/],
    ];
    for (const [start, says] of cases) expectFailure(await start(), { code: "configuration", says });
    expect(readdirSync(join(home.path, "home"))).toEqual([]);
  });
});
