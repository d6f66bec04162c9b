/**
 * Builds the executable: everything it needs at run time is inside, and it obeys no file of the
 * directory it is started in.
 *
 *   bun scripts/build.ts                        dist/collective, for this machine
 *   bun scripts/build.ts --target linux-arm64   dist/collective-linux-arm64; may be repeated
 *   bun scripts/build.ts --target all           one for every platform
 *
 * A build that fails or is interrupted leaves the previous executable as it was, and a process that
 * runs the previous one keeps running it: the new one is moved into place when it is complete.
 */
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runtimeOf } from "./build-runtime.ts";
import { type BuildTarget, buildTargets, describeExecutable, isBuildTarget } from "./build-target.ts";

const root = join(import.meta.dir, "..");

export interface BuildOptions {
  readonly entryPoint: string;
  /** Path of the executable; its folder is made. */
  readonly outputPath: string;
  readonly commit: string;
  /** Bun for another platform; this machine's own when left out. */
  readonly cross?: { readonly target: BuildTarget; readonly runtimePath: string } | undefined;
}

/** Rejects with what the bundler says when something does not compile; `outputPath` is then untouched. */
export async function build(options: BuildOptions): Promise<void> {
  const workPath = `${options.outputPath}.building-${process.pid}`;
  await mkdir(workPath, { recursive: true });
  try {
    const outfile = join(workPath, "collective");
    const { cross } = options;
    await Bun.build({
      entrypoints: [options.entryPoint],
      target: "bun",
      // Bytecode halves the time to start. It needs ESM: the default format fails on `import.meta`.
      bytecode: true,
      format: "esm",
      // Names stay, for `keepNames` does not keep those of classes, and errors and logs show them.
      minify: { whitespace: true, syntax: true, identifiers: false },
      // A stack trace names our files and lines; the map costs 0.7 MB and is read only when one is printed.
      sourcemap: "inline",
      define: { COLLECTIVE_COMMIT: JSON.stringify(options.commit) },
      compile: {
        outfile,
        // Otherwise the executable reads ./.env and runs the `preload` of any ./bunfig.toml it is started beside.
        autoloadDotenv: false,
        autoloadBunfig: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
        ...(cross && { target: `bun-${cross.target}` as const, executablePath: cross.runtimePath }),
      },
    });
    await rename(outfile, options.outputPath);
  } finally {
    await rm(workPath, { recursive: true, force: true });
  }
}

/** Short hash of HEAD, `-dirty` when the tree differs from it; empty outside a repository. */
function currentCommit(): string {
  const git = Bun.spawnSync(["git", "describe", "--always", "--dirty", "--exclude=*"], { cwd: root, stderr: "ignore" });
  return git.success ? git.stdout.toString().trim() : "";
}

/** What the bundler complains of comes as an `AggregateError`, each part with its place in the source. */
function reasonsOf(error: unknown): string[] {
  if (error instanceof AggregateError) return error.errors.flatMap(reasonsOf);
  if (error instanceof BuildMessage && error.position) {
    const { file, line, column } = error.position;
    return [`${file}:${line}:${column}: ${error.message}`];
  }
  return [error instanceof Error ? error.message : String(error)];
}

async function main(): Promise<number> {
  const { values } = parseArgs({ args: Bun.argv.slice(2), options: { target: { type: "string", multiple: true } } });
  const wanted = values.target ?? [];
  const unknown = wanted.filter((name) => name !== "all" && !isBuildTarget(name));
  if (unknown.length > 0) {
    console.error(`build: unknown target ${unknown.join(", ")}; known are ${buildTargets.join(", ")} and all`);
    return 2;
  }
  const targets = wanted.includes("all") ? buildTargets : wanted.filter(isBuildTarget);
  const jobs = targets.length > 0 ? targets.map((target) => ({ target, name: `collective-${target}` })) : [{ name: "collective" }];

  const commit = currentCommit();
  let failures = 0;
  for (const job of jobs) {
    const startedAtMs = performance.now();
    const outputPath = join(root, "dist", job.name);
    try {
      const target = "target" in job ? job.target : undefined;
      const runtimePath = target && (await runtimeOf(target, root));
      const cross = target && runtimePath ? { target, runtimePath } : undefined;
      await build({ entryPoint: join(root, "src", "main.ts"), outputPath, commit, cross });
      const format = await describeExecutable(outputPath);
      if (target && format !== target) throw new Error(`what was built is ${format ?? "no known kind of executable"}`);
      const sizeMB = (Bun.file(outputPath).size / 1e6).toFixed(0);
      console.log(`build: dist/${job.name} (${format}, ${sizeMB} MB) in ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
    } catch (error) {
      failures += 1;
      console.error(
        `build: dist/${job.name} could not be built:\n${reasonsOf(error)
          .map((reason) => `  ${reason}\n`)
          .join("")}`,
      );
    }
  }
  return failures > 0 ? 1 : 0;
}

if (import.meta.main) process.exit(await main());
