/** File systems side by side for test/bench/mount.ts: what is measured, what the kernel itself gives, and others that go through FUSE. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountMemory } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective } from "../support/mounted-collective.ts";
import { type Collective, startCollective } from "../support/process.ts";

export interface Target extends AsyncDisposable {
  readonly path: string;
  cold(): Promise<void>;
  /** The process that serves, where there is one. */
  peakMb(): number | undefined;
  /** The commands that move whole files, in seconds; of a collective alone. */
  transfer?(sizeBytes: number): Promise<{ readonly put: number; readonly get: number }>;
  /** Makes directories with files, quicker than through the mount where that is possible. */
  fill?(directory: string, source: string): Promise<void>;
}

export const targetNames = ["tmpfs", "disk", "passthrough_ll", "bindfs", "rclone", "memory", "memory-write-back", "collective"] as const;
export type TargetName = (typeof targetNames)[number];

const passthroughSource = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c";
const longMs = 600_000;

/** Undefined when it is not installed. */
export async function openTarget(name: TargetName): Promise<Target | undefined> {
  switch (name) {
    case "tmpfs":
      return localTarget("/dev/shm");
    case "disk":
      return localTarget(tmpdir());
    case "memory":
      return await memoryTarget([]);
    case "memory-write-back":
      return await memoryTarget(["--write-back"]);
    case "collective":
      return await collectiveTarget();
    case "passthrough_ll":
      return existsSync(passthroughSource) && Bun.which("gcc") ? await passthroughTarget(compiled) : undefined;
    case "bindfs":
      return Bun.which("bindfs") ? await passthroughTarget((source, at) => ["bindfs", "-f", source, at]) : undefined;
    case "rclone":
      return Bun.which("rclone") ? await passthroughTarget(rclone) : undefined;
  }
}

async function dropKernelCaches(): Promise<void> {
  Bun.spawnSync(["sync"]);
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

function peakOf(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024);
}

function localTarget(parent: string): Target {
  const path = mkdtempSync(join(parent, "bench-"));
  return {
    path,
    cold: dropKernelCaches,
    peakMb: () => undefined,
    [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true }),
  };
}

async function memoryTarget(flags: readonly string[]): Promise<Target> {
  const mounted = await mountMemory(flags);
  return {
    path: mounted.path,
    cold: dropKernelCaches,
    peakMb: () => peakOf(mounted.process.pid),
    [Symbol.asyncDispose]: async () => await mounted[Symbol.asyncDispose](),
  };
}

function compiled(source: string, at: string): string[] {
  const program = join(at, "..", "passthrough_ll");
  const flags = Bun.spawnSync(["pkg-config", "--cflags", "--libs", "fuse3"]).stdout.toString().trim().split(/\s+/);
  const built = Bun.spawnSync([
    "gcc",
    "-O2",
    passthroughSource,
    "-o",
    program,
    ...(flags[0] ? flags : ["-I/usr/include/fuse3", "-lfuse3"]),
  ]);
  if (!built.success) throw new Error(`gcc: ${built.stderr.toString()}`);
  return [program, "-f", "-o", `source=${source},cache=auto`, at];
}

function rclone(source: string, at: string): string[] {
  return ["rclone", "mount", source, at, "--vfs-cache-mode", "writes", "--config", "/dev/null", "--cache-dir", join(at, "..", "rclone")];
}

/** A directory of the disk, shown through FUSE by another program. */
async function passthroughTarget(command: (source: string, at: string) => string[]): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const [source, at] = [join(folder, "source"), join(folder, "mnt")];
  mkdirSync(source);
  mkdirSync(at);
  const child = Bun.spawn(command(source, at), { stdio: ["ignore", "ignore", "inherit"] });
  const isMounted = () => Bun.spawnSync(["mountpoint", "-q", at]).exitCode === 0;
  while (!isMounted()) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode} before it was mounted`);
    await Bun.sleep(20);
  }
  return {
    path: at,
    cold: dropKernelCaches,
    peakMb: () => peakOf(child.pid),
    [Symbol.asyncDispose]: async () => {
      Bun.spawnSync(["umount", at]);
      child.kill();
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Three nodes on loopback, two copies, as a new datastore has. */
async function collectiveTarget(): Promise<Target> {
  const collective: Collective = await startCollective({ capacity: "40GB", env: { COLLECTIVE_LOG_LEVEL: "warn" } });
  const run = async (...args: string[]): Promise<void> => {
    const { exitCode, stderr } = await collective.run(args, { timeoutMs: longMs });
    if (exitCode !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  };
  const secondsOf = async (work: () => Promise<void>): Promise<number> => {
    const startedMs = performance.now();
    await work();
    return (performance.now() - startedMs) / 1_000;
  };
  await run("mkdir", "/bench");
  let peak = 0;
  let mounted: MountedCollective = await mountCollective(collective, "mnt");
  const cacheFolder = join(collective.env.COLLECTIVE_HOME ?? collective.home.path, "cache");
  const stop = async (): Promise<void> => {
    peak = Math.max(peak, peakOf(mounted.process.pid));
    await mounted[Symbol.asyncDispose]();
  };
  return {
    path: join(mounted.path, "bench"),
    cold: async () => {
      await stop();
      rmSync(cacheFolder, { recursive: true, force: true });
      await dropKernelCaches();
      mounted = await mountCollective(collective, "mnt");
    },
    peakMb: () => Math.max(peak, peakOf(mounted.process.pid)),
    transfer: async (sizeBytes) => {
      const source = join(collective.home.path, "source");
      const fetched = join(collective.home.path, "fetched");
      Bun.spawnSync(["sh", "-c", `head -c ${sizeBytes} /dev/urandom > ${source}`]);
      const put = await secondsOf(() => run("put", source, "/bench/transferred"));
      await dropKernelCaches();
      const get = await secondsOf(() => run("get", "/bench/transferred", fetched));
      await run("rm", "/bench/transferred");
      rmSync(source);
      rmSync(fetched);
      return { put, get };
    },
    fill: async (directory, source) => await run("put", "-r", source, `/bench/${directory}`),
    [Symbol.asyncDispose]: async () => {
      await stop();
      await collective[Symbol.asyncDispose]();
    },
  };
}
