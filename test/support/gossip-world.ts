/**
 * Members of a federation under a simulated clock and network, from one seed: the real step function
 * with latency, loss, partitions, clocks that drift and processes that pause. Statements are encoded
 * but not signed; bytes are counted by `gossipSizeBytes`, which a test holds against the real encoding.
 */
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import type { Message } from "../../src/gossip/messages.ts";
import { opinionOf } from "../../src/gossip/opinions.ts";
import type { GossipProfile } from "../../src/gossip/profile.ts";
import { createSeal } from "../../src/gossip/seal.ts";
import type { GossipAction, GossipEvent, GossipState, StepEnvironment } from "../../src/gossip/state.ts";
import type { Alive } from "../../src/gossip/statements.ts";
import { createGossipState, step } from "../../src/gossip/swim.ts";
import { emptyTrie, lookUp, type Trie, withEntry } from "../../src/gossip/trie.ts";
import { createEventQueue } from "./event-queue.ts";
import { gossipSizeBytes } from "./gossip-size.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly members: number;
  /** Of all members, or of each by its number. */
  readonly profile: GossipProfile | ((index: number) => GossipProfile);
  /** Share of messages, requests and answers alike, that never arrive. */
  readonly loss?: number;
  readonly latencyMs?: { readonly min: number; readonly max: number };
  /** Clocks run by up to this share too fast or too slow. */
  readonly drift?: number;
}

export interface Noticed {
  readonly atMs: number;
  readonly by: number;
  readonly kind: "memberUp" | "suspect" | "dead" | "left";
  readonly member: GlobalName;
}

export interface SimMember {
  readonly name: GlobalName;
  readonly random: Random;
  readonly rate: number;
  state: GossipState;
  running: boolean;
  pausedUntilMs: number;
  group: number;
  /** When its wake event is due; another one is stale. */
  wakeMs: number;
}

export interface Traffic {
  messages: number;
  bytes: number;
  /** Of members, while they did not rest. */
  memberMs: number;
}

export interface GossipWorld {
  readonly nowMs: number;
  readonly members: readonly SimMember[];
  readonly noticed: Noticed[];
  readonly traffic: Traffic;
  /** Messages that are put in place of what a member would send; for liars. */
  tamper: (from: number, message: Message) => Message;
  run(forMs: number): void;
  /** Whether `condition` became true within that time; it is asked every `everyMs`. */
  runUntil(condition: () => boolean, withinMs: number, everyMs?: number): boolean;
  feed(index: number, event: GossipEvent): void;
  kill(index: number): void;
  pause(index: number, forMs: number): void;
  /** Starts a new member that knows one other. */
  join(via: number): number;
  /** A killed member again, knowing nothing but one other. */
  restart(index: number, via: number): void;
  partition(groupOf: (index: number) => number): void;
  opinionOf(by: number, about: number): string | undefined;
}

export function nameOf(index: number): GlobalName {
  return parseGlobalName(`m${index}@s${index}.collective.local`);
}

export const simSeal = createSeal(() => new Uint8Array(64));

type SimEvent =
  | { readonly kind: "wake"; readonly index: number; readonly atMs: number }
  | { readonly kind: "give"; readonly index: number; readonly event: GossipEvent }
  | { readonly kind: "timeout"; readonly index: number; readonly exchange: number; readonly call: number };

