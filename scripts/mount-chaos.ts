/**
 * Kills and cuts off parts of a collective while programs work on two mounts of it, and checks that nothing is read that was not written,
 * nothing synced is lost, and nothing hangs. As root; needs dist/collective.
 *
 *   bun scripts/mount-chaos.ts [--seed N] [--seconds 120] [--cut-seconds 20] [--time-limit-seconds 60]
 *
 * Prints its seed first; exits 1 with what is wrong. The end-to-end tests run a short one of the same.
 */
import { parseArgs } from "node:util";
import { mountChaos } from "../test/support/e2e-chaos.ts";
import { cleanUp } from "../test/support/process.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    seed: { type: "string" },
    seconds: { type: "string", default: "120" },
    "cut-seconds": { type: "string", default: "20" },
    "time-limit-seconds": { type: "string", default: "60" },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const seconds = Number(values.seconds);
const cutMs = Number(values["cut-seconds"]) * 1_000;
const timeLimitMs = Number(values["time-limit-seconds"]) * 1_000;
if (![seed, seconds, cutMs, timeLimitMs].every(Number.isSafeInteger) || seconds * 1_000 <= cutMs) {
  console.error("mount-chaos: all are whole numbers, and --seconds more than --cut-seconds");
  process.exit(2);
}

console.log(`seed ${seed}`);
const startedMs = performance.now();
const say = (line: string): void => console.log(`${((performance.now() - startedMs) / 1_000).toFixed(1)} s: ${line}`);
try {
  const { phases, checked, seen, synced } = await mountChaos({ seed, seconds, cutMs, timeLimitMs, say });
  const inSeconds = (ms: number | undefined): string => (ms === undefined ? "" : (ms / 1_000).toFixed(1));
  console.table(
    phases.map(({ phase, calls, failed, longestMs, longestCall, firstSuccessMs }) => ({
      event: phase,
      calls,
      failed: Object.entries(failed)
        .map(([code, times]) => `${code} ${times}`)
        .join(", "),
      "longest call": `${longestCall}, ${inSeconds(longestMs)} s`,
      "all succeed again after, s": inSeconds(firstSuccessMs),
    })),
  );
  console.log(`${checked} reads of own files and ${seen} of others' were right, ${synced} were synced`);
} catch (error) {
  console.error(`mount-chaos: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  cleanUp();
}
