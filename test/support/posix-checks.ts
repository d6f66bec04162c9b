/**
 * What POSIX and Linux promise of a file system, as functions on any directory of one. Each answers what it saw; that is right when it is
 * what the same function sees on a file system of the kernel, run as control. They need root, to act as others and to make devices.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { attempt, sys } from "./syscalls.ts";

/** Answers plain data, the same on every correct file system. */
export type PosixCheck = (directory: string) => unknown;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE] = [1, 2, 16];
const [F_GETLK, F_SETLK, F_OFD_GETLK, F_OFD_SETLK] = [5, 6, 36, 37];
const [F_RDLCK, F_WRLCK, F_UNLCK] = [0, 1, 2];
const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8];
/** A multiple of what any of them stores in one piece. */
const block = 1024 * 1024;

const mode = (path: string): string => (fs.lstatSync(path).mode & 0o7777).toString(8);
const owner = (path: string): string => `${fs.lstatSync(path).uid}:${fs.lstatSync(path).gid}`;
const text = (path: string): string => fs.readFileSync(path, "utf8");
const long = (bytes: number): string => "n".repeat(bytes);

/** The handle is closed whatever happens. */
function opened<T>(path: string, flags: string | number, use: (fd: number) => T, permissions = 0o644): T {
  const fd = fs.openSync(path, flags, permissions);
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Which of the three times a change moves. */
function moved(path: string, change: () => void): string[] {
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

const names: Readonly<Record<string, PosixCheck>> = {
  "names of 255 bytes exist and longer ones cannot": (d) => [
    attempt(() => fs.writeFileSync(join(d, long(255)), "x")),
    attempt(() => fs.writeFileSync(join(d, long(256)), "x")),
    attempt(() => fs.mkdirSync(join(d, long(256)))),
    attempt(() => fs.lstatSync(join(d, long(256)))),
    attempt(() => fs.renameSync(join(d, long(255)), join(d, long(256)))),
    attempt(() => fs.symlinkSync("x", join(d, long(256)))),
    fs.readdirSync(d),
  ],
  "names are bytes: case, spaces, accents and control characters differ": (d) => {
    const all = ["a", "A", " ", "a ", "\n", "\x7f", "e\u0301", "é", "名前", "💾", "...", "-rf", "a:b", "a\\b", "*", "con"];
    for (const name of all) fs.writeFileSync(join(d, name), name);
    return [fs.readdirSync(d).sort(), all.every((name) => text(join(d, name)) === name)];
  },
  "paths of more than 4,096 bytes cannot be": (d) => attempt(() => fs.statSync(`${d}/${`${long(200)}/`.repeat(25)}`)),
  "a directory of many entries is listed whole, once each": (d) => {
    const all = Array.from({ length: 2_500 }, (_, index) => `entry ${index} ${long(index % 90)}`);
    for (const name of all) fs.writeFileSync(join(d, name), "");
    return [new Set(fs.readdirSync(d)).size, fs.readdirSync(d).length, fs.readdirSync(d).sort().join() === all.sort().join()];
  },
  "a directory may lose entries while it is listed": (d) => {
    for (let index = 0; index < 600; index++) fs.writeFileSync(join(d, `${index}`), "");
    const seen = new Set<string>();
    const listing = fs.opendirSync(d);
    for (let one = listing.readSync(); one; one = listing.readSync()) {
      seen.add(one.name);
      fs.unlinkSync(join(d, one.name));
    }
    listing.closeSync();
    return [seen.size, fs.readdirSync(d)];
  },
  "kinds in a listing are what they are": (d) => {
    fs.writeFileSync(join(d, "file"), "");
    fs.mkdirSync(join(d, "directory"));
    fs.symlinkSync("file", join(d, "link"));
    sys.mknod(join(d, "fifo"), 0o010600);
    return fs
      .readdirSync(d, { withFileTypes: true })
      .map((one) => [one.name, one.isFile(), one.isDirectory(), one.isSymbolicLink(), one.isFIFO()])
      .sort();
  },
  "directories count their directories": (d) => {
    const links = (): number => fs.statSync(d).nlink;
    const seen = [links()];
    fs.mkdirSync(join(d, "a"));
    fs.mkdirSync(join(d, "b"));
    seen.push(links());
    fs.renameSync(join(d, "a"), join(d, "b", "a"));
    seen.push(links(), fs.statSync(join(d, "b")).nlink);
    sys.rename(join(d, "b", "a"), join(d, "b", "a"), 0);
    fs.writeFileSync(join(d, "f"), "");
    sys.rename(join(d, "f"), join(d, "b", "a"), 2);
    seen.push(links(), fs.statSync(join(d, "b")).nlink);
    return seen;
  },
  "a directory cannot be moved into itself, nor removed as . or ..": (d) => {
    fs.mkdirSync(join(d, "a", "b"), { recursive: true });
    return [
      attempt(() => fs.renameSync(join(d, "a"), join(d, "a", "b", "c"))),
      attempt(() => sys.rename(join(d, "a"), join(d, "a", "b"), 2)),
      attempt(() => fs.rmdirSync(`${d}/a/b/.`)),
      attempt(() => fs.rmdirSync(`${d}/a/b/..`)),
      attempt(() => fs.renameSync(`${d}/a/.`, join(d, "x"))),
      attempt(() => fs.mkdirSync(`${d}/.`)),
    ];
  },
  "a removed directory takes nothing any more": (d) => {
    fs.mkdirSync(join(d, "gone"));
    return opened(join(d, "gone"), fs.constants.O_RDONLY, (fd) => {
      fs.rmdirSync(join(d, "gone"));
      const self = `/proc/self/fd/${fd}`;
      return [fs.fstatSync(fd).nlink, attempt(() => fs.writeFileSync(`${self}/x`, "")), attempt(() => fs.mkdirSync(`${self}/x`))];
    });
  },
  "a rename keeps the file and what is open of it": (d) => {
    fs.writeFileSync(join(d, "a"), "first");
    fs.writeFileSync(join(d, "b"), "second");
    return opened(join(d, "b"), "r", (fd) => {
      const inode = fs.statSync(join(d, "a")).ino;
      fs.renameSync(join(d, "a"), join(d, "b"));
      return [text(join(d, "b")), fs.statSync(join(d, "b")).ino === inode, fs.readFileSync(fd, "utf8"), fs.fstatSync(fd).nlink];
    });
  },
  "a rename between two names of one file does nothing": (d) => {
    fs.writeFileSync(join(d, "a"), "x");
    fs.linkSync(join(d, "a"), join(d, "b"));
    fs.renameSync(join(d, "a"), join(d, "b"));
    return [fs.readdirSync(d).sort(), fs.statSync(join(d, "a")).nlink];
  },
  "an exchange swaps, also a directory and a file": (d) => {
    fs.mkdirSync(join(d, "directory", "deep"), { recursive: true });
    fs.writeFileSync(join(d, "directory", "deep", "file"), "x");
    fs.writeFileSync(join(d, "other"), "y");
    sys.rename(join(d, "directory", "deep"), join(d, "other"), 2);
    return [
      fs.readdirSync(join(d, "other")),
      text(join(d, "directory", "deep")),
      fs.statSync(join(d, "other", "..")).ino === fs.statSync(d).ino,
    ];
  },
  "hard links are one file until the last is gone": (d) => {
    fs.writeFileSync(join(d, "a"), "one");
    fs.linkSync(join(d, "a"), join(d, "b"));
    fs.appendFileSync(join(d, "b"), " two");
    fs.chmodSync(join(d, "b"), 0o600);
    const seen = [text(join(d, "a")), mode(join(d, "a")), fs.statSync(join(d, "a")).nlink];
    fs.unlinkSync(join(d, "a"));
    return [...seen, fs.statSync(join(d, "b")).nlink, text(join(d, "b")), attempt(() => fs.linkSync(d, join(d, "c")))];
  },
  "symbolic links hold any text and are followed": (d) => {
    fs.mkdirSync(join(d, "directory"));
    fs.writeFileSync(join(d, "directory", "file"), "x");
    fs.symlinkSync("directory", join(d, "link"));
    fs.symlinkSync(long(4095), join(d, "long"));
    return [
      text(join(d, "link", "file")),
      fs.readlinkSync(join(d, "long")).length,
      fs.lstatSync(join(d, "long")).size,
      attempt(() => fs.symlinkSync(long(4096), join(d, "longer"))),
      attempt(() => fs.symlinkSync("", join(d, "empty"))),
      attempt(() => fs.readFileSync(join(d, "long"))),
      fs.realpathSync(join(d, "link", "file")).endsWith("directory/file"),
    ];
  },
  "a file without a name lives while it is open": (d) => {
    const path = join(d, "file");
    return opened(path, "w+", (fd) => {
      fs.writeSync(fd, "before");
      fs.unlinkSync(path);
      fs.writeSync(fd, " and after");
      fs.fchmodSync(fd, 0o640);
      fs.ftruncateSync(fd, 12);
      const stat = fs.fstatSync(fd);
      const content = Buffer.alloc(20);
      return [stat.nlink, stat.size, stat.mode & 0o777, content.toString("utf8", 0, fs.readSync(fd, content, 0, 20, 0)), fs.readdirSync(d)];
    });
  },
  "a new file under the old name is another": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "old");
    return opened(path, "r", (fd) => {
      fs.unlinkSync(path);
      fs.writeFileSync(path, "new");
      return [fs.readFileSync(fd, "utf8"), text(path), fs.fstatSync(fd).ino === fs.statSync(path).ino];
    });
  },
};

