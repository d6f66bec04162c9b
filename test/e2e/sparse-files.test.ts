/** Files with holes and files that share content, over the mount and over the commands. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { succeed } from "../support/e2e-commands.ts";
import { bytesOf } from "../support/e2e-files.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective, program } from "../support/mounted-collective.ts";
import { type Collective, startCollective } from "../support/process.ts";
import { sys } from "../support/syscalls.ts";

const impossible = mountingImpossible();
const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, SEEK_DATA, SEEK_HOLE] = [1, 2, 16, 3, 4];
const gibibyte = 1024 * mebibyte;

describe.skipIf(impossible !== undefined)(`sparse files${impossible ? ` (${impossible})` : ""}`, () => {
  let collective: Collective;
  let mounted: MountedCollective;
  let store: string;
  beforeAll(async () => {
    collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/s"]);
    mounted = await mountCollective(collective, "mnt");
    store = join(mounted.path, "s");
  }, 60_000);
  afterAll(async () => {
    await mounted[Symbol.asyncDispose]();
    await collective[Symbol.asyncDispose]();
  });

  /** Bytes that are stored for the whole store, in one copy. */
  const storedBytes = async (): Promise<number> => {
    const { stdout } = await succeed(collective, ["du", "/s", "--json"]);
    return (JSON.parse(stdout) as { stored_size: number }).stored_size;
  };
  const at = (path: string, offset: number, length: number): Buffer => {
    const fd = openSync(path, "r");
    const bytes = Buffer.alloc(length);
    expect(readSync(fd, bytes, 0, length, offset)).toBe(length);
    closeSync(fd);
    return bytes;
  };

  test("come in, go out and are copied without their holes", async () => {
    const local = join(collective.home.path, "sparse");
    const fd = openSync(local, "w");
    writeSync(fd, bytesOf("middle", 100_000), 0, 100_000, 300 * mebibyte);
    ftruncateSync(fd, gibibyte / 2);
    closeSync(fd);
    await succeed(collective, ["put", local, "/s/sparse"]);
    expect(await storedBytes()).toBeLessThan(5 * mebibyte);
    const got = join(collective.home.path, "got");
    await succeed(collective, ["get", "/s/sparse", got]);
    expect(statSync(got).size).toBe(gibibyte / 2);
    expect(statSync(got).blocks * 512).toBeLessThan(5 * mebibyte);
    expect(at(got, 300 * mebibyte, 100_000).equals(bytesOf("middle", 100_000))).toBe(true);
    expect(at(got, 300 * mebibyte + 100_000, 1_000).equals(Buffer.alloc(1_000))).toBe(true);
    await succeed(collective, ["verify", "/s/sparse"]);
    await succeed(collective, ["mkdir", "/other"]);
    await succeed(collective, ["cp", "/s/sparse", "/other/sparse"]);
    expect(statSync(join(mounted.path, "other/sparse")).blocks * 512).toBeLessThan(5 * mebibyte);
    expect(at(join(mounted.path, "other/sparse"), 300 * mebibyte, 100_000).equals(bytesOf("middle", 100_000))).toBe(true);
  }, 60_000);

  test("get holes by being lengthened and punched, and say where they are", async () => {
    const path = join(store, "punched");
    const fd = openSync(path, "w+");
    const bytes = bytesOf("punched", 9 * mebibyte);
    writeSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
    const again = openSync(path, "r+");
    sys.fallocate(again, KEEP_SIZE | PUNCH_HOLE, 1_000, 5 * mebibyte);
    sys.fallocate(again, ZERO_RANGE, 8 * mebibyte, 2 * mebibyte);
    ftruncateSync(again, gibibyte);
    closeSync(again);
    bytes.fill(0, 1_000, 1_000 + 5 * mebibyte).fill(0, 8 * mebibyte);
    const check = openSync(path, "r");
    expect(fstatSync(check).size).toBe(gibibyte);
    expect(sys.lseek(check, 0, SEEK_HOLE)).toBe(1_000);
    expect(sys.lseek(check, 1_000, SEEK_DATA)).toBe(1_000 + 5 * mebibyte);
    expect(sys.lseek(check, 6 * mebibyte, SEEK_HOLE)).toBe(8 * mebibyte);
    closeSync(check);
    expect(at(path, 0, bytes.length).equals(bytes)).toBe(true);
    // The other face.
    const got = join(collective.home.path, "got-punched");
    await succeed(collective, ["get", "/s/punched", got]);
    expect(statSync(got).size).toBe(gibibyte);
    expect(at(got, 0, bytes.length).equals(bytes)).toBe(true);
    expect(at(got, gibibyte - mebibyte, mebibyte).equals(Buffer.alloc(mebibyte))).toBe(true);
    await using second = await mountCollective(collective, "second");
    expect(statSync(join(second.path, "s/punched")).blocks * 512).toBeLessThan(4 * mebibyte);
    expect(at(join(second.path, "s/punched"), 0, bytes.length).equals(bytes)).toBe(true);
  }, 60_000);

  test("are copied inside a datastore without moving a byte", async () => {
    const [path, copy, part] = ["whole", "copy", "part"].map((name) => join(store, name)) as [string, string, string];
    const bytes = bytesOf("whole", 20 * mebibyte);
    writeFileSync(path, bytes);
    const before = await storedBytes();
    await program(["cp", "--reflink=auto", "--sparse=never", path, copy], "/");
    expect(readFileSync(copy).equals(bytes)).toBe(true);
    const [from, to] = [openSync(path, "r"), openSync(part, "w+")];
    expect(sys.copyFileRange(from, 1_000, to, 5_000, 3 * mebibyte)).toBe(3 * mebibyte);
    closeSync(from);
    closeSync(to);
    expect(
      readFileSync(part)
        .subarray(5_000)
        .equals(bytes.subarray(1_000, 1_000 + 3 * mebibyte)),
    ).toBe(true);
    // What reading and writing would have stored again.
    expect((await storedBytes()) - before).toBeLessThan(64 * kibibyte);
    writeFileSync(path, "other");
    expect(readFileSync(copy).equals(bytes)).toBe(true);
  }, 60_000);
});
