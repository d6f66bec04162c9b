/**
 * Mixed reads and writes by four clients while every certificate is renewed again and again; nothing may
 * fail, and nothing may have to be tried twice. Needs dist/collective.
 *
 *   bun scripts/short-leaves.ts [--seed N] [--minutes 10] [--validity-seconds 60]
 *
 * Prints its seed first; exits 1 when something went wrong or a certificate was not renewed.
 */
import { parseArgs } from "node:util";
import { shortLeaves } from "../test/support/e2e-short-leaves.ts";
import { cleanUp } from "../test/support/process.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    seed: { type: "string" },
    minutes: { type: "string", default: "10" },
    "validity-seconds": { type: "string", default: "60" },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const minutes = Number(values.minutes);
const validitySeconds = Number(values["validity-seconds"]);
if (!Number.isSafeInteger(seed) || !(minutes > 0) || !(validitySeconds > 0)) {
  console.error("short-leaves: --seed, --minutes and --validity-seconds are numbers above 0");
  process.exit(2);
}

console.log(`seed ${seed}, ${minutes} minutes, certificates of ${validitySeconds} s`);
try {
  const result = await shortLeaves({ seed, seconds: minutes * 60, validitySeconds, say: (line) => console.log(line) });
  const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
  console.log(`${result.commands} commands: ${mebibytes(result.bytesWritten)} written, ${mebibytes(result.bytesRead)} read`);
  console.log(
    `renewals: ${Object.entries(result.renewals)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ")}`,
  );
  for (const failure of result.failures) console.log(`failed: ${failure}`);
  console.log(`${result.failures.length} failed`);
  if (result.failures.length > 0 || Object.values(result.renewals).some((count) => count === 0)) process.exitCode = 1;
} catch (error) {
  console.error(`short-leaves: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  cleanUp();
}
