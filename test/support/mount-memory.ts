/**
 * Mounts a file system in memory until SIGTERM: the process that tests and measurements use a mount of.
 *
 *   bun test/support/mount-memory.ts MOUNTPOINT [--write-back] [--allow-other] [--valid-ms N] [--time-limit-ms N]
 *
 * It prints `mounted` when the place can be used, and what it knows of itself when it ends. Names that begin with `stall` are looked up
 * for ever. At SIGUSR1 the file `watched` changes behind the kernel's back, the kernel is told, and `told` is printed; at SIGUSR2 each second
 * time it is longer, else it is shorter, and `replaced N` is printed.
 */
import { parseArgs } from "node:util";
import { isMainThread } from "node:worker_threads";
import { systemClock } from "../../src/core/clock.ts";
import { createLog } from "../../src/core/log.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { mount } from "../../src/fuse/mount.ts";
import { createStatistics } from "../../src/fuse/statistics.ts";
import { serveThread } from "../../src/fuse/threads.ts";
import { tracerOf } from "../../src/fuse/trace.ts";
import { type Call, type FileSystem, type KernelCaches, rootInode } from "../../src/vfs/file-system.ts";
import { createMemoryFileSystem, type MemoryFileSystem } from "./memory-file-system.ts";

const nobody: Call = { caller: { uid: 0, gid: 0, pid: 0, umask: 0 }, signal: new AbortController().signal, progress() {} };

function withSpecialNames(fs: MemoryFileSystem): FileSystem {
  let caches: KernelCaches | undefined;
  const change = async (): Promise<void> => {
    const place = { parent: rootInode, name: "watched" };
    const found = await fs.lookup(nobody, place);
    if (found.attributes === undefined || caches === undefined) return;
    const { inode } = found.attributes;
    await fs.write(nobody, { inode, handle: 0 }, Buffer.from("changed behind its back"), {
      offset: 0,
      append: false,
      fromCache: false,
      clearSetIds: false,
    });
    await fs.rename(nobody, place, { parent: rootInode, name: "seen" }, "replace");
    await Promise.all([caches.dropData(inode), caches.dropName(place), caches.dropName({ parent: rootInode, name: "seen" })]);
    process.stdout.write("told\n");
  };
  let replaced = 0;
  const replace = async (): Promise<void> => {
    const place = { parent: rootInode, name: "watched" };
    const found = await fs.lookup(nobody, place);
    if (found.attributes === undefined || caches === undefined) return;
    const { inode } = found.attributes;
    const content = Buffer.alloc(replaced++ % 2 === 0 ? 10_000 : 10, "replaced ");
    await fs.setAttributes(nobody, inode, { sizeBytes: 0, clearSetIds: false });
    await fs.write(nobody, { inode, handle: 0 }, content, { offset: 0, append: false, fromCache: false, clearSetIds: false });
    const modifiedNs = BigInt(replaced) * 1_000_000_000n;
    await fs.setAttributes(nobody, inode, { modified: modifiedNs, clearSetIds: false });
    if (fs.openCount() > 0) await caches.dropFile({ inode, path: ["watched"], sizeBytes: content.length, modifiedNs });
    else await Promise.all([caches.dropData(inode), caches.dropName(place)]);
    process.stdout.write(`replaced ${replaced}\n`);
  };
  process.on("SIGUSR1", () => void change());
  process.on("SIGUSR2", () => void replace());
  return {
    ...fs,
    attach: (given) => {
      caches = given;
      fs.attach(given);
    },
    lookup: (call, place) => (place.name.startsWith("stall") ? new Promise(() => undefined) : fs.lookup(call, place)),
  };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      "write-back": { type: "boolean" },
      "allow-other": { type: "boolean" },
      "valid-ms": { type: "string", default: "1000" },
      "time-limit-ms": { type: "string", default: "10000" },
      "read-ahead-kib": { type: "string" },
      "grace-ms": { type: "string", default: "2000" },
    },
  });
  const stopping = Promise.withResolvers<void>();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => stopping.resolve());
  const metrics = createMetrics();
  const fs = createMemoryFileSystem({
    writeBack: values["write-back"] ?? false,
    validMs: Number(values["valid-ms"]),
  });
  const mounted = await mount(
    {
      mountPoint: positionals[0] ?? "",
      source: "memory",
      readOnly: false,
      allowOther: values["allow-other"] ?? false,
      timeLimitMs: Number(values["time-limit-ms"]),
      ...(values["read-ahead-kib"] !== undefined && { readAheadKibibytes: Number(values["read-ahead-kib"]) }),
    },
    {
      fs: withSpecialNames(fs),
      clock: systemClock,
      log: createLog({ level: "info", format: "text", write: (line) => process.stderr.write(`${line}\n`), wallMs: Date.now }),
      statistics: createStatistics(metrics),
      trace: tracerOf(process.env, (text) => process.stderr.write(text)),
    },
  );
  process.stdout.write("mounted\n");
  await Promise.race([mounted.ended, stopping.promise]);
  await mounted.stop({ graceMs: Number(values["grace-ms"]) });
  process.stdout.write(
    `${JSON.stringify({ open: fs.openCount(), cpuSeconds: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6 })}\n`,
  );
  process.exit(0);
}

if (isMainThread) await main();
else serveThread();