const owners: Readonly<Record<string, PosixCheck>> = {
  "the umask takes bits from what is made": (d) => {
    const before = sys.umask(0o027);
    try {
      fs.writeFileSync(join(d, "file"), "", { mode: 0o666 });
      fs.mkdirSync(join(d, "directory"), 0o777);
      sys.mknod(join(d, "fifo"), 0o010666);
      return ["file", "directory", "fifo"].map((name) => mode(join(d, name)));
    } finally {
      sys.umask(before);
    }
  },
  "what is made belongs to its maker, in a set-group-id directory to its group": (d) => {
    fs.chmodSync(d, 0o2777);
    fs.chownSync(d, 0, 4321);
    fs.chmodSync(d, 0o2777);
    sys.as(1001, 1002, () => {
      fs.writeFileSync(join(d, "file"), "");
      fs.mkdirSync(join(d, "directory"), 0o755);
    });
    return ["file", "directory"].map((name) => [owner(join(d, name)), mode(join(d, name))]);
  },
  "in a sticky directory each removes only what is his own": (d) => {
    fs.chmodSync(d, 0o1777);
    for (const name of ["a", "b", "c"]) fs.writeFileSync(join(d, name), "");
    fs.chownSync(join(d, "a"), 1001, 1001);
    return sys.as(1001, 1001, () => [
      attempt(() => fs.unlinkSync(join(d, "b"))),
      attempt(() => fs.renameSync(join(d, "b"), join(d, "x"))),
      attempt(() => fs.renameSync(join(d, "a"), join(d, "c"))),
      attempt(() => fs.renameSync(join(d, "a"), join(d, "mine"))),
      attempt(() => fs.unlinkSync(join(d, "mine"))),
      fs.readdirSync(d).sort(),
    ]);
  },
  "set-id bits go when somebody else writes, truncates or owns": (d) => {
    const each = (change: (path: string) => unknown): string[] =>
      [0o6777, 0o6767].map((bits, index) => {
        const path = join(d, `${index}`);
        fs.writeFileSync(path, "content");
        fs.chmodSync(path, bits);
        const result = attempt(() => change(path)) ?? "ok";
        const seen = `${result} ${mode(path)}`;
        fs.unlinkSync(path);
        return seen;
      });
    const stranger = <T>(run: () => T): T => sys.as(1001, 1001, run);
    return [
      each((path) => fs.appendFileSync(path, "more")),
      each((path) => stranger(() => fs.appendFileSync(path, "more"))),
      each((path) => stranger(() => fs.truncateSync(path, 1))),
      each((path) => stranger(() => fs.writeFileSync(path, ""))),
      each((path) => fs.chownSync(path, 1001, 1001)),
      each((path) => fs.chownSync(path, 4294967295, 1001)),
      each((path) => fs.truncateSync(path, 1)),
    ];
  },
  "only the owner changes modes and times, and gives to his own groups": (d) => {
    const path = join(d, "file");
    fs.chmodSync(d, 0o755);
    fs.writeFileSync(path, "x", { mode: 0o666 });
    fs.chmodSync(path, 0o666);
    fs.chownSync(path, 1001, 1001);
    const tries = () => [
      attempt(() => fs.chmodSync(path, 0o600)),
      attempt(() => fs.chmodSync(path, 0o666)),
      attempt(() => fs.chownSync(path, 1002, 1001)),
      attempt(() => fs.chownSync(path, 1001, 1001)),
      attempt(() => fs.chownSync(path, 1001, 1003)),
      attempt(() => sys.utimens(path, 1n, 1n)),
      attempt(() => sys.utimens(path, "now", "now")),
      attempt(() => sys.setxattr(path, "user.a", Buffer.from("b"))),
      attempt(() => sys.setxattr(path, "trusted.a", Buffer.from("b"))),
    ];
    return [sys.as(1001, 1001, tries), sys.as(1002, 1002, tries)];
  },
  "without search permission nothing below is reached": (d) => {
    fs.mkdirSync(join(d, "closed"));
    fs.writeFileSync(join(d, "closed", "file"), "x");
    fs.chmodSync(d, 0o755);
    const seen = [0o755, 0o711, 0o744, 0o700].map((bits) => {
      fs.chmodSync(join(d, "closed"), bits);
      return sys.as(1001, 1001, () => [
        attempt(() => fs.readdirSync(join(d, "closed"))),
        attempt(() => fs.statSync(join(d, "closed", "file")).size),
        attempt(() => text(join(d, "closed", "file"))),
        attempt(() => fs.statSync(join(d, "closed", "none"))),
      ]);
    });
    return seen;
  },
};

