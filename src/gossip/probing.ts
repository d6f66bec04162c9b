/**
 * One probe an interval: directly; while there is no answer, directly again and again, and through helpers;
 * if there is none until the interval ends, it failed. A member is accused after several failures in a row,
 * one more for two points of our own bad health, and only when what gets lost on our way no longer explains
 * them: all hear of an accusation, so it must be rare that one is false, however many members there are.
 *
 * A helper's "it is there" is believed with the member's own signature under our nonce, and not else.
 */

import { nonceBytes } from "../../protocol/gossip.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { nextInRound, send, somePresent } from "./exchanges.ts";
import { accuse, withoutDoubt } from "./membership.ts";
import type { AckMessage, Message, PingMessage, ProbeMessage } from "./messages.ts";
import { newsInAnswer } from "./news.ts";
import { isPresent } from "./opinions.ts";
import { chanceOfSilence, failuresToAccuse, isBeyondChance, lossShareAfter, probeTimes } from "./profile.ts";
import { type Exchange, type Probe, relaysMax, type Turn } from "./state.ts";
import { lookUp } from "./trie.ts";

/** A helper gets this share of the time that is left, so that its "no" arrives in time to count. */
const helperTimeShare = 0.7;

export function startProbe(turn: Turn): void {
  const { state, nowMs } = turn;
  const { directMs, intervalMs } = probeTimes(state.profile, state.health);
  state.nextProbeMs = nowMs + intervalMs;
  const target = nextTarget(turn);
  if (target === undefined) return;
  const nonce = turn.random.bytes(nonceBytes);
  ping(turn, {
    target,
    nonce,
    tries: 0,
    nextTryMs: nowMs,
    helpersAsked: undefined,
    helpersAtMs: nowMs + directMs,
    endsMs: state.nextProbeMs,
    silentHelpers: 0,
  });
}

/** The direct answer is late: try again, and ask others to. */
export function continueProbe(turn: Turn, probe: Probe): void {
  if (turn.nowMs >= probe.nextTryMs) ping(turn, probe);
  if (turn.state.probe?.helpersAsked === undefined && turn.nowMs >= probe.helpersAtMs) askHelpers(turn);
}

/** An answer counts until the interval ends, but also later it clears a doubt. */
function ping(turn: Turn, probe: Probe): void {
  const { state, nowMs } = turn;
  const { target, nonce, endsMs } = probe;
  const nextMs = nowMs + state.profile.directTimeoutMs;
  state.probe = { ...probe, tries: probe.tries + 1, nextTryMs: nextMs < endsMs ? nextMs : Number.POSITIVE_INFINITY };
  send(turn, { kind: "ping", to: target, nonce }, { kind: "ping" }, probeTimes(state.profile, state.health).intervalMs);
}

function askHelpers(turn: Turn): void {
  const { state, nowMs } = turn;
  const { probe } = state;
  if (!probe) return;
  const { target, nonce, endsMs } = probe;
  const helpers = somePresent(turn, state.profile.helpers, target);
  state.probe = { ...probe, helpersAsked: helpers.length, silentHelpers: helpers.length };
  const leftMs = endsMs - nowMs;
  const timeoutMs = Math.max(1, Math.floor(leftMs * helperTimeShare));
  for (const to of helpers) send(turn, { kind: "helper", to, nonce, target }, { kind: "probe", target, nonce, timeoutMs }, leftMs);
}

/** The interval is over without a sign of the target. */
export function failProbe(turn: Turn, probe: Probe): void {
  const { state } = turn;
  const { target } = probe;
  state.probe = undefined;
  // Helpers that answer at all say that our own network is well.
  if (probe.silentHelpers * 2 > (probe.helpersAsked ?? 0)) adjustHealth(turn, 1);
  if (!isPresent(state, lookUp(state.members, target))) return;
  const before = state.doubts.get(target) ?? { failures: 0, chance: 1 };
  const failures = before.failures + 1;
  const chance = before.chance * chanceOfSilence(state.lossShare, probe.tries, probe.helpersAsked ?? 0);
  if (failures < failuresToAccuse(state.profile, state.health) || !isBeyondChance(chance, state.members.count)) {
    state.doubts = new Map(state.doubts).set(target, { failures, chance });
    return;
  }
  withoutDoubt(turn, target);
  accuse(turn, target);
}

