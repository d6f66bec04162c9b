/**
 * Kills parts of a collective at random moments while it is written to, and checks each time that
 * nothing acknowledged is lost and nothing half-written shows. Needs dist/collective.
 *
 *   bun scripts/crash-loop.ts [--seed N] [--rounds 100]
 *
 * Prints its seed first; exits 1 with what is wrong. The end-to-end tests run a few rounds of the same.
 */
import { parseArgs } from "node:util";
import { crashLoop } from "../test/support/e2e-crash.ts";
import { cleanUp } from "../test/support/process.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: { seed: { type: "string" }, rounds: { type: "string", default: "100" } },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(rounds) || rounds < 1) {
  console.error("crash-loop: --seed and --rounds are whole numbers");
  process.exit(2);
}

console.log(`seed ${seed}, ${rounds} rounds`);
const startedAtMs = performance.now();
try {
  const { commands, acknowledged, kills, filesChecked } = await crashLoop({ seed, rounds, say: (line) => console.log(line) });
  const killed = Object.entries(kills).map(([name, count]) => `${name} ${count}`);
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0);
  console.log(
    `${rounds} rounds in ${seconds} s: ${acknowledged} of ${commands} commands acknowledged, ${filesChecked} files read back whole`,
  );
  console.log(`kill -9: ${killed.join(", ")}`);
} catch (error) {
  console.error(`crash-loop: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  cleanUp();
}