const times: Readonly<Record<string, PosixCheck>> = {
  "each change moves the times it should": (d) => {
    const [file, directory] = [join(d, "file"), join(d, "directory")];
    fs.writeFileSync(file, "x");
    fs.mkdirSync(directory);
    return [
      moved(file, () => fs.appendFileSync(file, "y")),
      moved(file, () => fs.truncateSync(file, 0)),
      moved(file, () => fs.chmodSync(file, 0o600)),
      moved(file, () => fs.chownSync(file, 1, 1)),
      moved(file, () => fs.linkSync(file, join(d, "second"))),
      moved(file, () => fs.unlinkSync(join(d, "second"))),
      moved(file, () => {
        fs.renameSync(file, join(d, "third"));
        fs.renameSync(join(d, "third"), file);
      }),
      moved(file, () => sys.setxattr(file, "user.a", Buffer.from("b"))),
      moved(directory, () => fs.writeFileSync(join(directory, "new"), "")),
      moved(directory, () => fs.appendFileSync(join(directory, "new"), "more")),
      moved(directory, () => fs.renameSync(join(directory, "new"), join(directory, "newer"))),
      moved(directory, () => fs.unlinkSync(join(directory, "newer"))),
      moved(directory, () => fs.mkdirSync(join(directory, "sub"))),
      moved(directory, () => fs.rmdirSync(join(directory, "sub"))),
    ];
  },
  "times have nanoseconds, before 1970 and after 2038": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "");
    return [1n, 1_234_567_890_123_456_789n, -1n, -5_000_000_001n, 4_102_444_800_000_000_001n].map((ns) => {
      sys.utimens(path, ns, undefined);
      sys.utimens(path, undefined, ns);
      const { atimeNs, mtimeNs } = fs.statSync(path, { bigint: true });
      return [`${atimeNs}`, `${mtimeNs}`];
    });
  },
};

