import { describe, expect, test } from "bun:test";
import { nameBytesMax, pathBytesMax, pathComponentsMax } from "../../protocol/limits.ts";
import { formatPath, parseName, parsePath } from "../../protocol/path.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { expectCode } from "../support/metadata.ts";

describe("a path", () => {
  test("is read as it is meant", () => {
    const table: readonly (readonly [string, string | undefined, readonly string[]])[] = [
      ["/", undefined, []],
      ["//", undefined, []],
      ["/.", undefined, []],
      ["/media", undefined, ["media"]],
      ["/media/", undefined, ["media"]],
      ["//media///films//a.mkv", undefined, ["media", "films", "a.mkv"]],
      ["/media/./films/../a", undefined, ["media", "a"]],
      ["/media/..", undefined, []],
      ["/a/b/../../c", undefined, ["c"]],
      ["/media/...", undefined, ["media", "..."]],
      ["/ /\n/ä", undefined, [" ", "\n", "ä"]],
      ["/media/@not-a-member", undefined, ["media", "@not-a-member"]],
      ["/@bob@garage.collective.local/backup/x", "bob@garage.collective.local", ["backup", "x"]],
      ["/@bob/backup", "bob@bob.collective.local", ["backup"]],
      ["/@bob@garage.collective.local", "bob@garage.collective.local", []],
      ["/@bob/a/..", "bob@bob.collective.local", []],
    ];
    for (const [text, member, components] of table)
      expect({ text, ...parsePath(text) }).toEqual({ text, member: member as never, components });
  });

  test("that cannot be one is refused, and says why", async () => {
    for (const text of ["", "media", "./media", "~/x", "C:\\x", "/..", "/media/../..", "/@bob/..", "/@", "/@Bob/x", "/a\0b", "/\ud800"]) {
      const error = await expectCode("invalid_argument", () => parsePath(text));
      expect(error.message).not.toContain("\0");
    }
    await expectCode("name_too_long", () => parsePath(`/${"x".repeat(nameBytesMax + 1)}`));
    await expectCode("name_too_long", () => parsePath(`/${"x/".repeat(pathBytesMax / 2)}y`));
    await expectCode("name_too_long", () => parsePath(`/${"x/".repeat(pathComponentsMax + 1)}`));
    expect(parsePath(`/${"x/".repeat(pathComponentsMax)}`).components).toHaveLength(pathComponentsMax);
  });

  test("comes back as the same path when it is written and read", () => {
    const random = createSeededRandom(5);
    const parts = ["a", "media", "x y", "é", "\u{1f600}", "...", "-", "%2e%2e", "@x", "a@b"];
    for (let round = 0; round < 500; round++) {
      const components = Array.from({ length: random.int(6) }, (_, index) => {
        const part = parts[random.int(parts.length)] ?? "a";
        return index === 0 && part.startsWith("@") ? "first" : part;
      });
      const member = random.int(3) === 0 ? parsePath("/@bob").member : undefined;
      expect(parsePath(formatPath({ member, components }))).toEqual({ member, components });
    }
  });
});

describe("a name", () => {
  test("has up to 255 bytes of anything but / and NUL", async () => {
    for (const name of [
      "a",
      "...",
      " ",
      "\n",
      "\\",
      "ä".repeat(127),
      "x".repeat(255),
      "\u{1f600}".repeat(63),
      "\ufeffx",
      "con",
      "a\u0301",
    ]) {
      expect(parseName(name)).toBe(name);
    }
    for (const name of ["", ".", "..", "a/b", "/", "a\0", "\ud800x", "x\udc00"])
      await expectCode("invalid_argument", () => parseName(name));
    for (const name of ["ä".repeat(128), "x".repeat(256), "\u{1f600}".repeat(64)]) await expectCode("name_too_long", () => parseName(name));
  });
});
