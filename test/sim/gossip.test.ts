/**
 * Federations of simulated members from seeds: what must hold whatever the network does. The long
 * version is scripts/gossip-sim.ts. `SEEDS=200` runs more, `SEED=17` runs that one.
 */
import { describe, expect, test } from "bun:test";
import { lanProfile, wanProfile } from "../../src/gossip/profile.ts";
import { encodeGossip } from "../../src/gossip/seal.ts";
import type { Alive } from "../../src/gossip/statements.ts";
import { emptyTrie, entriesOf } from "../../src/gossip/trie.ts";
import { disagreement, measureConvergence, measureDeath, measureJoin, measureQuiet } from "../support/gossip-scenarios.ts";
import { gossipSizeBytes } from "../support/gossip-size.ts";
import { createGossipWorld, type GossipWorld, nameOf, simSeal } from "../support/gossip-world.ts";

const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: Number(process.env.SEEDS ?? 3) }, (_, i) => i + 1);
const secondMs = 1_000;

function worldOf(seed: number, members: number, loss = 0): GossipWorld {
  return createGossipWorld({ seed, members, profile: lanProfile, loss, drift: 0.05, latencyMs: { min: 0.2, max: 20 } });
}

describe.each(seeds)("seed %d", (seed) => {
  test.each([2, 3, 10, 30])("a killed member of %d is dead everywhere within 10 s, and nobody else", (members) => {
    const world = worldOf(seed, members);
    world.run(3_000);
    const { suspect, dead } = measureDeath(world, members - 1, 60 * secondMs);
    expect(suspect.all).toBeLessThan(10 * secondMs);
    // Two that remain of three lack a second accuser for a while; of ten and more, somebody is always near.
    expect(dead.all).toBeLessThan(members === 3 ? 12 * secondMs : 10 * secondMs);
    expect(world.noticed.every(({ member }) => member === nameOf(members - 1))).toBe(true);
  });

  test("a new member is known everywhere within 2 s, and knows all", () => {
    const world = worldOf(seed, 10);
    world.run(3_000);
    expect(measureJoin(world, 4, 10 * secondMs).all).toBeLessThan(2 * secondMs);
    expect(world.runUntil(() => world.members[10]?.state.members.count === 11, 2 * secondMs)).toBe(true);
  });

  test("a member paused for 5 s is never dead, and neither is anybody to it", () => {
    const world = worldOf(seed, 10);
    for (let pause = 0; pause < 10; pause++) {
      world.run(2_000 + pause * 137);
      world.pause(pause, 5 * secondMs);
      world.run(20 * secondMs);
      expect(world.noticed.filter(({ kind }) => kind === "dead")).toEqual([]);
      expect(disagreement(world)).toBeUndefined();
    }
  });

  test("a restarted member is itself again, with what it said before", () => {
    const world = worldOf(seed, 8);
    world.feed(3, { kind: "publish", topic: "nodes", item: "", body: Buffer.from("three disks") });
    world.run(5_000);
    world.kill(3);
    world.run(1_000);
    world.restart(3, 0);
    expect(measureConvergence(world, 40 * secondMs)).toBeDefined();
    expect(world.noticed.filter(({ kind }) => kind === "dead")).toEqual([]);
    expect(world.members[3]?.state.records.count).toBe(1);
  });

  test.each([0, 0.1, 0.3])("after a partition all agree again, at a loss of %d", (loss) => {
    const world = worldOf(seed, 30, loss);
    world.run(5_000);
    world.partition((index) => index % 3);
    for (const index of [0, 1, 2])
      world.feed(index, { kind: "publish", topic: "catalogue", item: "", body: Buffer.from(`from side ${index}`) });
    world.run(60 * secondMs);
    world.partition(() => 0);
    expect(measureConvergence(world, 300 * secondMs)).toBeDefined();
    expect(world.members.every(({ state }) => state.records.count === 3)).toBe(true);
  });

  test("at 10 % loss nobody is declared dead, and it costs what a member costs", () => {
    const world = worldOf(seed, 50, 0.1);
    const { falseDeaths, memberMinutes, messagesPerMemberMinute, bytesPerMemberMinute } = measureQuiet(world, 120 * secondMs);
    expect(memberMinutes).toBeCloseTo(100);
    expect(falseDeaths).toBe(0);
    expect(messagesPerMemberMinute).toBeLessThan(600);
    expect(bytesPerMemberMinute).toBeLessThan(40_000);
  });
});