const content: Readonly<Record<string, PosixCheck>> = {
  "what is written is read, at every border": (d) => {
    const path = join(d, "file");
    const bytes = Buffer.alloc(3 * block + 123, 0);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at & ~3, Math.min(at, bytes.length - 4));
    fs.writeFileSync(path, bytes);
    return opened(path, "r+", (fd) => {
      const into = Buffer.alloc(10_000);
      const seen = [0, 1, 4095, 4096, 65_535, block - 1, block, 3 * block, 3 * block + 122].map((at) => {
        const read = fs.readSync(fd, into, 0, into.length, at);
        return [read, into.subarray(0, read).equals(bytes.subarray(at, at + into.length))];
      });
      return [...seen, fs.readSync(fd, into, 0, 10, bytes.length), fs.readSync(fd, into, 0, 10, bytes.length + block)];
    });
  },
  "appends go to the end whatever the position": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "0123");
    return opened(path, "a+", (one) =>
      opened(path, "a", (two) => {
        fs.writeSync(one, "a");
        fs.writeSync(two, "b");
        fs.writeSync(one, "c", 0);
        fs.truncateSync(path, 5);
        fs.writeSync(two, "d");
        return text(path);
      }),
    );
  },
  "gaps read as zero, and shrinking forgets": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, Buffer.alloc(10_000, 7));
    fs.truncateSync(path, 5_000);
    fs.truncateSync(path, 20_000);
    opened(path, "r+", (fd) => fs.writeSync(fd, "end", 30_000));
    const bytes = fs.readFileSync(path);
    return [bytes.length, bytes.subarray(0, 5_000).every((byte) => byte === 7), bytes.subarray(5_000, 30_000).every((byte) => byte === 0)];
  },
  "a file may be large and nearly empty": (d) => {
    const path = join(d, "file");
    return opened(path, "w+", (fd) => {
      fs.ftruncateSync(fd, 2 ** 40);
      fs.writeSync(fd, "x", 2 ** 40 + 5);
      return [fs.fstatSync(fd).size, fs.fstatSync(fd).blocks * 512 <= block];
    });
  },
  "a handle does only what it was opened for": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "content");
    const into = Buffer.alloc(4);
    return [
      opened(path, "r", (fd) => [attempt(() => fs.writeSync(fd, "x")), attempt(() => fs.ftruncateSync(fd, 1))]),
      opened(path, fs.constants.O_WRONLY, (fd) => attempt(() => fs.readSync(fd, into, 0, 4, 0))),
      opened(d, "r", (fd) => [
        attempt(() => fs.readSync(fd, into, 0, 4, 0)),
        attempt(() => fs.ftruncateSync(fd, 0)),
        attempt(() => fs.fsyncSync(fd)),
      ]),
    ];
  },
  "it can be made durable": (d) =>
    opened(join(d, "file"), fs.constants.O_CREAT | fs.constants.O_RDWR | fs.constants.O_SYNC, (fd) => [
      fs.writeSync(fd, "x"),
      attempt(() => fs.fsyncSync(fd)),
      attempt(() => fs.fdatasyncSync(fd)),
    ]),
  "data and holes are found": (d) => {
    const path = join(d, "file");
    return opened(path, "w+", (fd) => {
      fs.writeSync(fd, Buffer.alloc(block, 1), 0, block, 2 * block);
      fs.writeSync(fd, Buffer.alloc(block, 1), 0, block, 5 * block);
      fs.ftruncateSync(fd, 8 * block);
      const places = [0, 1, 2 * block, 2 * block + 1, 3 * block, 6 * block, 8 * block - 1, 8 * block, 9 * block];
      return places.map((at) => [attempt(() => sys.lseek(fd, at, SEEK_DATA)), attempt(() => sys.lseek(fd, at, SEEK_HOLE))]);
    });
  },
  "space is reserved, punched and zeroed": (d) => {
    const path = join(d, "file");
    return opened(path, "w+", (fd) => {
      fs.writeSync(fd, Buffer.alloc(4 * block, 1), 0, 4 * block, 0);
      const seen = [
        attempt(() => sys.fallocate(fd, KEEP_SIZE | PUNCH_HOLE, block + 5, block)),
        fs.fstatSync(fd).size,
        attempt(() => sys.fallocate(fd, PUNCH_HOLE, 0, block)),
        attempt(() => sys.fallocate(fd, 0, 4 * block, block)),
        fs.fstatSync(fd).size,
        attempt(() => sys.fallocate(fd, KEEP_SIZE, 6 * block, block)),
        fs.fstatSync(fd).size,
        attempt(() => sys.fallocate(fd, 0, 0, 0)),
        attempt(() => sys.fallocate(fd, 0, -1, 5)),
        attempt(() => sys.fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 4 * block - 3, 100 * block)),
        fs.fstatSync(fd).size,
      ];
      const bytes = fs.readFileSync(path);
      const sums = [0, block, block + 5, 2 * block + 5, 4 * block - 3, 4 * block].map((at) => bytes[at]);
      return [...seen, sums, opened(path, "r", (readOnly) => attempt(() => sys.fallocate(readOnly, 0, 0, 5))), ZERO_RANGE];
    });
  },
  "ranges are copied between files and within one": (d) => {
    const [from, to] = [join(d, "from"), join(d, "to")];
    fs.writeFileSync(from, Buffer.from("0123456789".repeat(1_000)));
    fs.writeFileSync(to, "");
    return opened(from, "r+", (source) =>
      opened(to, "r+", (target) => [
        sys.copyFileRange(source, 5, target, 3, 10),
        text(to),
        sys.copyFileRange(source, 9_990, target, 0, 100),
        sys.copyFileRange(source, 20_000, target, 0, 100),
        sys.copyFileRange(source, 0, source, 10_000, 500),
        fs.fstatSync(source).size,
        attempt(() => sys.copyFileRange(source, 0, source, 10, 500)),
        text(to).length,
      ]),
    );
  },
  "memory that is shared with a file is the file": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, Buffer.alloc(20_000, 1));
    return opened(path, "r+", (fd) => {
      const before = sys.mapped(fd, 20_000, (memory) => {
        const first = memory[100];
        memory.fill(9, 5_000, 15_000);
        return first;
      });
      const bytes = fs.readFileSync(path);
      fs.writeSync(fd, "abc", 0);
      return [
        before,
        bytes.length,
        [0, 4_999, 5_000, 14_999, 15_000].map((at) => bytes[at]),
        sys.mapped(fd, 3, (memory) => Buffer.from(memory).toString()),
      ];
    });
  },
};

