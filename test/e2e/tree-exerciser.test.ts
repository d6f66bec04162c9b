/** Random operations on a tree by several clients never differ from a model; `scripts/tree-exerciser.ts` does many more. */
import { expect, test } from "bun:test";
import { createSeededRandom } from "../../src/core/random.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { exerciseMountedTree } from "../support/tree-exerciser.ts";

const reason = mountingImpossible();

test.skipIf(reason !== undefined)(
  `one tree is the same by all its mounts and by commands${reason ? ` (${reason})` : ""}`,
  async () => {
    const { commands } = await exerciseMountedTree({ operations: 400, random: createSeededRandom(20261121) });
    expect(commands).toBeGreaterThan(0);
  },
  60_000,
);
