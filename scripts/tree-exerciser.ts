/**
 * Random operations on one tree by two mounts and the command line in turn, against a model in memory, for as long as wanted. As root; needs
 * dist/collective.
 *
 *   bun scripts/tree-exerciser.ts [--ops 10000] [--seed 1]
 */
import { parseArgs } from "node:util";
import { createSeededRandom } from "../src/core/random.ts";
import { exerciseMountedTree } from "../test/support/tree-exerciser.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: { ops: { type: "string", default: "10000" }, seed: { type: "string", default: "1" } },
});

const startedAtMs = performance.now();
const seconds = (): string => ((performance.now() - startedAtMs) / 1000).toFixed(0);
const { commands, shownMsMax } = await exerciseMountedTree({
  operations: Number(values.ops),
  random: createSeededRandom(Number(values.seed)),
  onProgress: (done) => console.log(`${done} operations, ${seconds()} s`),
});
console.log(`tree: ${values.ops} operations with seed ${values.seed}, ${commands} of them commands, 0 differences, ${seconds()} s`);
console.log(`what one client did the other showed within ${shownMsMax.toFixed(0)} ms`);
