/** What a file consists of while it is written, cut, committed and changed by others at the same time. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kibibyte } from "../../protocol/limits.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { createFileContent, type FileContent } from "../../src/vfs/file-content.ts";
import { createSpoolFolder, type SpoolFolder } from "../../src/vfs/spool.ts";
import type { StoredContent } from "../../src/vfs/stored-content.ts";
import { content as bytesOf } from "../support/content.ts";

let folder = "";
let spools: SpoolFolder;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "collective-content-"));
  spools = createSpoolFolder({ folder, random: createSeededRandom(3) });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A committed version of these bytes. */
function version(bytes: Uint8Array, number = 1): StoredContent {
  const peek = ({ start, end }: { start: number; end: number }) => [bytes.subarray(start, end)];
  return {
    version: number,
    sizeBytes: bytes.length,
    peek,
    read: async (range: { start: number; end: number }) => peek(range),
  } as unknown as StoredContent;
}

async function textOf(content: FileContent): Promise<string> {
  return Buffer.concat(await content.read({ start: 0, end: content.sizeBytes })).toString();
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe("a commit that fails", () => {
  test("gives back nothing that was cut away meanwhile, and takes nothing that was written since", async () => {
    const content = createFileContent(version(bytes("")), spools);
    await content.write(bytes("a long text that will be cut"), 0);
    const taken = content.takeUnsaved();
    content.resize(0);
    await content.write(bytes("newer"), 0);
    content.giveBack(taken);
    expect(await textOf(content)).toBe("newer");
    expect(content.takeUnsaved().written.list()).toEqual([{ start: 0, end: 5 }]);
    content.discard();
  });
});

describe("another client's version", () => {
  test("comes before what was appended here, of which the kernel has brought whole pages", async () => {
    const content = createFileContent(version(bytes("begin\n")), spools);
    await content.write(bytes("begin\nhere 1\n"), 0, true);
    await content.write(bytes("begin\nhere 1\nhere 2\n"), 0, true);
    const theirs = version(bytes("begin\nthere\n"), 2);
    await content.moveAppended(theirs.sizeBytes);
    content.rebase(theirs);
    expect(await textOf(content)).toBe("begin\nthere\nhere 1\nhere 2\n");
    content.discard();
  });

  test.each([300, 700 * kibibyte])("lets %d appended bytes through that are written while it comes", async (length) => {
    const [first, second] = [bytesOf(length, 1), bytesOf(length, 2)];
    const content = createFileContent(version(bytes("")), spools);
    await content.write(first, 0, true);
    const theirs = version(bytes("there"), 2);
    const moved = content.moveAppended(theirs.sizeBytes);
    const written = content.write(second, content.sizeBytes, true);
    await moved;
    content.rebase(theirs);
    await written;
    const all = Buffer.concat(await content.read({ start: 0, end: content.sizeBytes }));
    expect(Buffer.compare(all, Buffer.concat([bytes("there"), first, second]))).toBe(0);
    content.discard();
  });

  test("is not cut by a file that was only lengthened here", async () => {
    const content = createFileContent(version(bytes("12345")), spools);
    content.resize(8);
    content.rebase(version(bytes("1234567890"), 2));
    expect(await textOf(content)).toBe("1234567890");
    content.resize(3);
    content.rebase(version(bytes("abcdefghijk"), 3));
    expect(await textOf(content)).toBe("abc");
    content.discard();
  });
});
