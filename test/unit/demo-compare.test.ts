/** The demo's proof is worth something only if it notices what is not equal. */
import { describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compareTrees } from "../../src/cli/demo/compare.ts";

/** Later than anything that a test does to its files. */
const later = Number.POSITIVE_INFINITY;
const signal = new AbortController().signal;
const largeBytes = 3_000_000;

async function twoTrees() {
  const path = await mkdtemp(join(tmpdir(), "collective-compare-"));
  const [original, copy] = [join(path, "original"), join(path, "copy")];
  mkdirSync(join(original, "below/empty"), { recursive: true });
  writeFileSync(join(original, "below/large"), new Uint8Array(largeBytes).fill(7));
  writeFileSync(join(original, "nothing"), "");
  symlinkSync("nothing", join(original, "link"));
  symlinkSync("/nowhere", join(original, "below/dangling"));
  cpSync(original, copy, { recursive: true, verbatimSymlinks: true });
  return { original, copy, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

function relink(copy: string, make: (path: string) => void): void {
  rmSync(join(copy, "link"));
  make(join(copy, "link"));
}

describe("compareTrees", () => {
  test("counts what is equal", async () => {
    await using trees = await twoTrees();
    const result = await compareTrees(trees, { startedWallMs: later, signal });
    expect(result).toEqual({ equalFiles: 2, equalLinks: 2, bytes: largeBytes, differentEntries: 0, changedEntries: 0, differences: [] });
  });

  const damages: readonly (readonly [what: string, damage: (copy: string) => void, says: string])[] = [
    [
      "one byte of many",
      (copy) => writeFileSync(join(copy, "below/large"), new Uint8Array(largeBytes).fill(7).fill(8, -1)),
      "below/large came back with other content",
    ],
    ["a byte more", (copy) => writeFileSync(join(copy, "nothing"), "x"), "nothing came back with other content"],
    ["a file that is gone", (copy) => rmSync(join(copy, "nothing")), "nothing did not come back"],
    ["a directory that is gone", (copy) => rmSync(join(copy, "below/empty"), { recursive: true }), "below/empty did not come back"],
    ["a file too many", (copy) => writeFileSync(join(copy, "below/more"), ""), "below/more came back though it was never stored"],
    ["another target", (copy) => relink(copy, (path) => symlinkSync("below", path)), "link came back with other content"],
    ["a file in place of a link", (copy) => relink(copy, (path) => writeFileSync(path, "")), "link came back as another kind than link"],
  ];
  for (const [what, damage, says] of damages) {
    test(`notices ${what}`, async () => {
      await using trees = await twoTrees();
      damage(trees.copy);
      const result = await compareTrees(trees, { startedWallMs: later, signal });
      expect(result).toMatchObject({ differentEntries: 1, changedEntries: 0, differences: [says] });
    });
  }

  test("nothing came back at all", async () => {
    await using trees = await twoTrees();
    rmSync(trees.copy, { recursive: true });
    expect(await compareTrees(trees, { startedWallMs: later, signal })).toMatchObject({ differentEntries: 1, equalFiles: 0 });
  });

  test("what somebody changed in the original meanwhile is counted apart", async () => {
    await using trees = await twoTrees();
    writeFileSync(join(trees.original, "nothing"), "new");
    writeFileSync(join(trees.original, "below/new"), "new");
    rmSync(join(trees.original, "below/large"));
    const result = await compareTrees(trees, { startedWallMs: 0, signal });
    expect(result).toMatchObject({ equalFiles: 0, equalLinks: 2, differentEntries: 0, changedEntries: 3 });
  });
});
