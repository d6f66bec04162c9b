/** The network between two members is cut for ten seconds; scripts/partition.ts does the same for longer. */
import { expect, test } from "bun:test";
import { partition } from "../support/e2e-partition.ts";

test("members that were cut off from each other agree again, and have lost nothing", async () => {
  const result = await partition({ seed: 1, cutMs: 10_000 });
  console.info(JSON.stringify(result));
  expect(result.ownDuringCut).toBeGreaterThan(5);
  expect(result.ownMedianMs.during).toBeLessThan(result.ownMedianMs.before * 3 + 500);
  // A write that began just before the cut waits for one answer of a coordinator that has answered.
  expect(result.refusedMsMax).toBeLessThan(40_000);
}, 150_000);
