/** What the kernel and the file system may rely on: every request ends, once, and nothing is left behind. */
import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../../src/core/clock.ts";
import { fuse_entry_out, fuse_init_out, fuse_open_out, fuse_opcode as op } from "../../src/fuse/protocol.ts";
import { tracerOf } from "../../src/fuse/trace.ts";
import type { Call, FileSystem } from "../../src/vfs/file-system.ts";
import { createFuseBench, fields, initBody, message } from "../support/fuse-session.ts";
import { createMemoryFileSystem } from "../support/memory-file-system.ts";

const { EINTR, EIO, ENOENT, ENOSYS, EPROTO, ETIMEDOUT, EILSEQ, EINVAL, ENAMETOOLONG } = constants.errno;

/** Time stands still until it is moved. */
function createStillClock(): Clock & { move(ms: number): void } {
  let nowMs = 0;
  const ticks = new Set<{ readonly ms: number; readonly fn: () => void; nextMs: number }>();
  return {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    sleep: async () => undefined,
    every: (ms, fn) => {
      const tick = { ms, fn, nextMs: nowMs + ms };
      ticks.add(tick);
      return { [Symbol.dispose]: () => void ticks.delete(tick) };
    },
    move: (ms) => {
      nowMs += ms;
      for (const tick of ticks) if (tick.nextMs <= nowMs) tick.fn();
    },
  };
}

