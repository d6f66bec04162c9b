/** Disks of 3, 2 and 1.5 TB, a ten-thousandth of it, filled by the real executable. */
import { expect, test } from "bun:test";
import { fillCollective } from "../support/e2e-uneven-disks.ts";

test("uneven disks fill evenly, to what is possible, and then it says that there is no space", async () => {
  const filled = await fillCollective({ strategy: "hybrid", replicas: 2, capacities: ["300MB", "200MB", "150MB"] });
  expect(filled.storedBytes / filled.possibleBytes).toBeGreaterThanOrEqual(0.95);
  expect(filled.announcedBytes / filled.possibleBytes).toBeWithin(0.99, 1.000001);
  expect(Math.max(...filled.levels) - Math.min(...filled.levels)).toBeLessThanOrEqual(5);
  expect(filled.refusal).toMatch(/^collective: .+ \(no_space\)\n/);
});
