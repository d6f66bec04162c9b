/** What is measured in the simulated federation, for the tests and for scripts/gossip-sim.ts. */
import type { GlobalName } from "../../protocol/ids.ts";
import { entriesOf, entryAt, lookUp, sameDigest } from "../../src/gossip/trie.ts";
import { type GossipWorld, type Noticed, nameOf } from "./gossip-world.ts";

export interface QuietFigures {
  readonly memberMinutes: number;
  readonly messagesPerMemberMinute: number;
  readonly bytesPerMemberMinute: number;
  readonly suspicions: number;
  readonly falseDeaths: number;
}

/** Nothing happens but what the network does. */
export function measureQuiet(world: GossipWorld, forMs: number): QuietFigures {
  const before = { ...world.traffic };
  const noticedBefore = world.noticed.length;
  world.run(forMs);
  const memberMinutes = (world.traffic.memberMs - before.memberMs) / 60_000;
  const noticed = world.noticed.slice(noticedBefore);
  return {
    memberMinutes,
    messagesPerMemberMinute: (world.traffic.messages - before.messages) / memberMinutes,
    bytesPerMemberMinute: (world.traffic.bytes - before.bytes) / memberMinutes,
    // One per victim and observer; an accusation that goes round is seen by all.
    suspicions: new Set(noticed.filter(({ kind }) => kind === "suspect").map(({ member, atMs }) => `${member} ${Math.floor(atMs / 5_000)}`))
      .size,
    falseDeaths: noticed.filter(({ kind }) => kind === "dead").length,
  };
}

/** Milliseconds since the event, for each member that noticed it; infinite for one that did not in time. */
export interface Spread {
  readonly first: number;
  readonly half: number;
  readonly most: number;
  readonly all: number;
}

export interface DeathFigures {
  readonly suspect: Spread;
  readonly dead: Spread;
}

export function measureDeath(world: GossipWorld, victim: number, withinMs: number): DeathFigures {
  const watch = watching(world, nameOf(victim));
  world.kill(victim);
  world.runUntil(() => watch("dead").length === running(world).length, withinMs);
  return { suspect: spreadOf(watch("suspect"), running(world).length), dead: spreadOf(watch("dead"), running(world).length) };
}

/** Until all others know of a new member. */
export function measureJoin(world: GossipWorld, via: number, withinMs: number): Spread {
  const others = running(world).length;
  const watch = watching(world, nameOf(world.members.length));
  world.join(via);
  world.runUntil(() => watch("memberUp").length === others, withinMs);
  return spreadOf(watch("memberUp"), others);
}

/** Until all that run think of all that run as alive, and hold the same; undefined when they did not in time. */
export function measureConvergence(world: GossipWorld, withinMs: number): number | undefined {
  const startMs = world.nowMs;
  return world.runUntil(() => disagreement(world) === undefined, withinMs, 500) ? world.nowMs - startMs : undefined;
}

/**
 * Until everybody who was dead to somebody when the network healed has been alive to it again, and all
 * hold the same records. Where messages go on being lost there is always some fresh suspicion; that is
 * no part of healing.
 */
export function measureHealing(world: GossipWorld, withinMs: number): number | undefined {
  const startMs = world.nowMs;
  const alive = running(world);
  const names = new Set(alive.map(({ name }) => name));
  let lost = alive.map((member) => ({
    member,
    names: [...entriesOf(member.state.dead)].map(({ key }) => key).filter((name) => names.has(name)),
  }));
  const isHealed = (): boolean => {
    lost = lost
      .map((one) => ({ ...one, names: one.names.filter((name) => lookUp(one.member.state.dead, name)) }))
      .filter((one) => one.names.length > 0);
    const digests = alive.map(({ state }) => state.records.digest);
    return lost.length === 0 && digests.every((digest) => sameDigest(digest, digests[0] ?? digest));
  };
  return world.runUntil(isHealed, withinMs, 500) ? world.nowMs - startMs : undefined;
}

/** The first difference between members that run, in words. */
export function disagreement(world: GossipWorld): string | undefined {
  const alive = running(world);
  const [reference] = alive;
  if (!reference) return undefined;
  for (const member of alive) {
    const { state } = member;
    if (state.suspects.count > 0) return `${member.name} suspects ${entryAt(state.suspects, 0)?.key}`;
    const wrong = [...entriesOf(state.dead)].find(({ key }) => alive.some((other) => other.name === key));
    if (wrong) return `${member.name} thinks ${wrong.key} is dead`;
    if (!sameDigest(state.members.digest, reference.state.members.digest))
      return `${member.name} knows other members than ${reference.name}`;
    if (!sameDigest(state.records.digest, reference.state.records.digest))
      return `${member.name} holds other records than ${reference.name}`;
  }
  return undefined;
}

function running(world: GossipWorld) {
  return world.members.filter((member) => member.running);
}

/** When each observer first noticed something about this member, from now on. */
function watching(world: GossipWorld, about: GlobalName): (kind: Noticed["kind"]) => number[] {
  const startMs = world.nowMs;
  let seen = world.noticed.length;
  const first = new Map<string, number>();
  return (kind) => {
    for (; seen < world.noticed.length; seen++) {
      const one = world.noticed[seen];
      if (one?.member === about && !first.has(`${one.kind} ${one.by}`)) first.set(`${one.kind} ${one.by}`, one.atMs - startMs);
    }
    return [...first].flatMap(([key, atMs]) => (key.startsWith(`${kind} `) ? [atMs] : []));
  };
}

function spreadOf(timesMs: readonly number[], observers: number): Spread {
  const sorted = timesMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * observers) - 1)] ?? Number.POSITIVE_INFINITY;
  return { first: sorted[0] ?? Number.POSITIVE_INFINITY, half: at(0.5), most: at(0.99), all: at(1) };
}
