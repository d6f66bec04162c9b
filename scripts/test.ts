/**
 * The whole gate, in the order of what is quickest to fail. The first stage that fails ends it; what
 * was not run counts as skipped, with its reason. The last line is always
 *
 *   N passed, N failed, N skipped
 *
 * in which each test counts as one, and so does each stage that has no tests of its own. Exits 1 when
 * something failed or nothing was tested.
 *
 *   bun scripts/test.ts                       everything
 *   bun scripts/test.ts --only unit,e2e       these stages; e2e brings the build of what it tests
 *   bun scripts/test.ts --keep-going          every stage, whatever failed before
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { emptyReport, readReport, type TestReport } from "./test-report.ts";

const root = join(import.meta.dir, "..");

/** Most tests wait for processes and disks; more at once would wait for each other. */
const filesAtOnce = 2;

/** Biome would otherwise colour what goes into a file, too. */
const colours = process.stdout.isTTY && !process.env.NO_COLOR ? "force" : "off";

interface Stage {
  readonly name: string;
  readonly title: string;
  /** Without one of its own the stage itself is the test. */
  readonly folder?: string;
  run(): Promise<TestReport>;
}

const stages: readonly Stage[] = [
  toolStage("types", "types (tsc)", ["node_modules/.bin/tsc", "--noEmit"]),
  toolStage("lint", "format and lint (biome)", ["node_modules/.bin/biome", "ci", "--error-on-warnings", `--colors=${colours}`]),
  toolStage("tidy", "layers and house rules (tidy)", [process.execPath, "scripts/tidy.ts"]),
  toolStage("build", "executable (build)", [process.execPath, "scripts/build.ts"]),
  folderStage("unit", { timeoutMs: 10_000 }),
  folderStage("conformance", { timeoutMs: 20_000 }),
  folderStage("sim", { timeoutMs: 120_000 }),
  folderStage("e2e", { timeoutMs: 180_000 }),
];

function toolStage(name: string, title: string, command: readonly string[]): Stage {
  return {
    name,
    title,
    run: async () => ((await exitCodeOf(command)) === 0 ? { ...emptyReport, passed: 1 } : { ...emptyReport, failed: [title] }),
  };
}

/** `timeoutMs` is for one test. A folder without tests is an empty stage. */
function folderStage(name: string, { timeoutMs }: { readonly timeoutMs: number }): Stage {
  const folder = `test/${name}`;
  return { name, title: folder, folder, run: () => runTests(folder, timeoutMs) };
}

async function runTests(folder: string, timeoutMs: number): Promise<TestReport> {
  const files = await Array.fromAsync(new Bun.Glob(`${folder}/**/*.test.ts`).scan({ cwd: root }));
  if (files.length === 0) return emptyReport;
  // Temporary files of the tests go there too, so that none is left by a test that crashed the runner.
  const workDirectory = await mkdtemp(join(tmpdir(), "collective-test-"));
  // Tests of permissions act as other users, who have to get at what is theirs below.
  await chmod(workDirectory, 0o711);
  try {
    const reportPath = join(workDirectory, "report.xml");
    const flags = [
      "--no-orphans",
      `--parallel=${filesAtOnce}`,
      `--timeout=${timeoutMs}`,
      "--reporter=junit",
      `--reporter-outfile=${reportPath}`,
    ];
    // The leading dot makes it a path; without one it would match any file with such a name.
    const exitCode = await exitCodeOf([process.execPath, "test", ...flags, `./${folder}`], { TMPDIR: workDirectory });
    const reportFile = Bun.file(reportPath);
    const report = (await reportFile.exists()) ? readReport(await reportFile.text()) : emptyReport;
    if (exitCode === 0 || report.failed.length > 0) return report;
    // Files that do not load, or that took the process down with them, are not in the report.
    const missing = files.filter((file) => !report.files.has(file)).map((file) => `${file}: did not run`);
    return { ...report, failed: missing.length > 0 ? missing : [`${folder}: exit code ${exitCode}`] };
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
  }
}

async function exitCodeOf(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const child = Bun.spawn([...command], { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "inherit"] });
  const stop = (): void => child.kill("SIGTERM");
  process.on("SIGTERM", stop);
  try {
    return await child.exited;
  } finally {
    process.off("SIGTERM", stop);
  }
}

/** Undefined when a name is no stage. */
function selectStages(names: readonly string[]): readonly Stage[] | undefined {
  if (names.length === 0) return stages;
  if (names.some((name) => stages.every((stage) => stage.name !== name))) return undefined;
  return stages.filter(({ name }) => names.includes(name) || (name === "build" && names.includes("e2e")));
}

function verdictOf({ passed, failed, skipped }: TestReport): string {
  if (failed.length > 0) return "failed";
  return passed + skipped.length === 0 ? "no tests" : "ok";
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Bun.argv.slice(2),
    options: { only: { type: "string", multiple: true }, "keep-going": { type: "boolean" } },
  });
  const selected = selectStages((values.only ?? []).flatMap((names) => names.split(",")));
  if (selected === undefined) {
    console.error(`test: --only takes ${stages.map((stage) => stage.name).join(", ")}`);
    return 2;
  }

  let passed = 0;
  let testsPassed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  for (const stage of selected) {
    if (failed.length > 0 && values["keep-going"] !== true) {
      skipped.push(`${stage.title} (an earlier stage failed)`);
      continue;
    }
    console.log(`\n==> ${stage.title}`);
    const startedAtMs = performance.now();
    const report = await stage.run();
    passed += report.passed;
    if (stage.folder !== undefined) testsPassed += report.passed;
    failed.push(...report.failed);
    skipped.push(...report.skipped);
    console.log(`${stage.name}: ${verdictOf(report)} in ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
  }

  if (failed.length === 0 && testsPassed === 0 && selected.some((stage) => stage.folder !== undefined)) failed.push("no test was run");

  console.log("\n==> summary");
  for (const name of skipped) console.log(`skipped: ${name}`);
  for (const name of failed) console.log(`failed: ${name}`);
  console.log(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  return failed.length > 0 ? 1 : 0;
}

if (import.meta.main) process.exit(await main());