export function createGossipWorld(options: WorldOptions): GossipWorld {
  const { seed, loss = 0, latencyMs = { min: 1, max: 10 }, drift = 0 } = options;
  const random = createSeededRandom(seed);
  const queue = createEventQueue<SimEvent>();
  const calls = new Map<number, { readonly index: number; readonly exchange: number }>();
  const indexOf = new Map<GlobalName, number>();
  const members: SimMember[] = [];
  const noticed: Noticed[] = [];
  const traffic: Traffic = { messages: 0, bytes: 0, memberMs: 0 };
  let nowMs = 0;
  let nextCall = 1;

  const environmentOf = (member: Pick<SimMember, "random" | "rate">): StepEnvironment => ({
    nowMs: nowMs * member.rate,
    random: member.random,
    seal: simSeal,
  });
  const profileOf = (index: number): GossipProfile => (typeof options.profile === "function" ? options.profile(index) : options.profile);
  const newMember = (index: number): SimMember => {
    const name = nameOf(index);
    const own = { random: createSeededRandom(random.int(2 ** 32)), rate: 1 + drift * (2 * random.next() - 1) };
    const state = createGossipState(
      { profile: profileOf(index), member: name, addresses: [`${name.split("@")[1]}:8001`], counterStart: 1 },
      environmentOf(own),
    );
    return { ...own, name, state, running: true, pausedUntilMs: 0, group: 0, wakeMs: Number.POSITIVE_INFINITY };
  };
  const scheduleWake = (index: number, member: SimMember): void => {
    // A little late rather than a rounding error early, which would be asked again at the same time for ever.
    const atMs = Math.max(nowMs, member.state.dueMs / member.rate) + 1e-6;
    if (atMs >= member.wakeMs) return;
    member.wakeMs = atMs;
    queue.add(atMs, { kind: "wake", index, atMs });
  };
  const feed = (index: number, event: GossipEvent): void => {
    const member = members[index];
    if (!member?.running) return;
    if (member.pausedUntilMs > nowMs) {
      queue.add(member.pausedUntilMs, { kind: "give", index, event });
      return;
    }
    const { state, actions } = step(member.state, event, environmentOf(member));
    member.state = state;
    for (const action of actions) perform(index, member, action);
    scheduleWake(index, member);
  };
  const perform = (index: number, member: SimMember, action: GossipAction): void => {
    if (action.kind === "send") {
      const call = nextCall++;
      calls.set(call, { index, exchange: action.exchange });
      const to = indexOf.get(action.to);
      if (to !== undefined) carry(index, to, action.message, (message) => ({ kind: "request", from: member.name, call, message }));
      queue.add(nowMs + action.timeoutMs / member.rate, { kind: "timeout", index, exchange: action.exchange, call });
    } else if (action.kind === "respond") {
      const call = calls.get(action.call);
      calls.delete(action.call);
      if (call) carry(index, call.index, action.message, (message) => ({ kind: "response", exchange: call.exchange, message }));
    } else if (action.kind !== "recordChanged") noticed.push({ atMs: nowMs, by: index, kind: action.kind, member: action.member });
  };
  const carry = (from: number, to: number, original: Message, event: (message: Message) => GossipEvent): void => {
    const message = world.tamper(from, original);
    traffic.messages++;
    traffic.bytes += gossipSizeBytes(message);
    if (random.next() < loss || members[from]?.group !== members[to]?.group) return;
    const delayMs = latencyMs.min + (latencyMs.max - latencyMs.min) * random.next() ** 3;
    queue.add(nowMs + delayMs, { kind: "give", index: to, event: event(message) });
  };
  const dispatch = (event: SimEvent): void => {
    const member = members[event.index];
    if (event.kind === "give") feed(event.index, event.event);
    else if (event.kind === "timeout") {
      calls.delete(event.call);
      if (member?.state.exchanges.has(event.exchange)) feed(event.index, { kind: "failed", exchange: event.exchange });
    } else if (member?.wakeMs === event.atMs) {
      member.wakeMs = Number.POSITIVE_INFINITY;
      feed(event.index, { kind: "wake" });
    }
  };
  const start = (index: number, via: number): void => {
    scheduleWake(index, members[index] as SimMember);
    feed(index, { kind: "contact", member: nameOf(via) });
  };
  const world: GossipWorld = {
    get nowMs() {
      return nowMs;
    },
    members,
    noticed,
    traffic,
    tamper: (_, message) => message,
    run: (forMs) => {
      const endMs = nowMs + forMs;
      traffic.memberMs += forMs * members.filter((member) => member.running).length;
      for (let next = queue.nextMs(); next !== undefined && next <= endMs; next = queue.nextMs()) {
        nowMs = next;
        const event = queue.take();
        if (event) dispatch(event);
      }
      nowMs = endMs;
    },
    runUntil: (condition, withinMs, everyMs = 50) => {
      for (const endMs = nowMs + withinMs; nowMs < endMs; world.run(everyMs)) if (condition()) return true;
      return condition();
    },
    feed,
    kill: (index) => {
      const member = members[index];
      if (member) member.running = false;
    },
    pause: (index, forMs) => {
      const member = members[index];
      if (member) member.pausedUntilMs = nowMs + forMs;
    },
    join: (via) => {
      const index = members.length;
      members.push(newMember(index));
      indexOf.set(nameOf(index), index);
      start(index, via);
      return index;
    },
    restart: (index, via) => {
      members[index] = newMember(index);
      start(index, via);
    },
    partition: (groupOf) => {
      for (const [index, member] of members.entries()) member.group = groupOf(index);
    },
    opinionOf: (by, about) => {
      const state = members[by]?.state;
      const held = state && lookUp(state.members, nameOf(about));
      return held && opinionOf(state, held);
    },
  };
  for (let index = 0; index < options.members; index++) {
    members.push(newMember(index));
    indexOf.set(nameOf(index), index);
  }
  shareRoster(members);
  for (const [index, member] of members.entries()) scheduleWake(index, member);
  return world;
}

/** All know all from the start, and share one roster until something changes. */
function shareRoster(members: readonly SimMember[]): void {
  let roster: Trie<Alive> = emptyTrie();
  for (const { state } of members) roster = withEntry(roster, state.self);
  for (const member of members) {
    member.state = { ...member.state, members: roster, news: [], nextGossipMs: Number.POSITIVE_INFINITY };
    member.state = { ...member.state, dueMs: Math.min(member.state.nextProbeMs, member.state.nextSyncMs, member.state.nextReconnectMs) };
  }
}
