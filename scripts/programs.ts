/**
 * Programs of every day on a mounted collective of three nodes, with much to do: what test/e2e/programs.test.ts does in small, and
 * `npm ci` of this project with its own type check afterwards.
 *
 *   bun scripts/programs.ts [--only TEXT]
 *
 * Build first. Needs root and /dev/fuse; what is not installed is skipped. Takes some minutes.
 */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mountCollective, program } from "../test/support/mounted-collective.ts";
import { cleanUp, startCollective } from "../test/support/process.ts";
import { type ProgramCheck, programChecks } from "../test/support/programs.ts";

const { values } = parseArgs({ options: { only: { type: "string", default: "" } } });
const root = join(import.meta.dir, "..");

const npmCi: ProgramCheck = {
  name: "npm ci of this project",
  needs: ["npm", "node"],
  run: async ({ at }) => {
    for (const name of ["package.json", "package-lock.json", ".npmrc", "tsconfig.json"]) {
      if (await Bun.file(join(root, name)).exists()) copyFileSync(join(root, name), join(at, name));
    }
    for (const folder of ["protocol", "src"]) await program(["cp", "-r", join(root, folder), at], at);
    await program(["npm", "ci", "--no-audit", "--no-fund"], at);
    await program(["diff", "-r", "--no-dereference", join(root, "node_modules", "typescript"), join(at, "node_modules", "typescript")], at);
    await program([join(at, "node_modules/.bin/tsc"), "--noEmit", "--project", at], at);
  },
};

let failed = 0;
try {
  await using collective = await startCollective({ capacity: "40GB", env: { COLLECTIVE_LOG_LEVEL: "warn" } });
  await collective.run(["mkdir", "/work"]);
  await using mounted = await mountCollective(collective, "mnt");
  for (const [index, { name, needs, run }] of [...programChecks, npmCi].entries()) {
    if (!name.includes(values.only)) continue;
    const missing = needs.filter((one) => Bun.which(one) === null);
    if (missing.length > 0) {
      console.log(`skipped  ${name}: ${missing.join(", ")} not installed`);
      continue;
    }
    const [at, beside] = [join(mounted.path, "work", `${index}`), join(collective.home.path, `beside-${index}`)];
    for (const folder of [at, beside]) mkdirSync(folder);
    const startedMs = performance.now();
    const outcome = await run({ at, beside, large: true }).then(
      () => "passed",
      (error: unknown) => `FAILED: ${error instanceof Error ? error.message : String(error)}`,
    );
    if (outcome !== "passed") failed++;
    console.log(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(7)} s  ${name}: ${outcome}`);
  }
} finally {
  cleanUp();
}
process.exit(failed === 0 ? 0 : 1);
