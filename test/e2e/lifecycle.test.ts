/** Starting, stopping and starting again, by hand and by signal, also in the middle of a transfer. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectFailure, listing, nodeArgs, startNode, succeed, succeedJson, until, verifyCounts } from "../support/e2e-commands.ts";
import { bytesOf, sha256 } from "../support/e2e-files.ts";
import { type Collective, type Handle, start, startCollective, temporaryHome } from "../support/process.ts";

const mebibyte = 1024 * 1024;
const stopMsMax = 10_000;

/** Standard input that never ends: 30 MiB of it at once, then nothing more. */
function endlessInput(seed: string): ReadableStream<Uint8Array> {
  let left = 30 * mebibyte;
  return new ReadableStream({
    pull: (controller) => {
      if (left <= 0) return new Promise<void>(() => undefined);
      const piece = bytesOf(`${seed} ${left}`, Math.min(left, mebibyte));
      left -= piece.length;
      controller.enqueue(piece);
    },
  });
}

function storedBytes(collective: Collective): number {
  return collective.nodes.reduce((sum, { dataDirectory }) => {
    const files = readdirSync(join(dataDirectory, "chunks"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return (
      sum +
      files.reduce((bytes, { parentPath, name }) => bytes + (statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0), 0)
    );
  }, 0);
}

/** SIGTERM, and how long it took until the process was gone. */
async function stopTimed(handle: Handle): Promise<{ exitCode: number; elapsedMs: number }> {
  const startedMs = performance.now();
  const exitCode = await handle.stop();
  return { exitCode, elapsedMs: performance.now() - startedMs };
}

describe("SIGTERM to a client in the middle of a transfer", () => {
  test("write and put: stops at once with one line, and nothing is visible", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    writeFileSync(join(path, "large"), bytesOf("large", 200 * mebibyte));
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/existing"], { stdin: "existing" });
    const before = await listing(collective);
    const commands: readonly (() => Handle)[] = [
      () => collective.start(["write", "/s/new"], { stdin: endlessInput("new") }),
      () => collective.start(["write", "/s/existing"], { stdin: endlessInput("existing") }),
      () => collective.start(["put", join(path, "large"), "/s/new"]),
    ];
    for (const command of commands) {
      const bytesBefore = storedBytes(collective);
      await using client = command();
      await until(
        () => storedBytes(collective),
        (bytes) => bytes > bytesBefore + 16 * mebibyte,
      );
      const { exitCode, elapsedMs } = await stopTimed(client);
      expectFailure({ exitCode, stderr: client.stderr(), stdout: client.stdout() }, { code: "cancelled", says: /cancelled/ });
      expect(elapsedMs).toBeLessThan(3_000);
      expect(await listing(collective)).toBe(before);
    }
    expect((await succeed(collective, ["read", "/s/existing"])).stdout).toBe("existing");
    await succeed(collective, ["put", join(path, "large"), "/s/new"]);
    expect(await verifyCounts(collective, "/s")).toMatchObject({ files: 2, bad: 0, missing: 0 });
  });

  test("get: stops at once with one line, nothing stands under the name, and the next run ends it", async () => {
    await using collective = await startCollective();
    const folder = join(collective.home.path, "into");
    mkdirSync(folder);
    const content = bytesOf("large", 128 * mebibyte);
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: new Blob([content]) });
    await using client = collective.start(["get", "/s/file", join(folder, "file")]);
    await until(
      () => readdirSync(folder).map((name) => statSync(join(folder, name)).size),
      ([size = 0]) => size > 8 * mebibyte,
    );
    const { exitCode, elapsedMs } = await stopTimed(client);
    expectFailure({ exitCode, stderr: client.stderr(), stdout: client.stdout() }, { code: "cancelled", says: /cancelled/ });
    expect(elapsedMs).toBeLessThan(3_000);
    expect(existsSync(join(folder, "file"))).toBe(false);
    await succeed(collective, ["get", "/s/file", join(folder, "file")]);
    expect(sha256(readFileSync(join(folder, "file")))).toBe(sha256(content));
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

describe("SIGTERM to a server in the middle of a transfer", () => {
  test("a node: ends in time with exit code 0; the write under way succeeds on the others", async () => {
    await using collective = await startCollective();
    await succeed(collective, ["mkdir", "/s"]);
    const content = bytesOf("written", 160 * mebibyte);
    const writing = collective.run(["write", "/s/file"], { stdin: new Blob([content]) });
    await until(
      () => storedBytes(collective),
      (bytes) => bytes > 40 * mebibyte,
    );
    const [node] = collective.nodes;
    const stopped = node && (await stopTimed(node.process));
    expect(stopped?.exitCode).toBe(0);
    expect(stopped?.elapsedMs).toBeLessThan(stopMsMax);
    expect(await writing).toMatchObject({ exitCode: 0 });

    const reading = collective.run(["read", "/s/file"]);
    const [, second] = collective.nodes;
    await collective.restart("node-01");
    expect((second && (await stopTimed(second.process)))?.exitCode).toBe(0);
    const read = await reading;
    expect(sha256(read.stdoutBytes)).toBe(sha256(content));
    expect(read.exitCode).toBe(0);
  });

  test("a coordinator: ends in time with exit code 0; what was acknowledged is there, and nothing else", async () => {
    await using collective = await startCollective();
    const { path } = collective.home;
    mkdirSync(join(path, "tree"));
    for (let index = 0; index < 1_500; index++) writeFileSync(join(path, "tree", String(index)), `content ${index}`);
    await succeed(collective, ["mkdir", "/s"]);
    const putting = collective.run(["put", "-r", join(path, "tree"), "/s"]);
    await until(
      async () => (await collective.run(["ls", "/s/tree"])).stdout.split("\n").length,
      (names) => names > 20,
    );
    const { exitCode, elapsedMs } = await stopTimed(collective.coordinator.process);
    expect(exitCode).toBe(0);
    expect(elapsedMs).toBeLessThan(stopMsMax);
    const put = await putting;
    expect(put.exitCode).toBe(5);
    expect(put.stderr).toMatch(/^collective: put: .*coordinator\.home\.collective\.local.* \(unavailable\)$/m);

    await collective.restart("coordinator");
    await succeed(collective, ["put", "-r", join(path, "tree"), "/s"]);
    expect((await succeed(collective, ["ls", "/s/tree"])).stdout.split("\n").length).toBe(1_501);
    expect(await verifyCounts(collective, "/s")).toMatchObject({ files: 1_500, bad: 0, missing: 0 });
  });

  test("all of them, while nothing happens: each is gone within a second, and can start again", async () => {
    await using collective = await startCollective();
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    const services = [...collective.nodes, collective.coordinator];
    for (const service of services) {
      const { exitCode, elapsedMs } = await stopTimed(service.process);
      expect(exitCode).toBe(0);
      expect(elapsedMs).toBeLessThan(1_000);
    }
    for (const { name } of services.reverse()) await collective.restart(name);
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
    for (const node of collective.nodes) expect(node.process.stderr()).not.toContain("unclean");
  });
});

describe("a node that stands still", () => {
  test("costs a reader seconds, not the time-out of a request", async () => {
    await using collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/s"]);
    const [large, small] = [bytesOf("large", 30 * mebibyte), bytesOf("small", 1_000)];
    await succeed(collective, ["write", "/s/large"], { stdin: new Blob([large]) });
    for (let i = 0; i < 8; i++) await succeed(collective, ["write", `/s/small-${i}`], { stdin: new Blob([small]) });
    const [node] = collective.nodes;
    if (!node) throw new Error("no node");
    process.kill(node.process.pid, "SIGSTOP");
    const startedMs = performance.now();
    expect(sha256((await succeed(collective, ["read", "/s/large"])).stdoutBytes)).toBe(sha256(large));
    for (let i = 0; i < 8; i++) expect(sha256((await succeed(collective, ["read", `/s/small-${i}`])).stdoutBytes)).toBe(sha256(small));
    // Until the coordinator knows, each of these commands may meet the node once.
    expect(performance.now() - startedMs).toBeLessThan(30_000);
    process.kill(node.process.pid, "SIGCONT");
  });
});

describe("starting", () => {
  test("nodes that start before their coordinator register when it comes", async () => {
    await using collective = await startCollective({ nodes: 1 });
    await succeed(collective, ["mkdir", "/s"]);
    await collective.coordinator.process.kill();
    await collective.nodes[0]?.process.kill();
    await using early = await startNode(collective, { name: "node-02", dataDirectory: join(collective.home.path, "node-02") });
    expect(early.stderr()).toContain("coordinator does not answer");
    await collective.restart("coordinator");
    const states = async (): Promise<unknown> =>
      ((await succeedJson(collective, ["status"])) as { local_nodes: { id: string; state: string }[] }).local_nodes.map(
        ({ id, state }) => `${id} ${state}`,
      );
    await until(states, (lines) => JSON.stringify(lines).includes("node-02@home.collective.local alive"));
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
  });

  test("a node that has joined needs its data directory only, and may have another port", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const [node] = collective.nodes;
    if (!node) throw new Error("no node");
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    await node.process.stop();
    const args = nodeArgs(collective, { name: node.name, dataDirectory: node.dataDirectory });
    const enrolAt = args.indexOf("--enrol-from");
    await using moved = start([...args.slice(0, enrolAt), ...args.slice(enrolAt + 2)], { env: collective.env });
    const [, address] = await moved.waitForLine(/^ready role=node name=node-01@home\.collective\.local address=(127\.0\.0\.1:\d+)$/);
    expect(address).not.toBe(node.address);
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
  });

  test("a second node under a name that is taken ends at once, and the first keeps its name", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const [node] = collective.nodes;
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    const dataDirectory = join(collective.home.path, "other");
    const second = await collective.run(nodeArgs(collective, { name: "node-01", dataDirectory }));
    expect(second).toMatchObject({ exitCode: 6, stdout: "" });
    expect(second.stderr).toMatch(
      /^collective: serve: there is another node-01@home\.collective\.local: it is alive at 127\.0\.0\.1:\d+ and has another key \(conflict\)$/m,
    );
    expect(second.stderr).toContain(node?.address ?? "no node");
    expect(second.stderr).toContain("--node-id");
    expect((await succeed(collective, ["read", "/s/file"])).stdout).toBe("content");
  });

  test("one process with both roles, by a configuration file, and again with the same data", async () => {
    await using home = await temporaryHome();
    const file = join(home.path, "config.json");
    const config = {
      mode: "all",
      member_id: "alice@home.collective.local",
      metrics_address: "off",
      data_dir: join(home.path, "data"),
      coordinator: { address: "127.0.0.1:0", bootstrap_address: "127.0.0.1:0" },
      node: { node_id: "node-01", address: "127.0.0.1:0", storage_capacity: "1GB" },
    };
    writeFileSync(file, JSON.stringify(config));
    const command = (args: readonly string[], stdin?: ReadableStream<Uint8Array>): Handle =>
      start(args, { env: home.env, stdin: stdin ?? new Blob(["content"]).stream() });
    for (const round of [0, 1]) {
      await using server = command(["serve", "-c", file]);
      await server.waitForLine(/^ready role=all name=alice@home\.collective\.local address=127\.0\.0\.1:\d+$/);
      if (round === 0) {
        expect(await command(["mkdir", "/s"]).exited).toBe(0);
        expect(await command(["write", "/s/file"]).exited).toBe(0);
      }
      await using read = command(["read", "/s/file"]);
      expect(await read.exited).toBe(0);
      expect(read.stdout()).toBe("content");
      expect(await server.stop()).toBe(0);
    }
  });

  test("an administrator's context from a collective that was thrown away is replaced", async () => {
    await using collective = await startCollective({ nodes: 0 });
    await collective.coordinator.process.stop();
    rmSync(collective.coordinator.dataDirectory, { recursive: true });
    await collective.restart("coordinator");
    await succeed(collective, ["mkdir", "/s"]);
  });

  test("a coordinator whose database is gone says so instead of beginning with nothing", async () => {
    await using collective = await startCollective({ nodes: 1 });
    await succeed(collective, ["mkdir", "/s"]);
    const { coordinator } = collective;
    await coordinator.process.stop();
    for (const name of readdirSync(coordinator.dataDirectory)) {
      if (name.startsWith("metadata.db")) rmSync(join(coordinator.dataDirectory, name));
    }
    const member = ["--member", "alice@home.collective.local", "--metrics-address", "off", "--bootstrap-address", "127.0.0.1:0"];
    const restarted = await collective.run([
      "coordinator",
      ...member,
      "--address",
      coordinator.address,
      "--data-dir",
      coordinator.dataDirectory,
    ]);
    expectFailure({ ...restarted, stderr: errorLines(restarted.stderr) }, { code: "corrupt", says: /metadata\.db is missing/ });
    expect(readdirSync(coordinator.dataDirectory).filter((name) => name === "metadata.db")).toEqual([]);
  });
});

/** Without the log. */
function errorLines(stderr: string): string {
  const lines = stderr.split("\n");
  return lines.slice(lines.findIndex((line) => line.startsWith("collective:"))).join("\n");
}
