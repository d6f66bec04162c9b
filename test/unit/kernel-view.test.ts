/** What the kernel is told of files that another client changes: never to another file, and only what was changed. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { deviceNumber, isSupported, readMounts, stateBlocking } from "../../src/fuse/linux.ts";
import { changedRuns } from "../../src/vfs/kernel-view.ts";

describe.skipIf(!isSupported)("a file's state", () => {
  test("is set of the file that is meant, and of no other to which the path has come to lead", () => {
    const folder = mkdtempSync(join(tmpdir(), "collective-state-"));
    try {
      const [file, link] = [join(folder, "file"), join(folder, "link")];
      writeFileSync(file, "content");
      symlinkSync(file, link);
      const { dev: device, ino: inode } = statSync(file);
      const state = { sizeBytes: 3, modifiedNs: 5_000_000_000n, descriptor: -1, drop: new Uint8Array(16) };
      const refused = [
        { ...state, path: file, device: device + 1, inode },
        { ...state, path: file, device, inode: inode + 1 },
        { ...state, path: link, device, inode },
        { ...state, path: folder, device, inode: statSync(folder).ino },
      ];
      for (const one of refused) expect(stateBlocking(one)).toBe(constants.errno.ESTALE);
      expect(stateBlocking({ ...state, path: join(folder, "none"), device, inode })).toBe(constants.errno.ENOENT);
      expect(readFileSync(file, "utf8")).toBe("content");
      expect(stateBlocking({ ...state, path: file, device, inode })).toBe(0);
      expect([readFileSync(file, "utf8"), statSync(file).mtimeMs]).toEqual(["con", 5_000]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is looked for on the device that stat(2) names", async () => {
    const root = (await readMounts()).findLast(({ mountPoint }) => mountPoint === "/proc");
    expect(deviceNumber(root?.device ?? "")).toBe(statSync("/proc").dev);
  });
});

describe("a page that the kernel writes", () => {
  const runs = (base: string, data: string) =>
    changedRuns(Buffer.from(base), Buffer.from(data)).map(({ start, end }) => data.slice(start, end));
  test.each([
    ["same", "same", []],
    ["", "all new", ["all new"]],
    ["one two three", "one TWO three", ["TWO"]],
    ["one two", "one twofold", ["fold"]],
    ["abcdef", "Abcdef!", ["A", "!"]],
    ["longer than that", "short", ["short"]],
  ] as const)("over %j is %j: changed is %j", (base, data, expected) => {
    expect(runs(base, data)).toEqual([...expected]);
  });

  test("that differs all over counts as a whole", () => {
    const base = new Uint8Array(4_096);
    const data = Uint8Array.from({ length: 4_096 }, (_, index) => index % 2);
    expect(changedRuns(base, data)).toEqual([{ start: 0, end: 4_096 }]);
  });
});
