/** Calls of Linux that node:fs does not have. A failure is thrown with the name of its errno, as node:fs throws it. */
import { dlopen, FFIType, read as peek, ptr, toArrayBuffer } from "bun:ffi";
import { errnoName } from "../../src/fuse/errno.ts";

const { ptr: pointer, i32, u32, i64_fast } = FFIType;

const libc = dlopen("libc.so.6", {
  mknod: { args: [pointer, u32, i64_fast], returns: i32 },
  renameat2: { args: [i32, pointer, i32, pointer, u32], returns: i32 },
  setxattr: { args: [pointer, pointer, pointer, i64_fast, i32], returns: i32 },
  getxattr: { args: [pointer, pointer, pointer, i64_fast], returns: i64_fast },
  listxattr: { args: [pointer, pointer, i64_fast], returns: i64_fast },
  removexattr: { args: [pointer, pointer], returns: i32 },
  fallocate: { args: [i32, i32, i64_fast, i64_fast], returns: i32 },
  lseek: { args: [i32, i64_fast, i32], returns: i64_fast },
  copy_file_range: { args: [i32, pointer, i32, pointer, i64_fast, u32], returns: i64_fast },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  fcntl: { args: [i32, i32, pointer], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  posix_fadvise: { args: [i32, i64_fast, i64_fast, i32], returns: i32 },
  setfsuid: { args: [u32], returns: i32 },
  setfsgid: { args: [u32], returns: i32 },
  umask: { args: [u32], returns: u32 },
  mmap: { args: [pointer, i64_fast, i32, i32, i32, i64_fast], returns: pointer },
  msync: { args: [pointer, i64_fast, i32], returns: i32 },
  munmap: { args: [pointer, i64_fast], returns: i32 },
  __errno_location: { args: [], returns: pointer },
}).symbols;

const AT_FDCWD = -100;
const cString = (text: string | Uint8Array): Buffer => Buffer.concat([Buffer.from(text), Buffer.of(0)]);

function check(result: number | bigint, call: string): number {
  if (result >= 0) return Number(result);
  const place = libc.__errno_location();
  const code = errnoName(place === null ? 0 : peek.i32(place, 0));
  throw Object.assign(new Error(`${code}: ${call}`), { code });
}

export const sys = {
  mknod: (path: string, mode: number, device = 0): number => check(libc.mknod(ptr(cString(path)), mode, device), "mknod"),
  rename: (from: string, to: string, flags: number): number =>
    check(libc.renameat2(AT_FDCWD, ptr(cString(from)), AT_FDCWD, ptr(cString(to)), flags), "renameat2"),
  setxattr: (path: string, name: string, value: Uint8Array, flags = 0): number =>
    check(libc.setxattr(ptr(cString(path)), ptr(cString(name)), value.length ? ptr(value) : null, value.length, flags), "setxattr"),
  getxattr: (path: string, name: string, sizeBytes = 65_536): Buffer => {
    const into = Buffer.alloc(Math.max(1, sizeBytes));
    return into.subarray(0, check(libc.getxattr(ptr(cString(path)), ptr(cString(name)), ptr(into), sizeBytes), "getxattr"));
  },
  listxattr: (path: string): string[] => {
    const into = Buffer.alloc(65_536);
    const length = check(libc.listxattr(ptr(cString(path)), ptr(into), into.length), "listxattr");
    return into.toString("utf8", 0, length).split("\0").filter(Boolean);
  },
  removexattr: (path: string, name: string): number => check(libc.removexattr(ptr(cString(path)), ptr(cString(name))), "removexattr"),
  fallocate: (fd: number, mode: number, offset: number, length: number): number =>
    check(libc.fallocate(fd, mode, offset, length), "fallocate"),
  lseek: (fd: number, offset: number, whence: number): number => check(libc.lseek(fd, offset, whence), "lseek"),
  copyFileRange: (from: number, fromOffset: number, to: number, toOffset: number, length: number): number => {
    const offsets = new BigInt64Array([BigInt(fromOffset), BigInt(toOffset)]);
    return check(libc.copy_file_range(from, ptr(offsets, 0), to, ptr(offsets, 8), length, 0), "copy_file_range");
  },
  /** `undefined` leaves a time as it is (UTIME_OMIT), "now" is UTIME_NOW. */
  utimens: (path: string, accessed: bigint | "now" | undefined, modified: bigint | "now" | undefined): number => {
    const times = new BigInt64Array([accessed, modified].flatMap(timespec));
    return check(libc.utimensat(AT_FDCWD, ptr(cString(path)), ptr(times), 0), "utimensat");
  },
  /** F_GETLK 5, F_SETLK 6; answers type, start and length. */
  lock: (fd: number, command: number, type: number, start: number, length: number): [number, number, number] => {
    const lock = new DataView(new ArrayBuffer(32));
    lock.setInt16(0, type, true);
    lock.setBigInt64(8, BigInt(start), true);
    lock.setBigInt64(16, BigInt(length), true);
    check(libc.fcntl(fd, command, ptr(lock.buffer)), "fcntl");
    return [lock.getInt16(0, true), Number(lock.getBigInt64(8, true)), Number(lock.getBigInt64(16, true))];
  },
  flock: (fd: number, operation: number): number => check(libc.flock(fd, operation), "flock"),
  /** Has the kernel forget what it holds of a file; what is in memory anyway stays. */
  dropPages: (fd: number): void => {
    const POSIX_FADV_DONTNEED = 4;
    libc.posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  },
  umask: (mask: number): number => libc.umask(mask),
  /** Runs with the rights of an ordinary user. */
  as: <T>(uid: number, gid: number, run: () => T): T => {
    libc.setfsgid(gid);
    libc.setfsuid(uid);
    try {
      return run();
    } finally {
      libc.setfsuid(0);
      libc.setfsgid(0);
    }
  },
  /** Maps a file, shared and writable, for the time of `use`. */
  mapped: <T>(fd: number, length: number, use: (memory: Uint8Array) => T): T => {
    const [PROT_READ_WRITE, MAP_SHARED, MS_SYNC] = [3, 1, 4];
    const place = libc.mmap(null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    if (place === null || Number(place) === -1) return check(-1, "mmap") as T;
    try {
      const result = use(new Uint8Array(toArrayBuffer(place, 0, length)));
      check(libc.msync(place, length, MS_SYNC), "msync");
      return result;
    } finally {
      libc.munmap(place, length);
    }
  },
};

function timespec(time: bigint | "now" | undefined): [bigint, bigint] {
  const [UTIME_NOW, UTIME_OMIT] = [(1n << 30n) - 1n, (1n << 30n) - 2n];
  if (time === undefined) return [0n, UTIME_OMIT];
  if (time === "now") return [0n, UTIME_NOW];
  const rest = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [(time - rest) / 1_000_000_000n, rest];
}

/** What it answers, or the name of its errno. */
export function attempt<T>(run: () => T): T | string {
  try {
    return run();
  } catch (thrown) {
    const code = (thrown as { code?: unknown }).code;
    if (typeof code === "string") return code;
    throw thrown;
  }
}