const attributes: Readonly<Record<string, PosixCheck>> = {
  "extended attributes are made, replaced, listed and removed": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "");
    return [
      attempt(() => sys.getxattr(path, "user.none")),
      sys.setxattr(path, "user.a", Buffer.from("first")),
      attempt(() => sys.setxattr(path, "user.a", Buffer.from("x"), 1)),
      attempt(() => sys.setxattr(path, "user.b", Buffer.from("x"), 2)),
      sys.setxattr(path, "user.a", Buffer.from("second"), 2),
      sys.setxattr(path, "user.empty", Buffer.alloc(0), 1),
      sys.setxattr(path, "user.bytes", Buffer.from([0, 255, 0]), 0),
      sys.getxattr(path, "user.a").toString(),
      attempt(() => sys.getxattr(path, "user.a", 3)),
      sys.getxattr(path, "user.bytes").toString("hex"),
      sys.getxattr(path, "user.empty").length,
      sys
        .listxattr(path)
        .filter((name) => name.startsWith("user."))
        .sort(),
      sys.removexattr(path, "user.a"),
      attempt(() => sys.removexattr(path, "user.a")),
      sys
        .listxattr(path)
        .filter((name) => name.startsWith("user."))
        .sort(),
    ];
  },
  "extended attributes have their limits": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "");
    return [
      attempt(() => sys.setxattr(path, `user.${long(250)}`, Buffer.from("x"))),
      attempt(() => sys.setxattr(path, `user.${long(251)}`, Buffer.from("x"))),
      attempt(() => sys.setxattr(path, "user.large", Buffer.alloc(65_537))),
      attempt(() => sys.setxattr(path, "nowhere.a", Buffer.from("x"))),
      attempt(() => sys.setxattr(path, "user.", Buffer.from("x"))),
      attempt(() => sys.setxattr(join(d, "missing"), "user.a", Buffer.from("x"))),
    ];
  },
};

