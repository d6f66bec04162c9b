/**
 * Cuts the network between two members for a while, as real processes that are written to on both sides, and checks that they
 * agree afterwards and nothing acknowledged is lost. Needs dist/collective.
 *
 *   bun scripts/partition.ts [--seed N] [--seconds 60]
 *
 * Prints its seed first; exits 1 with what is wrong. The end-to-end tests run a short one of the same.
 */
import { parseArgs } from "node:util";
import { partition } from "../test/support/e2e-partition.ts";
import { cleanUp } from "../test/support/process.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: { seed: { type: "string" }, seconds: { type: "string", default: "60" } },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const seconds = Number(values.seconds);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(seconds) || seconds < 1) {
  console.error("partition: --seed and --seconds are whole numbers");
  process.exit(2);
}

console.log(`seed ${seed}, cut for ${seconds} s`);
try {
  const result = await partition({ seed, cutMs: seconds * 1_000, say: (line) => console.log(line) });
  console.log(
    `${result.acknowledged} of ${result.writes} writes acknowledged, ${result.ownDuringCut} of them to own stores during the cut`,
  );
  console.log(
    `median of a write to an own store: ${result.ownMedianMs.before} ms before the cut, ${result.ownMedianMs.during} ms during it`,
  );
  console.log(
    `a write to the other member failed after at most ${result.refusedMsMax} ms; both agreed ${result.healedMs} ms after the cut`,
  );
  console.log(`${result.filesRead} files read back whole`);
} catch (error) {
  console.error(`partition: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  cleanUp();
}
