/** What uneven disks really hold when they are filled chunk by chunk, with free space as it was at the last heartbeat. */
import { describe, expect, test } from "bun:test";
import { defaultStorePolicy, strategies } from "../../protocol/schema.ts";
import { usableSpace } from "../../src/cluster/usable.ts";
import { fillNodes, home, levelSpread, policyOf, spreadBound, unevenShapes } from "../support/filling.ts";

const reachedMin = 0.95;
const levelPointsMax = 5;

for (const shape of unevenShapes()) {
  const hasOneMember = new Set(shape.nodes.map((node) => node.member)).size === 1;

  describe(shape.name, () => {
    test.each(strategies)("%s holds what is possible for it, and as much as is told", (strategy) => {
      const policy = policyOf({ strategy, replicas: shape.replicas });
      const { chunks, spreadChunks, used } = fillNodes({ policy, nodes: shape.nodes });
      expect(spreadChunks).toBeGreaterThanOrEqual(reachedMin * spreadBound(policy, shape.nodes));
      const store = { policy: { ...defaultStorePolicy, ...policy }, logicalBytes: 0 };
      const { availableBytes } = usableSpace({ store, home, nodes: shape.nodes });
      expect(chunks / availableBytes).toBeWithin(reachedMin, 1.01);
      if (hasOneMember) expect(levelSpread(shape, used)).toBeLessThanOrEqual(levelPointsMax);
    });
  });
}

test("disks are equally full on the way, too", () => {
  const [shape] = unevenShapes();
  if (!shape) throw new Error("no shape");
  for (const chunksMax of [800, 1_600, 2_400]) {
    expect(levelSpread(shape, fillNodes({ policy: policyOf(), nodes: shape.nodes, chunksMax }).used)).toBeLessThanOrEqual(levelPointsMax);
  }
});

test("media at least at two members loses nothing by staying near", () => {
  for (const shape of unevenShapes().slice(6)) {
    const policy = policyOf({ strategy: "media", replicas: shape.replicas, minMembers: 2 });
    expect(fillNodes({ policy, nodes: shape.nodes }).spreadChunks).toBeGreaterThanOrEqual(reachedMin * spreadBound(policy, shape.nodes));
  }
});

test("free space that is known late costs little", () => {
  const [shape] = unevenShapes();
  if (!shape) throw new Error("no shape");
  for (const seed of [1, 2, 3]) {
    // Half a per cent of all the space is written between two heartbeats.
    const { chunks, used } = fillNodes({ policy: policyOf(), nodes: shape.nodes, seed, chunksPerHeartbeat: 32 });
    expect(chunks).toBeGreaterThanOrEqual(reachedMin * spreadBound(policyOf(), shape.nodes));
    expect(levelSpread(shape, used)).toBeLessThanOrEqual(levelPointsMax);
  }
});