const locks: Readonly<Record<string, PosixCheck>> = {
  "locks of one open file exclude those of another": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "0123456789");
    return opened(path, "r+", (one) =>
      opened(path, "r+", (two) => [
        sys.lock(one, F_OFD_SETLK, F_WRLCK, 2, 3),
        attempt(() => sys.lock(two, F_OFD_SETLK, F_WRLCK, 4, 1)),
        attempt(() => sys.lock(two, F_OFD_SETLK, F_RDLCK, 0, 0)),
        attempt(() => sys.lock(two, F_OFD_SETLK, F_WRLCK, 5, 5)),
        sys.lock(two, F_OFD_GETLK, F_WRLCK, 0, 0),
        sys.lock(one, F_OFD_SETLK, F_UNLCK, 3, 1),
        sys.lock(two, F_OFD_SETLK, F_WRLCK, 3, 1),
        sys.lock(two, F_OFD_GETLK, F_RDLCK, 4, 1),
        sys.lock(one, F_OFD_SETLK, F_UNLCK, 0, 0),
        sys.lock(two, F_OFD_SETLK, F_RDLCK, 0, 0),
        sys.lock(one, F_OFD_SETLK, F_RDLCK, 0, 0),
        attempt(() => sys.lock(one, F_OFD_SETLK, F_WRLCK, 0, 0)),
      ]),
    );
  },
  "a process does not exclude itself": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "x");
    return opened(path, "r+", (one) =>
      opened(path, "r", (two) => [
        sys.lock(one, F_SETLK, F_WRLCK, 0, 0),
        sys.lock(two, F_SETLK, F_RDLCK, 0, 0),
        attempt(() => sys.lock(two, F_SETLK, F_WRLCK, 0, 0)),
        sys.lock(two, F_GETLK, F_RDLCK, 0, 0)[0],
      ]),
    );
  },
  "flock is of the whole file and of the open file": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "x");
    return opened(path, "r", (one) =>
      opened(path, "r", (two) => {
        const seen = [sys.flock(one, LOCK_EX), attempt(() => sys.flock(two, LOCK_SH | LOCK_NB)), sys.flock(one, LOCK_UN)];
        seen.push(
          sys.flock(two, LOCK_SH | LOCK_NB),
          sys.flock(one, LOCK_SH | LOCK_NB),
          attempt(() => sys.flock(one, LOCK_EX | LOCK_NB)),
        );
        const third = opened(path, "r", (fd) => attempt(() => sys.flock(fd, LOCK_SH | LOCK_NB)));
        return [...seen, third, sys.flock(two, LOCK_UN), sys.flock(one, LOCK_EX | LOCK_NB)];
      }),
    );
  },
  "locks end with the last handle": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "x");
    opened(path, "r+", (fd) => sys.flock(fd, LOCK_EX));
    opened(path, "r+", (fd) => sys.lock(fd, F_SETLK, F_WRLCK, 0, 0));
    return opened(path, "r+", (fd) => [
      attempt(() => sys.flock(fd, LOCK_EX | LOCK_NB)),
      attempt(() => sys.lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0)),
    ]);
  },
};

export const posixChecks: Readonly<Record<string, PosixCheck>> = { ...names, ...owners, ...times, ...content, ...attributes, ...locks };
