/**
 * Random operations on one file, each compared with a model in memory: reads, writes, appends, truncation, holes, reserved space, copied
 * ranges, shared memory, second handles and reopening. One seed is one run.
 */
import * as fs from "node:fs";
import type { Random } from "../../src/core/random.ts";
import { attempt, sys } from "./syscalls.ts";

export interface ExerciseOptions {
  readonly path: string;
  readonly operations: number;
  readonly random: Random;
  readonly onProgress?: (done: number) => void;
}

/** Small enough that operations meet each other, large enough for several blocks of whoever stores it. */
const fileBytesMax = 1_500_000;
const pieceBytesMax = 200_000;
/** How often the whole file is compared. */
const wholeEvery = 1_000;
const shownMax = 20;
const progressEvery = 50_000;

const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE] = [1, 2, 16];

/** Throws with the last operations when what is read is not what was written. */
export function exerciseFile({ path, operations, random, onProgress }: ExerciseOptions): void {
  const model = Buffer.alloc(fileBytesMax);
  const scratch = Buffer.alloc(fileBytesMax);
  const recent: string[] = [];
  let size = 0;
  let fd = fs.openSync(path, "w+");

  const fail = (what: string): never => {
    throw new Error(`${what}; the last operations:\n${recent.join("\n")}`);
  };
  const note = (line: string): void => {
    recent.push(line);
    if (recent.length > shownMax) recent.shift();
  };
  const compare = (found: Uint8Array, offset: number): void => {
    const wanted = model.subarray(offset, offset + found.length);
    if (wanted.equals(found)) return;
    const at = found.findIndex((byte, index) => byte !== wanted[index]);
    fail(`byte ${offset + at} is ${found[at]} and should be ${wanted[at]}`);
  };
  /** The model is zero wherever the file is not. */
  const resize = (to: number): void => {
    if (to < size) model.fill(0, to, size);
    size = to;
  };
  const place = (limit: number): { readonly offset: number; readonly length: number } => {
    const offset = random.int(Math.max(1, limit));
    // Borders of pages and blocks are where faults live.
    const aligned = random.int(3) === 0 ? offset - (offset % 4096) : offset;
    return { offset: aligned, length: 1 + random.int(Math.min(pieceBytesMax, Math.max(1, limit - aligned))) };
  };
  const read = (from: number, offset: number, length: number): void => {
    const got = fs.readSync(from, scratch, 0, length, offset);
    const wanted = Math.max(0, Math.min(length, size - offset));
    if (got !== wanted) fail(`${got} bytes came from ${offset} on, of ${wanted}`);
    compare(scratch.subarray(0, got), offset);
  };
  const write = (to: number, offset: number, length: number): void => {
    model.fill(1 + random.int(255), offset, offset + length);
    size = Math.max(size, offset + length);
    if (fs.writeSync(to, model, offset, length, offset) !== length) fail("a write was not taken whole");
  };
  const reopen = (): void => {
    fs.closeSync(fd);
    fd = fs.openSync(path, "r+");
  };
  const withAnother = (use: (other: number) => void, flags = "r+"): void => {
    const other = fs.openSync(path, flags);
    try {
      use(other);
    } finally {
      fs.closeSync(other);
    }
  };

  const actions: readonly (readonly [name: string, weight: number, run: () => string])[] = [
    [
      "read",
      20,
      () => {
        const { offset, length } = place(fileBytesMax);
        read(fd, offset, length);
        return `${offset} ${length}`;
      },
    ],
    [
      "write",
      20,
      () => {
        const { offset, length } = place(fileBytesMax);
        write(fd, offset, length);
        return `${offset} ${length}`;
      },
    ],
    [
      "small write",
      20,
      () => {
        const { offset } = place(fileBytesMax - 64);
        write(fd, offset, 1 + random.int(64));
        return `${offset}`;
      },
    ],
    [
      "append",
      5,
      () => {
        const length = Math.min(1 + random.int(5_000), fileBytesMax - size);
        const offset = size;
        if (length > 0) {
          model.fill(1 + random.int(255), offset, offset + length);
          size += length;
          withAnother((other) => fs.writeSync(other, model, offset, length), "a");
        }
        return `${offset} ${length}`;
      },
    ],
    [
      "truncate",
      6,
      () => {
        const to = random.int(fileBytesMax);
        resize(to);
        fs.ftruncateSync(fd, to);
        return `${to}`;
      },
    ],
    [
      "truncate by name",
      2,
      () => {
        const to = random.int(fileBytesMax);
        resize(to);
        fs.truncateSync(path, to);
        return `${to}`;
      },
    ],
    [
      "punch",
      6,
      () => {
        const { offset, length } = place(fileBytesMax);
        model.fill(0, offset, Math.min(size, offset + length));
        sys.fallocate(fd, KEEP_SIZE | PUNCH_HOLE, offset, length);
        return `${offset} ${length}`;
      },
    ],
    [
      "zero",
      3,
      () => {
        const { offset, length } = place(fileBytesMax);
        // tmpfs has no such thing.
        if (attempt(() => sys.fallocate(fd, ZERO_RANGE, offset, length)) === "EOPNOTSUPP") return "not supported";
        model.fill(0, offset, offset + length);
        size = Math.max(size, offset + length);
        return `${offset} ${length}`;
      },
    ],
    [
      "reserve",
      2,
      () => {
        const { offset, length } = place(fileBytesMax);
        size = Math.max(size, offset + length);
        sys.fallocate(fd, 0, offset, length);
        return `${offset} ${length}`;
      },
    ],
    [
      "copy",
      6,
      () => {
        if (size < 2) return "nothing";
        const from = random.int(size - 1);
        const to = random.int(fileBytesMax - 1);
        const length = Math.min(1 + random.int(pieceBytesMax), size - from, fileBytesMax - to, Math.max(1, Math.abs(from - to)));
        if (Math.abs(from - to) < length) return "overlapping";
        for (let done = 0; done < length; )
          done += sys.copyFileRange(fd, from + done, fd, to + done, length - done) || fail("nothing was copied");
        model.copy(model, to, from, from + length);
        size = Math.max(size, to + length);
        return `${from} to ${to}, ${length}`;
      },
    ],
    [
      "mapped read",
      4,
      () => {
        if (size > 0) sys.mapped(fd, size, (memory) => compare(memory, 0));
        return `${size}`;
      },
    ],
    [
      "mapped write",
      4,
      () => {
        if (size === 0) return "nothing";
        const { offset, length } = place(size);
        const end = Math.min(size, offset + length);
        model.fill(1 + random.int(255), offset, end);
        sys.mapped(fd, size, (memory) => memory.set(model.subarray(offset, end), offset));
        return `${offset} ${end - offset}`;
      },
    ],
    [
      "write by another",
      5,
      () => {
        const { offset, length } = place(fileBytesMax);
        withAnother((other) => write(other, offset, length));
        return `${offset} ${length}`;
      },
    ],
    [
      "read by another",
      5,
      () => {
        const { offset, length } = place(fileBytesMax);
        withAnother((other) => read(other, offset, length));
        return `${offset} ${length}`;
      },
    ],
    [
      "reopen",
      2,
      () => {
        reopen();
        return "";
      },
    ],
    [
      "sync",
      1,
      () => {
        fs.fsyncSync(fd);
        return "";
      },
    ],
  ];
  const weights = actions.flatMap((action) => new Array<typeof action>(action[1]).fill(action));

  try {
    for (let done = 1; done <= operations; done++) {
      const [name, , run] = weights[random.int(weights.length)] ?? fail("no action");
      recent.push(`${done} ${name} (under way)`);
      const detail = run();
      recent.pop();
      note(`${done} ${name} ${detail}`);
      const found = fs.fstatSync(fd).size;
      if (found !== size) fail(`the file has ${found} bytes and should have ${size}`);
      if (done % wholeEvery === 0 || done === operations) read(fd, 0, fileBytesMax);
      if (done % progressEvery === 0) onProgress?.(done);
    }
  } finally {
    fs.closeSync(fd);
  }
}
