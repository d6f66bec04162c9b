import { expect, test } from "bun:test";
import type { GlobalName } from "../../protocol/ids.ts";
import type { NodeState } from "../../protocol/schema.ts";
import { judgeHealth } from "../../src/coordinator/health.ts";
import { nodeHealth } from "../../src/node/metrics.ts";
import { alice, garage } from "../support/pki.ts";

const fine = { files: 10, chunks: 20, degradedChunks: 0, lostChunks: 0 };

function nodes(...states: NodeState[]) {
  return states.map((state, index) => ({ name: `node-0${index + 1}@home.collective.local` as GlobalName, state }));
}

test("health says what a user can still do", () => {
  expect(judgeHealth(nodes("alive", "alive"), fine)).toEqual({ health: "healthy", healthScore: 100, reasons: [] });
  const oneDown = judgeHealth(nodes("alive", "dead"), fine);
  expect(oneDown.health).toBe("degraded");
  expect(oneDown.reasons.join()).toContain("node-02@home.collective.local is dead");
  expect(judgeHealth(nodes("alive", "suspect"), fine).health).toBe("degraded");
  expect(judgeHealth([], fine)).toMatchObject({ health: "degraded" });
  expect(judgeHealth(nodes("dead", "dead"), fine).health).toBe("unhealthy");
  expect(judgeHealth(nodes("alive"), { ...fine, degradedChunks: 3 })).toMatchObject({ health: "degraded" });
  const lost = judgeHealth(nodes("alive"), { ...fine, degradedChunks: 3, lostChunks: 2 });
  expect(lost.health).toBe("unhealthy");
  expect(lost.reasons).toHaveLength(2);
  expect(lost.reasons[0]).toStartWith("2 chunks ");
  expect(lost.reasons[1]).toStartWith("1 chunk");
});

test("the score falls with every reason and tells the states apart", () => {
  const scores = [
    judgeHealth(nodes("alive", "alive"), fine),
    judgeHealth(nodes("alive", "dead"), fine),
    judgeHealth(nodes("alive", "dead"), { ...fine, degradedChunks: 1 }),
    judgeHealth(nodes("dead", "dead"), { ...fine, degradedChunks: 1 }),
  ].map((verdict) => verdict.healthScore);
  expect([...scores].sort((a, b) => b - a)).toEqual(scores);
  expect(new Set(scores).size).toBe(4);
  expect(scores.every((score) => score >= 0 && score <= 100)).toBe(true);
});

test("nodes that someone takes out of use on purpose are not missing", () => {
  expect(judgeHealth(nodes("alive", "draining"), fine).reasons.join()).not.toContain("dead");
});

test("a node serves on whatever it lacks, and says of which guest it has lost the index", () => {
  const node = (freeBytes: number, connected: boolean, ...unusable: (typeof garage)[]) =>
    nodeHealth({
      member: alice,
      stores: {
        usage: () => ({ usedBytes: 0, capacityBytes: 1_000, freeBytes, chunkCount: 0, quarantinedCount: 0 }),
        guests: () => [],
        unusable: () => unusable,
      },
      isRegistered: () => connected,
    });
  expect(node(1_000, true)).toEqual({ health: "healthy", healthScore: 100, reasons: [] });
  expect(node(1_000, true, garage)).toMatchObject({ health: "degraded", reasons: [expect.stringContaining(garage)] });
  const worst = node(0, false, garage);
  expect(worst.reasons).toHaveLength(3);
  // The observability server calls it ready above 30.
  expect(worst.healthScore).toBeGreaterThan(30);
});
