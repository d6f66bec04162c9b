/**
 * Random operations on one file of a mount against a model in memory, for as long as wanted.
 *
 *   bun scripts/fsx.ts [--ops 1000000] [--seed 1] [--write-back]     on a file system in memory that is mounted for it
 *   bun scripts/fsx.ts --collective                                 on the mount of a collective of two nodes, started for it
 *   bun scripts/fsx.ts --dir DIRECTORY                              on any directory
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createSeededRandom } from "../src/core/random.ts";
import { succeed } from "../test/support/e2e-commands.ts";
import { mountMemory } from "../test/support/e2e-mount.ts";
import { exerciseFile } from "../test/support/fsx.ts";
import { mountCollective } from "../test/support/mounted-collective.ts";
import { startCollective } from "../test/support/process.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    ops: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    dir: { type: "string" },
    "write-back": { type: "boolean" },
    collective: { type: "boolean" },
  },
});

const startedAtMs = performance.now();
await using stack = new AsyncDisposableStack();

async function directory(): Promise<string> {
  if (values.dir !== undefined) return values.dir;
  if (!values.collective) return stack.use(await mountMemory(values["write-back"] ? ["--write-back"] : [])).path;
  const collective = stack.use(await startCollective({ nodes: 2 }));
  await succeed(collective, ["mkdir", "/fsx"]);
  return join(stack.use(await mountCollective(collective, "mnt")).path, "fsx");
}

exerciseFile({
  path: join(await directory(), "fsx"),
  operations: Number(values.ops),
  random: createSeededRandom(Number(values.seed)),
  onProgress: (done) => console.log(`${done} operations, ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`),
});
console.log(
  `fsx: ${values.ops} operations with seed ${values.seed}, 0 differences, ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`,
);
