/** The mount as a machine's administrator meets it: in /etc/fstab, and in Prometheus. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { succeed, until } from "../support/e2e-commands.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { mountCollective, mountsAt } from "../support/mounted-collective.ts";
import { type Collective, executable, startCollective } from "../support/process.ts";

const impossible = mountingImpossible();
if (impossible !== undefined) console.log(`mount: skipped, ${impossible}`);

describe.skipIf(impossible !== undefined)("a mount of the system", () => {
  let collective: Collective;
  beforeAll(async () => {
    collective = await startCollective({ nodes: 1 });
    await succeed(collective, ["store", "create", "documents", "--replicas", "1"]);
  }, 60_000);
  afterAll(() => collective[Symbol.asyncDispose]());

  /** As mount(8) calls its helpers. */
  const callHelper = (...args: string[]) => call(executable(), ...args);

  async function call(...command: string[]) {
    const child = Bun.spawn(command, { env: { PATH: process.env.PATH ?? "" }, stdio: ["ignore", "pipe", "pipe"] });
    const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    return { stderr, exitCode };
  }

  test("is made and ended by mount(8) and umount(8)", async () => {
    const at = join(collective.home.path, "mnt fstab");
    mkdirSync(at);
    const options = `home=${collective.env.COLLECTIVE_HOME},cache_size=256MiB,_netdev,noatime`;
    if (Bun.which("mount.fuse3") === null) {
      expect(await callHelper("/documents", at, "-o", `rw,${options}`)).toMatchObject({ exitCode: 0 });
    } else {
      // As with the type `fuse.collective`, but by the executable's path, for it is not installed here.
      const mounted = await call("mount", "-t", "fuse", `${executable()}#/documents`, at, "-o", options);
      expect(mounted).toEqual({ exitCode: 0, stderr: "" });
    }
    writeFileSync(join(at, "file"), "written");
    expect((await succeed(collective, ["read", "/documents/file"])).stdout).toBe("written");
    expect(Bun.spawnSync(["umount", at]).exitCode).toBe(0);
    expect(mountsAt(at)).toBe(0);
    expect(statSync(at).isDirectory()).toBe(true);
  }, 60_000);

  test("says which option it does not know", async () => {
    const said = await callHelper("/documents", "/mnt", "-o", "rw,colour=green");
    expect(said.exitCode).toBe(2);
    expect(said.stderr).toMatch(/^collective: mount: there is no option "?colour=green"? .*\(invalid_argument\)\nthere are ro, /);
  });

  test("tells Prometheus what it does and what it could not store", async () => {
    await using mounted = await mountCollective(collective, "mnt-metrics", ["--metrics-address", "127.0.0.1:0"]);
    const [, address = ""] = /metrics=(\S+)/.exec(mounted.process.stdout()) ?? [];
    const scrape = async (path: string): Promise<string> => await (await fetch(`http://${address}${path}`)).text();
    const path = join(mounted.path, "documents/observed");
    writeFileSync(path, "observed");
    expect(readFileSync(path, "utf8")).toBe("observed");
    // What was closed is stored a moment later.
    const metrics = await until(
      () => scrape("/metrics"),
      (text) => /collective_mount_unsaved_bytes\{.*\} 0/.test(text),
    );
    expect(metrics).toMatch(/collective_fuse_operations_total\{operation="create",outcome="ok",member="alice@home.collective.local"\} 1\n/);
    expect(metrics).toMatch(/collective_fuse_operation_seconds_count\{.*,operation="write"\} 1\n/);
    expect(JSON.parse(await scrape("/health"))).toEqual({ health: "healthy", score: 100, reasons: [] });

    await collective.service("node-01").process.kill();
    const file = openSync(path, "w");
    writeSync(file, "not to be stored now");
    expect(() => fsyncSync(file)).toThrow(/EIO|ETIMEDOUT|ENOSPC|EAGAIN|EHOSTUNREACH/);
    closeSync(file);
    expect(await scrape("/metrics")).toMatch(/collective_mount_failed_files\{.*\} 1/);
    expect(JSON.parse(await scrape("/health"))).toMatchObject({ health: "unhealthy", reasons: ["1 file could not be stored"] });
    await collective.restart("node-01");
    await until(
      () => scrape("/health"),
      (health) => health.includes('"healthy"'),
    );
    expect((await succeed(collective, ["read", "/documents/observed"])).stdout).toBe("not to be stored now");
  }, 120_000);
});
