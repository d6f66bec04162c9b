import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json";
import { build } from "../../scripts/build.ts";
import { type BuildTarget, describeExecutable } from "../../scripts/build-target.ts";

async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "collective-build-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

describe("build", () => {
  test("the executable knows its version and commit, and obeys no file that lies where it is started", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    const versionModule = JSON.stringify(join(import.meta.dir, "../../src/core/version.ts"));
    await Bun.write(
      at("entry.ts"),
      `import { commit, version } from ${versionModule};
       console.log(JSON.stringify({ version, commit, dotenv: process.env.FROM_DOTENV, args: process.argv.slice(2) }));
       throw new Error("boom");`,
    );
    const outputPath = at("out/collective");
    await build({ entryPoint: at("entry.ts"), outputPath, commit: "abc1234" });
    expect(await readdir(at("out"))).toEqual(["collective"]);
    expect(await describeExecutable(outputPath)).toBe(`${process.platform}-${process.arch}` as BuildTarget);

    await Bun.write(at("cwd/.env"), "FROM_DOTENV=1\n");
    await Bun.write(at("cwd/bunfig.toml"), `preload = ["./preload.ts"]\n`);
    await Bun.write(at("cwd/preload.ts"), `console.log("preloaded");`);
    const child = Bun.spawn([outputPath, "--flag", "value"], { cwd: at("cwd"), stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(JSON.parse(stdout)).toEqual({ version: manifest.version, commit: "abc1234", args: ["--flag", "value"] });
    expect(stderr).toContain("entry.ts:3:");
  }, 30_000);

  test("one that fails leaves the executable of before", async () => {
    await using directory = await temporaryDirectory();
    const entryPoint = join(directory.path, "entry.ts");
    const outputPath = join(directory.path, "out/collective");
    await Bun.write(entryPoint, "const broken = ;");
    await Bun.write(outputPath, "the one of before");
    await expect(build({ entryPoint, outputPath, commit: "" })).rejects.toThrow("Bundle failed");
    expect(await readdir(join(directory.path, "out"))).toEqual(["collective"]);
    expect(await Bun.file(outputPath).text()).toBe("the one of before");
  });
});

describe("describeExecutable", () => {
  const elf = (machine: number): number[] => [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0];
  const machO = (cpu: number): number[] => [0xcf, 0xfa, 0xed, 0xfe, cpu, 0, 0, 1, ...new Array<number>(12).fill(0)];
  const cases: readonly [string, number[], BuildTarget | undefined][] = [
    ["ELF for x64", elf(0x3e), "linux-x64"],
    ["ELF for arm64", elf(0xb7), "linux-arm64"],
    ["ELF for another processor", elf(0xf3), undefined],
    ["Mach-O for arm64", machO(0x0c), "darwin-arm64"],
    ["Mach-O for x64", machO(0x07), "darwin-x64"],
    ["a script", [..."#!/bin/sh\nexec something"].map((char) => char.charCodeAt(0)), undefined],
    ["a file that ends too early", [0x7f, 0x45, 0x4c, 0x46], undefined],
  ];
  test.each(cases)("%s", async (_, bytes, expected) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "file");
    await Bun.write(path, new Uint8Array(bytes));
    expect(await describeExecutable(path)).toBe(expected);
  });
});
