/**
 * All that is particular to Linux: the C library, /dev/fuse, mount(2), the helper of ordinary users, and the table of mounts. Another
 * system needs this file again and no other.
 *
 * Each function here says its failure as an errno: it is read at once and on the same thread, before anything else can set it.
 */
import { dlopen, FFIType, read as peek, ptr } from "bun:ffi";
import { fstatSync } from "node:fs";
import { constants } from "node:os";

const { ptr: pointer, i32, u64, i64_fast } = FFIType;

const symbols = {
  open: { args: [pointer, i32, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  read: { args: [i32, pointer, u64], returns: i64_fast },
  write: { args: [i32, pointer, u64], returns: i64_fast },
  writev: { args: [i32, pointer, i32], returns: i64_fast },
  poll: { args: [pointer, u64, i32], returns: i32 },
  mount: { args: [pointer, pointer, pointer, u64, pointer], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
  truncate: { args: [pointer, i64_fast], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  gettid: { args: [], returns: i32 },
  umount2: { args: [pointer, i32], returns: i32 },
  socketpair: { args: [i32, i32, i32, pointer], returns: i32 },
  recvmsg: { args: [i32, pointer, i32], returns: i64_fast },
  __errno_location: { args: [], returns: pointer },
} as const;

export const isSupported = process.platform === "linux";

type Libc = ReturnType<typeof load>;

/** glibc, then musl under the names of both processors. */
const libraryNames = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

function load() {
  let failure: unknown;
  for (const name of libraryNames) {
    try {
      return dlopen(name, symbols).symbols;
    } catch (thrown) {
      failure = thrown;
    }
  }
  throw failure;
}

let loaded: Libc | undefined;
const libc = (): Libc => {
  loaded ??= load();
  return loaded;
};

function errno(): number {
  const place = libc().__errno_location();
  return place === null ? constants.errno.EIO : peek.i32(place, 0);
}

const cString = (text: string): Buffer => Buffer.from(`${text}\0`);

const O_RDWR = 0o2;
const O_NONBLOCK = 0o4000;
const O_NOFOLLOW = 0o400000;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const AT_FDCWD = -100;

/** What a session needs of /dev/fuse. */
export interface Device {
  /** The bytes of one request, or an errno as a negative number: EAGAIN when there is none now, ENODEV when it is unmounted. */
  read(into: Uint8Array): number;
  /** Answers, whole or not at all: 0, or an errno. */
  write(head: Uint8Array, headBytes: number, pieces: readonly Uint8Array[]): number;
}

export interface LinuxDevice extends Device {
  /** For another thread of this process. */
  readonly descriptor: number;
  close(): void;
}

/** IOV_MAX is 1,024, and the head takes one. */
const piecesMax = 1023;
const ioVectorBytes = 16;
const twoTo32 = 2 ** 32;

export function openDevice(): LinuxDevice | { readonly errno: number } {
  const descriptor = libc().open(ptr(cString("/dev/fuse")), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  return descriptor < 0 ? { errno: errno() } : deviceOf(descriptor);
}

/** Of a descriptor that is in non-blocking mode. */
function deviceOf(descriptor: number): LinuxDevice {
  const c = libc();
  const memory = new ArrayBuffer((piecesMax + 1) * ioVectorBytes);
  const vectors = new DataView(memory);
  const vectorsAt = ptr(memory);
  const point = (index: number, bytes: Uint8Array, length: number): void => {
    const [at, address] = [index * ioVectorBytes, ptr(bytes)];
    vectors.setUint32(at, address, true);
    vectors.setUint32(at + 4, Math.floor(address / twoTo32), true);
    vectors.setUint32(at + 8, length, true);
  };
  return {
    descriptor,
    read: (into) => {
      const received = Number(c.read(descriptor, ptr(into), into.length));
      return received < 0 ? -errno() : received;
    },
    write: (head, headBytes, pieces) => {
      if (pieces.length === 0) return Number(c.write(descriptor, ptr(head), headBytes)) < 0 ? errno() : 0;
      point(0, head, headBytes);
      let count = 1;
      for (const piece of pieces.length > piecesMax ? [Buffer.concat(pieces)] : pieces) {
        if (piece.length > 0) point(count++, piece, piece.length);
      }
      return Number(c.writev(descriptor, vectorsAt, count)) < 0 ? errno() : 0;
    },
    close: () => {
      c.close(descriptor);
    },
  };
}

/** Blocks the thread: true when there is something to read, or to hear that it is over. */
export function waitUntilReadable(descriptor: number, timeoutMs: number): boolean {
  const POLLIN = 1;
  const request = new DataView(new ArrayBuffer(8));
  request.setInt32(0, descriptor, true);
  request.setInt16(4, POLLIN, true);
  return libc().poll(ptr(request.buffer), 1, timeoutMs) !== 0;
}

/** Blocks the thread for as long as the kernel takes. 0 or an errno. */
export function writeBlocking(descriptor: number, bytes: Uint8Array): number {
  return Number(libc().write(descriptor, ptr(bytes), bytes.length)) < 0 ? errno() : 0;
}

/** As requests of this thread name it. */
export function threadId(): number {
  return libc().gettid();
}

/** What the kernel is to believe of a file. */
export interface FileState {
  readonly path: string;
  readonly inode: number;
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
  /** The message by which the kernel writes what it has of it, and drops it. */
  readonly drop: Uint8Array;
}

/** Of the mount. */
export interface StateDevice {
  /** Of /dev/fuse. */
  readonly descriptor: number;
  /** As stat(2) names it. */
  readonly device: number;
}

/**
 * Has the kernel set a file's size and time of change as if this thread changed them; blocks it for as long as the mount takes to answer. Only
 * of that inode of that mount: whatever else the path leads to meanwhile is left alone, which is ESTALE. 0 or an errno.
 */
export function stateBlocking({ path, inode, device, descriptor: fuse, sizeBytes, modifiedNs, drop }: FileState & StateDevice): number {
  const c = libc();
  const descriptor = c.open(ptr(cString(path)), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (descriptor < 0) return errno();
  try {
    const found = fstatSync(descriptor);
    if (found.dev !== device || found.ino !== inode || !found.isFile()) return constants.errno.ESTALE;
    // The very file, whatever has its name.
    const itself = cString(`/proc/self/fd/${descriptor}`);
    const UTIME_OMIT = (1n << 30n) - 2n;
    const times = new BigInt64Array([0n, UTIME_OMIT, modifiedNs / nsPerSecond, modifiedNs % nsPerSecond]);
    // Just before: a truncation takes away what a program has written behind that size since.
    writeBlocking(fuse, drop);
    const isSet = c.truncate(ptr(itself), sizeBytes) === 0 && c.utimensat(AT_FDCWD, ptr(itself), ptr(times), 0) === 0;
    return isSet ? 0 : errno();
  } finally {
    c.close(descriptor);
  }
}

/** As stat(2) has it, of how /proc/self/mountinfo has it. */
export function deviceNumber(device: string): number {
  const [major = 0, minor = 0] = device.split(":").map(Number);
  return (major & 0xfff) * 256 + (minor & 0xff) + (minor & ~0xff) * 4096;
}

const nsPerSecond = 1_000_000_000n;

export interface MountRequest {
  readonly mountPoint: string;
  /** Shown as the device of the mount. */
  readonly source: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
}

/** As mount(8) and /etc/fstab know it: `fuse.` and this. */
export const fileSystemType = "collective";

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;

/** With mount(2), which is root's. 0 or an errno. */
export function mountDirectly(device: LinuxDevice, request: MountRequest): number {
  const options = [
    `fd=${device.descriptor}`,
    "rootmode=40000",
    `user_id=${process.getuid?.() ?? 0}`,
    `group_id=${process.getgid?.() ?? 0}`,
    "default_permissions",
    ...(request.allowOther ? ["allow_other"] : []),
  ];
  const flags = MS_NOSUID | MS_NODEV | (request.readOnly ? MS_RDONLY : 0);
  const [source, target, type, data] = [request.source, request.mountPoint, `fuse.${fileSystemType}`, options.join(",")].map(cString);
  if (!source || !target || !type || !data) return constants.errno.EINVAL;
  return libc().mount(ptr(source), ptr(target), ptr(type), flags, ptr(data)) < 0 ? errno() : 0;
}

const MNT_DETACH = 2;

/** Blocks the thread until what is dirty has been written, which a mount's own thread would have to serve. 0 or an errno. */
export function unmountBlocking(mountPoint: string, lazy: boolean): number {
  return libc().umount2(ptr(cString(mountPoint)), lazy ? MNT_DETACH : 0) < 0 ? errno() : 0;
}

/** `fusermount3`, which is set-user-id root; undefined when it is not installed. */
export function mountHelper(): string | undefined {
  return Bun.which("fusermount3") ?? Bun.which("fusermount") ?? undefined;
}

export type HelperResult<T> = { readonly value: T } | { readonly failure: string };

/** The helper mounts and passes the descriptor back through a socket. */
export async function mountByHelper(helper: string, request: MountRequest): Promise<HelperResult<LinuxDevice>> {
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  const ends = new Int32Array(new ArrayBuffer(8));
  if (libc().socketpair(AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, ptr(ends)) < 0) return { failure: `socketpair failed, errno ${errno()}` };
  const [own = -1, theirs = -1] = ends;
  try {
    const options = [`fsname=${request.source}`, `subtype=${fileSystemType}`, "nosuid", "nodev", "default_permissions"];
    if (request.allowOther) options.push("allow_other");
    if (request.readOnly) options.push("ro");
    const child = Bun.spawn([helper, "-o", options.join(","), "--", request.mountPoint], {
      stdio: ["ignore", "ignore", "pipe", theirs],
      env: { ...process.env, _FUSE_COMMFD: "3" },
    });
    const [said, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    if (exitCode !== 0) return { failure: said.trim() || `${helper} ended with ${exitCode}` };
    const descriptor = receiveDescriptor(own);
    return descriptor === undefined ? { failure: `${helper} passed nothing on` } : { value: deviceOf(descriptor) };
  } finally {
    libc().close(own);
    libc().close(theirs);
  }
}

/** Of SCM_RIGHTS. The helper has ended, so what it sent is there. */
function receiveDescriptor(socket: number): number | undefined {
  const [MSG_DONTWAIT, MSG_CMSG_CLOEXEC, SOL_SOCKET, SCM_RIGHTS] = [0x40, 0x40000000, 1, 1];
  // msghdr of 56 bytes, one iovec of 16, the byte that it names, and one control message of 24.
  const [vectorAt, byteAt, controlAt, controlBytes] = [64, 80, 88, 24];
  const memory = new ArrayBuffer(128);
  const view = new DataView(memory);
  const base = BigInt(ptr(memory));
  view.setBigUint64(16, base + BigInt(vectorAt), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, base + BigInt(controlAt), true);
  view.setBigUint64(40, BigInt(controlBytes), true);
  view.setBigUint64(vectorAt, base + BigInt(byteAt), true);
  view.setBigUint64(vectorAt + 8, 1n, true);
  if (Number(libc().recvmsg(socket, ptr(memory), MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) <= 0) return undefined;
  const isDescriptor = view.getInt32(controlAt + 8, true) === SOL_SOCKET && view.getInt32(controlAt + 12, true) === SCM_RIGHTS;
  if (!isDescriptor) return undefined;
  const descriptor = view.getInt32(controlAt + 16, true);
  setNonBlocking(descriptor);
  return descriptor;
}

function setNonBlocking(descriptor: number): void {
  const [F_GETFL, F_SETFL] = [3, 4];
  libc().fcntl(descriptor, F_SETFL, libc().fcntl(descriptor, F_GETFL, 0) | O_NONBLOCK);
}

/** What it said when it failed, or undefined. */
export async function unmountByHelper(helper: string, mountPoint: string, lazy: boolean): Promise<string | undefined> {
  const child = Bun.spawn([helper, lazy ? "-uz" : "-u", "--", mountPoint], { stdio: ["ignore", "ignore", "pipe"] });
  const [said, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  return exitCode === 0 ? undefined : said.trim() || `${helper} ended with ${exitCode}`;
}

export interface MountEntry {
  readonly mountPoint: string;
  readonly type: string;
  readonly device: string;
}

/** The last one at a place is the one on top. */
export async function readMounts(): Promise<readonly MountEntry[]> {
  const lines = (await Bun.file("/proc/self/mountinfo").text()).split("\n");
  return lines.flatMap((line) => {
    const [fields = "", rest = ""] = line.split(" - ");
    const [, , device, , place] = fields.split(" ");
    const [type] = rest.split(" ");
    return device && place && type ? [{ device, mountPoint: plainText(place), type }] : [];
  });
}

/** Space, tab, line break and backslash stand there as `\040` and so on. */
function plainText(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Root's, and best effort: what the kernel reads ahead of a program that reads on. */
export async function setReadAhead(device: string, kibibytes: number): Promise<void> {
  await Bun.write(`/sys/class/bdi/${device}/read_ahead_kb`, `${kibibytes}`).catch(() => undefined);
}