/** An answer to a ping or to a helper's request. */
export function probeAnswered(turn: Turn, exchange: Exchange, message: Message): void {
  if (exchange.kind === "ping") {
    if (message.kind === "ack") seen(turn, exchange.to, exchange.nonce, 1);
  } else if (exchange.kind === "helper") {
    if (message.kind === "ack" && provesPresence(message, exchange.target, exchange.nonce)) seen(turn, exchange.target, exchange.nonce, 0);
    if (message.kind === "nack") helperAnswered(turn, exchange.nonce);
  } else if (exchange.kind === "relay") {
    const proof = message.kind === "ack" ? message.proof : undefined;
    respondToRelay(turn, exchange, proof);
  }
}

/** No answer to it, or none to be had; a refused connection needs no time-out. */
export function probeUnanswered(turn: Turn, exchange: Exchange): void {
  const { probe } = turn.state;
  if (exchange.kind === "relay") respondToRelay(turn, exchange, undefined);
  if (exchange.kind === "ping" && probe && probe.helpersAsked === undefined && sameNonce(probe.nonce, exchange.nonce)) askHelpers(turn);
}

/** We are asked to look for somebody. */
export function relayProbe(turn: Turn, call: number, from: GlobalName, message: ProbeMessage): void {
  const { state } = turn;
  const { target, nonce } = message;
  const relays = [...state.exchanges.values()].filter((exchange) => exchange.kind === "relay").length;
  const timeoutMs = Math.min(message.timeoutMs, state.profile.probeIntervalMs * (1 + state.profile.healthMax));
  const isPossible = lookUp(state.members, target) !== undefined && target !== state.self.member && relays < relaysMax;
  if (isPossible && send(turn, { kind: "relay", to: target, call, asker: from }, { kind: "ping", nonce }, timeoutMs)) return;
  turn.actions.push({ kind: "respond", call, message: { kind: "nack", news: newsInAnswer(turn, from, message.news) } });
}

/** We have been reached: the nonce is there when it is a helper that asks, and the one behind it wants our word. */
export function answerPing(turn: Turn, call: number, from: GlobalName, { nonce, news: theirs }: PingMessage): void {
  const news = newsInAnswer(turn, from, theirs);
  const proof = nonce && turn.seal({ kind: "presence", member: turn.state.self.member, nonce });
  turn.actions.push({ kind: "respond", call, message: { kind: "ack", news, proof } });
}

export function adjustHealth(turn: Turn, by: number): void {
  const { state } = turn;
  state.health = Math.min(state.profile.healthMax, Math.max(0, state.health + by));
}

/** A doubted member again, before the round goes on. */
function nextTarget(turn: Turn): GlobalName | undefined {
  for (const member of turn.state.doubts.keys()) {
    if (isPresent(turn.state, lookUp(turn.state.members, member))) return member;
    withoutDoubt(turn, member);
  }
  return nextInRound(turn);
}

/** `answered` of our pings, which is none when a helper got through to it. */
function seen(turn: Turn, target: GlobalName, nonce: Uint8Array, answered: 0 | 1): void {
  const { probe } = turn.state;
  withoutDoubt(turn, target);
  if (!probe || !sameNonce(probe.nonce, nonce)) return;
  // It is alive, and we did not get to it at once: that is about us or our way.
  adjustHealth(turn, probe.helpersAsked === undefined ? -1 : 1);
  for (let number = 1; number <= probe.tries; number++) {
    turn.state.lossShare = lossShareAfter(turn.state.lossShare, number > probe.tries - answered);
  }
  turn.state.probe = undefined;
}

function helperAnswered(turn: Turn, nonce: Uint8Array): void {
  const { probe } = turn.state;
  if (probe && sameNonce(probe.nonce, nonce)) turn.state.probe = { ...probe, silentHelpers: probe.silentHelpers - 1 };
}

function respondToRelay(turn: Turn, exchange: Exchange & { readonly kind: "relay" }, proof: AckMessage["proof"]): void {
  const news = newsInAnswer(turn, exchange.asker, []);
  const message: Message = proof ? { kind: "ack", news, proof } : { kind: "nack", news };
  turn.actions.push({ kind: "respond", call: exchange.call, message });
}

function provesPresence(message: AckMessage, target: GlobalName, nonce: Uint8Array): boolean {
  return message.proof?.member === target && sameNonce(message.proof.nonce, nonce);
}

function sameNonce(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