/** Every call that is named waits until it is let go. */
function createStalling<K extends keyof FileSystem>(name: K) {
  const fs = createMemoryFileSystem();
  const calls: { readonly call: Call; readonly go: () => void; readonly fail: (error: Error) => void }[] = [];
  const original = fs[name] as unknown as (...args: unknown[]) => unknown;
  const stalling = {
    ...fs,
    [name]: (...args: unknown[]) =>
      new Promise((resolve, reject) => {
        calls.push({ call: args[0] as Call, go: () => resolve(original(...args)), fail: reject });
      }),
  };
  return { fs: stalling as typeof fs, calls };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const create = (name: string): Buffer => fields(0o102, 0o100644, 0o22, 0, name);
const inodeOf = (body: Buffer): number => Number(body.readBigUInt64LE(fuse_entry_out.nodeid));
const release = (handle: number): Buffer => fields(BigInt(handle), 0, 0, 0n);

describe("agreeing with the kernel", () => {
  test("takes the older version of both, and large requests", () => {
    const bench = createFuseBench(createMemoryFileSystem());
    const body = bench.answers[0]?.body ?? Buffer.alloc(0);
    expect(body.length).toBe(fuse_init_out.size);
    expect([body.readUInt32LE(fuse_init_out.major), body.readUInt32LE(fuse_init_out.minor)]).toEqual([7, 38]);
    expect(body.readUInt32LE(fuse_init_out.max_write)).toBe(1024 * 1024);
    expect(body.readUInt16LE(fuse_init_out.max_pages)).toBe(256);
  });

  test("asks a newer one to speak this version, and refuses one that is too old", async () => {
    const bench = createFuseBench(createMemoryFileSystem());
    expect(bench.ask(op.FUSE_INIT, 0, initBody(8, 1))?.body.readUInt32LE(fuse_init_out.major)).toBe(7);
    const old = createFuseBench(createMemoryFileSystem());
    expect(old.ask(op.FUSE_INIT, 0, initBody(7, 20))?.errno).toBe(EPROTO);
  });
});

describe("time", () => {
  test("a call that does not end is answered at the limit, and what it opens later is released", async () => {
    const clock = createStillClock();
    const { fs, calls } = createStalling("create");
    const bench = createFuseBench(fs, { clock, timeLimitMs: 1_000 });
    expect(bench.ask(op.FUSE_CREATE, 1, create("late"))).toBeUndefined();
    clock.move(900);
    expect(bench.session.pendingCount()).toBe(1);
    clock.move(200);
    expect(bench.answers.at(-1)).toMatchObject({ unique: bench.lastUnique(), errno: ETIMEDOUT });
    expect(calls[0]?.call.signal.reason).toMatchObject({ code: "timed_out" });

    const answered = bench.answers.length;
    calls[0]?.go();
    await settle();
    expect(bench.answers.length).toBe(answered);
    expect([fs.openCount(), bench.session.pendingCount()]).toEqual([0, 0]);
  });

  test("a call that gets on has time until it stops getting on", () => {
    const clock = createStillClock();
    const { fs, calls } = createStalling("sync");
    const bench = createFuseBench(fs, { clock, timeLimitMs: 1_000 });
    bench.ask(op.FUSE_FSYNC, 1, fields(1n, 0, 0));
    for (let times = 0; times < 10; times++) {
      clock.move(900);
      expect(bench.session.pendingCount()).toBe(1);
      calls[0]?.call.progress();
      clock.move(100);
    }
    clock.move(1_100);
    expect(bench.answers.at(-1)).toMatchObject({ unique: bench.lastUnique(), errno: ETIMEDOUT });
  });

  test("waiting for a lock has no limit, and can be interrupted", async () => {
    const clock = createStillClock();
    const bench = createFuseBench(createMemoryFileSystem(), { clock, timeLimitMs: 1_000 });
    const made = bench.ask(op.FUSE_CREATE, 1, create("file"))?.body ?? Buffer.alloc(0);
    const inode = inodeOf(made);
    const lock = (owner: bigint): Buffer => fields(made.readBigUInt64LE(fuse_entry_out.size), owner, 0n, 2n ** 63n - 1n, 1, 5, 0, 0);
    expect(bench.ask(op.FUSE_SETLK, inode, lock(1n))?.errno).toBe(0);
    expect(bench.ask(op.FUSE_SETLKW, inode, lock(2n))).toBeUndefined();
    clock.move(100_000);
    expect(bench.session.pendingCount()).toBe(1);
    const waiting = bench.lastUnique();
    bench.ask(op.FUSE_INTERRUPT, 0, fields(BigInt(waiting)));
    await settle();
    expect(bench.answers.at(-1)).toMatchObject({ unique: waiting, errno: EINTR });
  });

  test("an interrupted call may still end well, and else is EINTR soon", async () => {
    const clock = createStillClock();
    const { fs, calls } = createStalling("getAttributes");
    const bench = createFuseBench(fs, { clock });
    for (const endsWell of [true, false]) {
      bench.ask(op.FUSE_GETATTR, 1, fields(0, 0, 0n));
      const asked = bench.lastUnique();
      bench.ask(op.FUSE_INTERRUPT, 0, fields(BigInt(asked)));
      expect(calls.at(-1)?.call.signal.aborted).toBe(true);
      if (endsWell) calls.at(-1)?.go();
      else clock.move(600);
      await settle();
      expect(bench.answers.at(-1)).toMatchObject({ unique: asked, errno: endsWell ? 0 : EINTR });
    }
  });

  test("the end of the session ends every call", () => {
    const { fs, calls } = createStalling("getAttributes");
    const bench = createFuseBench(fs);
    bench.ask(op.FUSE_GETATTR, 1, fields(0, 0, 0n));
    bench.session.end();
    expect(calls[0]?.call.signal.aborted).toBe(true);
    expect(bench.session.pendingCount()).toBe(0);
  });
});

describe("what the kernel knows", () => {
  test("is forgotten when it has given back every entry that it took", () => {
    const fs = createMemoryFileSystem();
    const bench = createFuseBench(fs);
    const made = bench.ask(op.FUSE_CREATE, 1, create("file"))?.body ?? Buffer.alloc(0);
    const [inode, handle] = [inodeOf(made), Number(made.readBigUInt64LE(fuse_entry_out.size))];
    for (let times = 0; times < 3; times++) expect(bench.ask(op.FUSE_LOOKUP, 1, fields("file"))?.errno).toBe(0);
    bench.ask(op.FUSE_UNLINK, 1, fields("file"));
    bench.ask(op.FUSE_RELEASE, inode, release(handle));
    bench.ask(op.FUSE_FORGET, inode, fields(3n));
    expect(fs.nodeCount()).toBe(2);
    bench.ask(op.FUSE_BATCH_FORGET, 0, fields(1, 0, BigInt(inode), 1n));
    expect(fs.nodeCount()).toBe(1);
  });

  test("counts entries of listings, of those that fitted", () => {
    const fs = createMemoryFileSystem();
    const bench = createFuseBench(fs);
    for (let index = 0; index < 10; index++) {
      const inode = inodeOf(bench.ask(op.FUSE_MKDIR, 1, fields(0o755, 0, `directory ${index}`))?.body ?? Buffer.alloc(0));
      bench.ask(op.FUSE_FORGET, inode, fields(1n));
    }
    const handle = Number(bench.ask(op.FUSE_OPENDIR, 1, fields(0, 0))?.body.readBigUInt64LE(fuse_open_out.fh));
    const forgotten: number[] = [];
    const { forget } = fs;
    fs.forget = (inode) => {
      forgotten.push(inode);
      forget(inode);
    };
    // Five are looked up, and the longer names leave room for four: `.`, `..` and two more.
    const sizeBytes = 5 * (128 + 32);
    const listed = bench.ask(op.FUSE_READDIRPLUS, 1, fields(BigInt(handle), 0n, sizeBytes, 0, 0n, 0, 0));
    expect(listed?.body.length).toBe(2 * (128 + 32) + 2 * (128 + 40));
    expect(forgotten.length).toBe(1);
    expect(forgotten).not.toContain(inodeOf((listed?.body ?? Buffer.alloc(0)).subarray(2 * (128 + 32))));
  });

  test("is not what it refused to take: that is released and forgotten", () => {
    const fs = createMemoryFileSystem();
    const bench = createFuseBench(fs);
    bench.refuseWith(ENOENT);
    expect(bench.ask(op.FUSE_CREATE, 1, create("aborted"))).toBeUndefined();
    bench.ask(op.FUSE_UNLINK, 1, fields("aborted"));
    expect([fs.openCount(), fs.nodeCount()]).toEqual([0, 1]);
  });
});

describe("errors", () => {
  test("are the errno of their code, and those that are no errors of ours are EIO", async () => {
    const { fs, calls } = createStalling("getAttributes");
    const bench = createFuseBench(fs);
    for (const [error, errno] of [
      [new CollectiveError("read_only", "x"), constants.errno.EROFS],
      [new CollectiveError("no_attribute", "x"), constants.errno.ENODATA],
      [new TypeError("x is not a function"), EIO],
    ] as const) {
      bench.ask(op.FUSE_GETATTR, 1, fields(0, 0, 0n));
      calls.at(-1)?.fail(error);
      await settle();
      expect(bench.answers.at(-1)?.errno).toBe(errno);
    }
  });

  test("an answer that the kernel refuses is answered with EIO, or the asker would wait for ever", () => {
    const bench = createFuseBench(createMemoryFileSystem());
    bench.refuseWith(EINVAL);
    expect(bench.ask(op.FUSE_GETATTR, 1, fields(0, 0, 0n))?.errno).toBe(EIO);
  });

  test("names that are too long, or no text, are said to be", () => {
    const bench = createFuseBench(createMemoryFileSystem());
    expect(bench.ask(op.FUSE_LOOKUP, 1, fields("n".repeat(256)))?.errno).toBe(ENAMETOOLONG);
    expect(bench.ask(op.FUSE_LOOKUP, 1, Buffer.from([0x66, 0xff, 0]))?.errno).toBe(EILSEQ);
    expect(bench.ask(op.FUSE_LOOKUP, 1, fields("\ufffd"))?.errno).toBe(0);
  });

  test("what is not known is not implemented, and what is not whole is nobody's", () => {
    const bench = createFuseBench(createMemoryFileSystem());
    expect(bench.ask(9_999, 1)?.errno).toBe(ENOSYS);
    expect(bench.ask(op.FUSE_READ, 1, fields(1n))?.errno).toBe(EINVAL);
    const answered = bench.answers.length;
    bench.pass(message(op.FUSE_GETATTR, { unique: 8, nodeid: 1 }).subarray(0, 39));
    expect(bench.answers.length).toBe(answered);
  });
});

test("a write's bytes are good until it is answered, and its buffer is lent out for as long", async () => {
  const { fs, calls } = createStalling("write");
  const bench = createFuseBench(fs);
  const made = bench.ask(op.FUSE_CREATE, 1, create("file"))?.body ?? Buffer.alloc(0);
  const handle = made.readBigUInt64LE(fuse_entry_out.size);
  const lent = bench.pass(
    message(op.FUSE_WRITE, { unique: 900, nodeid: inodeOf(made) }, fields(handle, 0n, 5, 0, 0n, 0, 0, Buffer.from("bytes"))),
  );
  expect(lent).toBeInstanceOf(Promise);
  calls[0]?.go();
  await lent;
  expect(bench.answers.at(-1)).toMatchObject({ unique: 900, errno: 0 });
});

test("a trace names the request, who asked, and what came of it", () => {
  const lines: string[] = [];
  const bench = createFuseBench(createMemoryFileSystem(), { trace: (line) => lines.push(line) });
  bench.ask(op.FUSE_MKDIR, 1, fields(0o755, 0, "directory"));
  bench.ask(op.FUSE_RMDIR, 1, fields("none"));
  expect(lines[0]).toMatch(/^#\d+ mkdir node 1 uid 0 pid 0 "directory": ok \d+\.\d+ ms$/);
  expect(lines[1]).toContain('rmdir node 1 uid 0 pid 0 "none": ENOENT');
});

test("tracing is on while the environment says so", () => {
  const lines: string[] = [];
  const write = (text: string) => lines.push(text);
  for (const value of [undefined, "", "0"]) expect(tracerOf({ COLLECTIVE_FUSE_TRACE: value }, write)).toBeUndefined();
  tracerOf({ COLLECTIVE_FUSE_TRACE: "1" }, write)?.("#2 getattr");
  expect(lines).toEqual(["#2 getattr\n"]);
});
