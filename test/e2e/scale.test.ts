/** Members that come, pause and die among real processes; `scripts/scale.ts` does the same with many more of them. */
import { expect, test } from "bun:test";
import { measureScale, scaleLimits } from "../support/e2e-scale.ts";

test("a new member is known everywhere in time, a killed one dead, and one that is paused never is", async () => {
  const figures = await measureScale({ members: 4, nodes: 1, rounds: 1, seed: 7, say: (line) => console.info(line) });
  const [round] = figures.rounds;
  expect(figures.processes).toBe(8);
  expect(round?.pausedStates).not.toContain("dead");
  expect(round?.known.all).toBeLessThan(scaleLimits.knownMs);
  expect(round?.dead.all).toBeLessThan(scaleLimits.deadMs);
}, 120_000);
