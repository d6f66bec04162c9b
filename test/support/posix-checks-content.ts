/** Bytes, space, extended attributes and locks. */
import * as fs from "node:fs";
import { join } from "node:path";
import { block, long, opened, type PosixChecks, text } from "./posix-probe.ts";
import { attempt, sys } from "./syscalls.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE] = [1, 2, 16];
const [F_GETLK, F_SETLK, F_OFD_GETLK, F_OFD_SETLK] = [5, 6, 36, 37];
const [F_RDLCK, F_WRLCK, F_UNLCK] = [0, 1, 2];
const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8];
export const contentChecks: PosixChecks = {
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

export const attributesChecks: PosixChecks = {
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

export const locksChecks: PosixChecks = {
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