test.each([1, 3])("%d members that accuse everybody all the time bury nobody", (liars) => {
  const members = 12;
  const honest = members - liars;
  const world = worldOf(9, members, 0.05);
  for (let tick = 0; tick < 480; tick++) {
    for (let liar = honest; liar < members; liar++) {
      const accuser = nameOf(liar);
      for (let to = 0; to < honest; to++) {
        const roster = world.members[to]?.state.members ?? emptyTrie<Alive>();
        const news = [...entriesOf(roster)].map(({ member, incarnation }) => simSeal({ kind: "suspect", accuser, member, incarnation }));
        world.feed(to, { kind: "request", from: accuser, call: 0, message: { kind: "news", news } });
      }
    }
    world.run(250);
  }
  expect(world.noticed.filter(({ kind }) => kind === "dead")).toEqual([]);
  const incarnations = world.members.slice(0, honest).map(({ state }) => state.self.incarnation);
  // Each refutes once in 1.25 s, however many accuse it; that is what such a liar can make the others pay for.
  expect(Math.max(...incarnations)).toBeLessThan(110);
  expect(world.traffic.bytes / (world.traffic.memberMs / 60_000)).toBeLessThan(1_500_000);
});

test.each([
  [0, 1.1],
  [0.3, 1.2],
])("messages, bytes and times do not grow with the members, at a loss of %d", (loss, growthMax) => {
  const figures = [50, 400].map((members) => {
    const world = worldOf(1, members, loss);
    // Long enough to have learnt how much is lost.
    world.run(60 * secondMs);
    const quiet = measureQuiet(world, 60 * secondMs);
    const deaths = [1, 2, 3].map((back) => measureDeath(world, members - back, 60 * secondMs).dead.all);
    return { quiet, death: deaths.reduce((sum, one) => sum + one) / deaths.length };
  });
  const [small, large] = figures as [(typeof figures)[number], (typeof figures)[number]];
  expect(large.quiet.falseDeaths).toBe(0);
  expect(large.quiet.messagesPerMemberMinute / small.quiet.messagesPerMemberMinute).toBeLessThan(growthMax);
  expect(large.quiet.bytesPerMemberMinute / small.quiet.bytesPerMemberMinute).toBeLessThan(growthMax);
  expect(large.death / small.death).toBeLessThan(1.5);
});

test("the WAN profile bears loss and latency, and finds a death within a minute", () => {
  const world = createGossipWorld({ seed: 5, members: 12, profile: wanProfile, loss: 0.05, drift: 0.02, latencyMs: { min: 20, max: 600 } });
  expect(measureQuiet(world, 10 * 60 * secondMs).falseDeaths).toBe(0);
  expect(measureDeath(world, 11, 120 * secondMs).dead.all).toBeLessThan(60 * secondMs);
});

test("members of different profiles bear each other, and a death is known to all within the patience of the slower ones", () => {
  const profile = (index: number) => (index % 2 === 0 ? lanProfile : wanProfile);
  const world = createGossipWorld({ seed: 5, members: 12, profile, loss: 0.05, drift: 0.02, latencyMs: { min: 10, max: 150 } });
  expect(measureQuiet(world, 10 * 60 * secondMs).falseDeaths).toBe(0);
  expect(measureDeath(world, 11, 120 * secondMs).dead.all).toBeLessThan(40 * secondMs);
});

test("a member that leaves is gone at once, without a suspicion", () => {
  const world = worldOf(1, 10);
  world.run(1_000);
  world.feed(9, { kind: "leave" });
  world.run(200);
  world.kill(9);
  world.run(10 * secondMs);
  expect(new Set(world.noticed.map(({ kind }) => kind))).toEqual(new Set(["left"]));
  expect(world.members.slice(0, 9).every((_, index) => world.opinionOf(index, 9) === "left")).toBe(true);
});

test("the same seed gives the same run", () => {
  const run = (seed: number) => {
    const world = worldOf(seed, 20, 0.2);
    world.run(2_000);
    world.kill(3);
    world.run(20 * secondMs);
    return { noticed: world.noticed, traffic: world.traffic };
  };
  expect(run(4)).toEqual(run(4));
  expect(run(4)).not.toEqual(run(5));
});

test("bytes are counted as they would be sent", () => {
  const world = worldOf(2, 40, 0.2);
  const off: number[] = [];
  world.tamper = (_, message) => {
    off.push(Math.abs(gossipSizeBytes(message) / encodeGossip(message).length - 1));
    return message;
  };
  for (let index = 0; index < 40; index++) world.feed(index, { kind: "publish", topic: "nodes", item: "", body: Buffer.alloc(200) });
  world.run(5_000);
  world.join(1);
  world.run(30 * secondMs);
  expect(off.length).toBeGreaterThan(1_000);
  expect(Math.max(...off)).toBeLessThan(0.05);
});
