/** Whatever a request says, it is answered at most once, with a clean error or with what it asked for; nothing else happens. */
import { expect, test } from "bun:test";
import { constants } from "node:os";
import { createSeededRandom } from "../../src/core/random.ts";
import { fuse_opcode as op } from "../../src/fuse/protocol.ts";
import { createFuseBench, fields, initBody, message } from "../support/fuse-session.ts";
import { createMemoryFileSystem } from "../support/memory-file-system.ts";
import { mutateBytes } from "../support/mutate.ts";

const known = new Set(Object.values(constants.errno));

/** One of each, well-formed. */
const samples: readonly (readonly [opcode: number, body: Buffer])[] = [
  [op.FUSE_INIT, initBody()],
  [op.FUSE_LOOKUP, fields("file")],
  [op.FUSE_FORGET, fields(1n)],
  [op.FUSE_BATCH_FORGET, fields(2, 0, 2n, 1n, 3n, 1n)],
  [op.FUSE_GETATTR, fields(0, 0, 0n)],
  [op.FUSE_SETATTR, fields(0x7ff, 0, 1n, 100n, 0n, 5n, 6n, 7n, 1, 2, 3, 0o644, 0, 5, 6, 0)],
  [op.FUSE_READLINK, fields()],
  [op.FUSE_SYMLINK, fields("link", "target")],
  [op.FUSE_MKNOD, fields(0o100644, 0, 0o22, 0, "file")],
  [op.FUSE_MKDIR, fields(0o755, 0o22, "directory")],
  [op.FUSE_UNLINK, fields("file")],
  [op.FUSE_RMDIR, fields("directory")],
  [op.FUSE_RENAME, fields(1n, "file", "other")],
  [op.FUSE_RENAME2, fields(1n, 2, 0, "other", "file")],
  [op.FUSE_LINK, fields(2n, "second")],
  [op.FUSE_OPEN, fields(2, 0)],
  [op.FUSE_READ, fields(1n, 0n, 4096, 0, 0n, 0, 0)],
  [op.FUSE_WRITE, fields(1n, 0n, 5, 0, 0n, 0, 0, Buffer.from("bytes"))],
  [op.FUSE_STATFS, fields()],
  [op.FUSE_RELEASE, fields(1n, 0, 2, 7n)],
  [op.FUSE_FSYNC, fields(1n, 1, 0)],
  [op.FUSE_SETXATTR, fields(4, 0, "user.name", Buffer.from("1234"))],
  [op.FUSE_GETXATTR, fields(100, 0, "user.name")],
  [op.FUSE_LISTXATTR, fields(100, 0)],
  [op.FUSE_REMOVEXATTR, fields("user.name")],
  [op.FUSE_FLUSH, fields(1n, 0, 0, 7n)],
  [op.FUSE_OPENDIR, fields(0, 0)],
  [op.FUSE_READDIR, fields(1n, 0n, 4096, 0, 0n, 0, 0)],
  [op.FUSE_READDIRPLUS, fields(1n, 0n, 4096, 0, 0n, 0, 0)],
  [op.FUSE_RELEASEDIR, fields(1n, 0, 0, 0n)],
  [op.FUSE_FSYNCDIR, fields(1n, 0, 0)],
  [op.FUSE_GETLK, fields(1n, 7n, 0n, 100n, 1, 5, 0, 0)],
  [op.FUSE_SETLK, fields(1n, 7n, 0n, 2n ** 63n - 1n, 1, 5, 0, 0)],
  [op.FUSE_SETLKW, fields(1n, 8n, 0n, 100n, 0, 5, 0, 0)],
  [op.FUSE_ACCESS, fields(4, 0)],
  [op.FUSE_CREATE, fields(0o102, 0o644, 0o22, 0, "made")],
  [op.FUSE_INTERRUPT, fields(4n)],
  [op.FUSE_IOCTL, fields(1n, 0, 0, 0n, 0, 0)],
  [op.FUSE_FALLOCATE, fields(1n, 0n, 4096n, 3, 0)],
  [op.FUSE_LSEEK, fields(1n, 0n, 3, 0)],
  [op.FUSE_COPY_FILE_RANGE, fields(1n, 0n, 2n, 1n, 8192n, 100n, 0n)],
  [op.FUSE_DESTROY, fields()],
];

test("100,000 spoilt requests give nothing but clean answers", () => {
  const random = createSeededRandom(20261121);
  const start = () => createFuseBench(createMemoryFileSystem(), { trace: () => undefined });
  let bench = start();
  let errors = 0;
  for (let round = 0; round < 100_000; round++) {
    // Listing all the names that were made by then would take most of the time.
    if (round % 2_000 === 0) bench = start();
    const [opcode, body] = samples[random.int(samples.length)] ?? [0, Buffer.alloc(0)];
    const unique = 100 + 2 * round;
    const intact = message(opcode, { unique, nodeid: 1 + random.int(4), uid: random.int(2) * 1_000 }, body);
    const spoilt = Buffer.from(mutateBytes(random, intact));
    // The kernel keeps lengths, or nobody could tell where a message ends: most are given the right one.
    if (spoilt.length >= 4 && random.int(8) > 0) spoilt.writeUInt32LE(spoilt.length, 0);
    // A file of terabytes in memory is the model's trouble, not the protocol's.
    if (opcode === op.FUSE_FALLOCATE || opcode === op.FUSE_COPY_FILE_RANGE || opcode === op.FUSE_WRITE) capNumbers(spoilt);
    bench.answers.length = 0;
    bench.pass(spoilt);
    if (bench.answers.length > 1) throw new Error(`round ${round}: answered twice`);
    for (const { errno } of bench.answers) {
      if (errno !== 0) errors += 1;
      if (errno !== 0 && !known.has(errno)) throw new Error(`round ${round}: errno ${errno}`);
    }
  }
  expect(errors).toBeGreaterThan(10_000);
}, 120_000);

/** Clears the upper half of every number of 8 bytes in the body. */
function capNumbers(bytes: Buffer): void {
  for (let at = 40; at + 8 <= bytes.length; at += 8)
    if (bytes.readUInt32LE(at + 4) > 0 || bytes.readUInt32LE(at) > 1e6) bytes.writeBigUInt64LE(1_000n, at);
}
