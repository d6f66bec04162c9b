/** Local files for end-to-end tests: contents from a seed, trees with everything a tree can hold, and what stands where. */
import { createCipheriv, createHash } from "node:crypto";
import {
  chmodSync,
  type Dirent,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Incompressible bytes that the same seed gives again, as fast as memory is written. */
export function bytesOf(seed: string, count: number): Buffer<ArrayBuffer> {
  const key = createHash("sha256").update(seed).digest();
  const out = Buffer.alloc(count);
  const zeros = Buffer.alloc(Math.min(count, 1 << 20));
  const stream = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  for (let at = 0; at < count; at += zeros.length) stream.update(zeros.subarray(0, Math.min(zeros.length, count - at))).copy(out, at);
  return out;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A name of 255 bytes, not all of one byte each. */
export const longestName = `${"ü".repeat(100)}${"x".repeat(55)}`;

/** Names, kinds, modes and sizes that have been trouble somewhere. */
export function makeTree(root: string): void {
  const directory = (path: string): void => void mkdirSync(join(root, path), { recursive: true });
  const file = (path: string, content: Uint8Array | string, mode = 0o644): void => {
    const full = join(root, path);
    writeFileSync(full, content);
    chmodSync(full, mode);
    utimesSync(full, 1_700_000_000.25, 1_700_000_000.25);
  };
  for (const path of ["deep/er/still", "empty", "with space/ leading", "many"]) directory(path);
  file("empty file", "");
  file("with space/a b.txt", "spaces");
  file("with space/ leading/ also", "leading");
  file("line\nbreak", "a name of two lines");
  file("-r", "looks like a flag");
  file("ünïcödé-日本語-🙂", "unicode");
  file(longestName, "a long name");
  file("tab\tand \u001b[31mcolour", "control characters");
  file("deep/er/still/medium", bytesOf("medium", 300_000), 0o600);
  file("deep/large", bytesOf("large", 17 * 1024 * 1024 + 5), 0o640);
  file("run.sh", "#!/bin/sh\n", 0o755);
  file("read-only", "read only", 0o444);
  file("of 64 KiB", bytesOf("64", 65_536));
  for (let index = 0; index < 200; index++) file(`many/file-${index}`, `content ${index % 50}\n`);
  symlinkSync("deep/large", join(root, "link"));
  symlinkSync("/nowhere/at all", join(root, "dangling"));
  symlinkSync("..", join(root, "deep/up"));
  directory("closed");
  file("closed/inside", "in a directory that may not be written");
  chmodSync(join(root, "closed"), 0o555);
}

/** One line for everything below a folder: kind, mode, content or target, and for files the time in milliseconds. */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const visit = (relative: string): void => {
    const entries: Dirent[] = readdirSync(join(root, relative), { withFileTypes: true });
    for (const { name } of entries) {
      const path = join(relative, name);
      const full = join(root, path);
      const stats = lstatSync(full);
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) {
        lines.push(`${JSON.stringify(path)} directory ${mode}`);
        visit(path);
      } else if (stats.isSymbolicLink()) lines.push(`${JSON.stringify(path)} -> ${readlinkSync(full)}`);
      else lines.push(`${JSON.stringify(path)} ${mode} ${Math.round(stats.mtimeMs)} ${stats.size} ${sha256(readFileSync(full))}`);
    }
  };
  visit("");
  return lines.sort();
}

/** Bytes that the folder's files really take on the disk, as du(1) counts. */
export function diskBytes(folder: string): number {
  const stats = lstatSync(folder);
  const own = stats.blocks * 512;
  if (!stats.isDirectory()) return own;
  return readdirSync(folder).reduce((sum, name) => sum + diskBytes(join(folder, name)), own);
}

/** Every file below a folder, by path. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Where a node keeps a large chunk. */
export function chunkPath(dataDirectory: string, id: string): string {
  return join(dataDirectory, "chunks", id.slice(0, 2), id.slice(2, 4), id);
}

/** Why no small disk can be had here, or undefined. */
export const smallDiskReason: string | undefined = whyNoSmallDisk();

function whyNoSmallDisk(): string | undefined {
  if (process.platform !== "linux") return "needs a tmpfs, so Linux";
  if (process.getuid?.() !== 0) return "needs root to mount a tmpfs";
  const probe = mkdtempSync(join(tmpdir(), "collective-disk-"));
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", probe], { stderr: "ignore" }).success;
  if (mounted) Bun.spawnSync(["umount", probe]);
  rmSync(probe, { recursive: true, force: true });
  return mounted ? undefined : "this system mounts no tmpfs for us";
}

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
}

/** A file system of its own that is full after so many bytes. */
export async function mountSmallDisk(bytes: number): Promise<SmallDisk> {
  const path = mkdtempSync(join(tmpdir(), "collective-disk-"));
  const { success, stderr } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path]);
  if (!success) throw new Error(`no tmpfs: ${stderr.toString()}`);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      // Lazily, for a process that was killed may still be about to close its files.
      Bun.spawnSync(["umount", "-l", path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
