/** Random operations on one file of a mount never differ from a model; `scripts/fsx.ts` does many more. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { createSeededRandom } from "../../src/core/random.ts";
import { succeed } from "../support/e2e-commands.ts";
import { mountingImpossible, mountMemory } from "../support/e2e-mount.ts";
import { exerciseFile } from "../support/fsx.ts";
import { mountCollective } from "../support/mounted-collective.ts";
import { startCollective } from "../support/process.ts";

const reason = mountingImpossible();
const operations = 10_000;

describe.skipIf(reason !== undefined)(`random operations on one file of a collective's mount${reason ? ` (${reason})` : ""}`, () => {
  test("what is read is what was written", async () => {
    await using collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/store"]);
    await using mounted = await mountCollective(collective, "mnt");
    exerciseFile({ path: join(mounted.path, "store", "file"), operations: 2_000, random: createSeededRandom(20261122) });
  });
});

describe.skipIf(reason !== undefined)(`random operations on one file of a mount${reason ? ` (${reason})` : ""}`, () => {
  for (const mode of ["write-through", "write-back"] as const) {
    test(`${mode}: what is read is what was written`, async () => {
      await using mounted = await mountMemory(mode === "write-back" ? ["--write-back"] : []);
      exerciseFile({ path: join(mounted.path, "file"), operations, random: createSeededRandom(20261121) });
    });
  }
});
