/** Random operations on one file of a mount never differ from a model; `scripts/fsx.ts` does many more. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { createSeededRandom } from "../../src/core/random.ts";
import { mountingImpossible, mountMemory } from "../support/e2e-mount.ts";
import { exerciseFile } from "../support/fsx.ts";

const reason = mountingImpossible();
const operations = 10_000;

describe.skipIf(reason !== undefined)(`random operations on one file of a mount${reason ? ` (${reason})` : ""}`, () => {
  for (const mode of ["write-through", "write-back"] as const) {
    test(`${mode}: what is read is what was written`, async () => {
      await using mounted = await mountMemory(mode === "write-back" ? ["--write-back"] : []);
      exerciseFile({ path: join(mounted.path, "file"), operations, random: createSeededRandom(20261121) });
    });
  }
});
