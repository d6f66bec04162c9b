/**
 * Gossip at sizes that no machine at hand could run as processes: the real decisions under a simulated
 * clock and network (test/support/gossip-world.ts).
 *
 *   bun scripts/gossip-sim.ts --members 50,500,5000 --loss 0,0.1,0.3 --seeds 3 --seed 1 --minutes 1 --heal
 *
 * For each combination: a quiet stretch (`--minutes`) for costs and false deaths, then deaths and joins,
 * one after the other, for the times; with `--heal`, a partition of a tenth (`--cut`) for 60 s and the time
 * until nobody is lost to anybody and all hold the same records. Times are medians over the events of all seeds, in seconds.
 *
 * With 5,000 members set BUN_JSC_forceRAMSize=3000000000, or the garbage of the simulation is collected late and takes gigabytes more.
 */
import { parseArgs } from "node:util";
import { lanProfile, wanProfile } from "../src/gossip/profile.ts";
import {
  type DeathFigures,
  measureDeath,
  measureHealing,
  measureJoin,
  measureQuiet,
  type QuietFigures,
  type Spread,
} from "../test/support/gossip-scenarios.ts";
import { createGossipWorld, type GossipWorld, type SimMember } from "../test/support/gossip-world.ts";

const { values } = parseArgs({
  options: {
    members: { type: "string", default: "50,500" },
    loss: { type: "string", default: "0,0.1,0.3" },
    seeds: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "1" },
    profile: { type: "string", default: "lan" },
    heal: { type: "boolean", default: false },
    cut: { type: "string", default: "0.1" },
  },
});

const numbers = (text: string) => text.split(",").map(Number);
const profile = values.profile === "wan" ? wanProfile : lanProfile;
const latencyMs = profile === wanProfile ? { min: 10, max: 400 } : { min: 0.2, max: 20 };
const drift = 0.02;
const eventsPerSeed = 3;
const eventMsMax = 40 * profile.suspicionMaxMs;
const partitionMs = 60_000;
/** One in so many is cut off. */
const cutOffOneIn = Math.round(1 / Number(values.cut));

interface Row {
  readonly quiet: QuietFigures[];
  readonly deaths: DeathFigures[];
  readonly joins: Spread[];
  readonly heals: (number | undefined)[];
}

function measure(members: number, loss: number): Row {
  const row: Row = { quiet: [], deaths: [], joins: [], heals: [] };
  for (let run = 0; run < Number(values.seeds); run++) {
    const world = createGossipWorld({ seed: Number(values.seed) + run, members, profile, loss, drift, latencyMs });
    world.run(2 * profile.syncIntervalMs);
    row.quiet.push(measureQuiet(world, Number(values.minutes) * 60_000));
    for (let event = 0; event < eventsPerSeed; event++) {
      row.deaths.push(measureDeath(world, members - 1 - event, eventMsMax));
      row.joins.push(measureJoin(world, event, eventMsMax));
      // What a newcomer has not yet heard of, it cannot miss: the next death waits until it knows all.
      world.runUntil(() => knowsAll(world.members.at(-1), world), eventMsMax);
    }
    if (!values.heal) continue;
    world.partition((index) => (index % cutOffOneIn === 1 ? 1 : 0));
    for (const index of [0, 1]) world.feed(index, { kind: "publish", topic: "catalogue", item: "", body: Buffer.alloc(500, index) });
    world.run(partitionMs);
    world.partition(() => 0);
    row.heals.push(measureHealing(world, 10 * partitionMs));
  }
  return row;
}

function knowsAll(newcomer: SimMember | undefined, world: GossipWorld): boolean {
  return newcomer?.state.members.count === world.members.length;
}

const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;
const seconds = (all: readonly (number | undefined)[]) => (median(all.map((one) => one ?? Number.POSITIVE_INFINITY)) / 1_000).toFixed(1);
const total = (all: readonly QuietFigures[], field: keyof QuietFigures) => all.reduce((sum, one) => sum + one[field], 0);
const mean = (all: readonly QuietFigures[], field: keyof QuietFigures) => Math.round(total(all, field) / all.length);

console.log(`profile ${profile.name}, seeds ${values.seed} to ${Number(values.seed) + Number(values.seeds) - 1}, clocks ±${drift * 100} %`);
console.log(
  "| members | loss | suspect: first | dead: first | dead: 99 % | dead: all | new: 99 % | new: all | messages/member/min | bytes/member/min | suspicions | false deaths/member-minutes | healed after | real s | MB |",
);
console.log(`|${" --- |".repeat(15)}`);
for (const members of numbers(values.members)) {
  for (const loss of numbers(values.loss)) {
    const startMs = performance.now();
    const { quiet, deaths, joins, heals } = measure(members, loss);
    const cells = [
      members,
      `${loss * 100} %`,
      seconds(deaths.map(({ suspect }) => suspect.first)),
      seconds(deaths.map(({ dead }) => dead.first)),
      seconds(deaths.map(({ dead }) => dead.most)),
      seconds(deaths.map(({ dead }) => dead.all)),
      seconds(joins.map((join) => join.most)),
      seconds(joins.map((join) => join.all)),
      mean(quiet, "messagesPerMemberMinute"),
      mean(quiet, "bytesPerMemberMinute"),
      total(quiet, "suspicions"),
      `${total(quiet, "falseDeaths")}/${Math.round(total(quiet, "memberMinutes"))}`,
      heals.length === 0 ? "–" : heals.includes(undefined) ? "not in time" : seconds(heals),
      Math.round((performance.now() - startMs) / 1_000),
      Math.round(process.memoryUsage.rss() / 1e6),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
