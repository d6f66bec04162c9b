/** Programs on two mounts while parts of the collective are killed and cut off; `scripts/mount-chaos.ts` does it for longer. */
import { expect, test } from "bun:test";
import { mountChaos } from "../support/e2e-chaos.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";

const reason = mountingImpossible();

test.skipIf(reason !== undefined)(
  `programs on two mounts read nothing wrong, lose nothing synced and never hang${reason ? ` (${reason})` : ""}`,
  async () => {
    const seed = Number(process.env.COLLECTIVE_CHAOS_SEED ?? Date.now() % 2 ** 31);
    console.log(`mount-chaos: seed ${seed}`);
    const { phases, checked, seen, synced } = await mountChaos({ seed, seconds: 10, cutMs: 3_000, timeLimitMs: 5_000 });
    expect(phases.map(({ phase }) => phase)).toEqual(["calm", "node killed", "coordinator killed", "network cut", "mount killed"]);
    for (const { calls } of phases) expect(calls).toBeGreaterThan(0);
    for (const count of [checked, seen, synced]) expect(count).toBeGreaterThan(0);
  },
  150_000,
);
