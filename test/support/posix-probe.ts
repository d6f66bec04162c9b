/** What the POSIX checks look with. */
import * as fs from "node:fs";
import { sys } from "./syscalls.ts";

/** Answers plain data, the same on every correct file system. */
export type PosixCheck = (directory: string) => unknown;
export type PosixChecks = Readonly<Record<string, PosixCheck>>;

/** A multiple of what any of them stores in one piece. */
export const block = 1024 * 1024;

export const mode = (path: string): string => (fs.lstatSync(path).mode & 0o7777).toString(8);
export const owner = (path: string): string => `${fs.lstatSync(path).uid}:${fs.lstatSync(path).gid}`;
export const text = (path: string): string => fs.readFileSync(path, "utf8");
export const long = (bytes: number): string => "n".repeat(bytes);

/** The handle is closed whatever happens. */
export function opened<T>(path: string, flags: string | number, use: (fd: number) => T, permissions = 0o644): T {
  const fd = fs.openSync(path, flags, permissions);
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Which of the three times a change moves. */
export function moved(path: string, change: () => void): string[] {
  const before = fs.lstatSync(path, { bigint: true });
  // A clock of the kernel may stand still for 10 ms.
  sys.utimens(path, before.atimeNs - 50_000_000n, before.mtimeNs - 50_000_000n);
  const start = fs.lstatSync(path, { bigint: true });
  const until = performance.now() + 25;
  while (performance.now() < until);
  change();
  const after = fs.lstatSync(path, { bigint: true });
  return (["mtimeNs", "ctimeNs"] as const).filter((name) => after[name] > start[name]);
}
