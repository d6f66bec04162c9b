/**
 * The decisions of gossip as one pure function: (state, event, now, random) → (state, actions).
 * SWIM with suspicion and Lifeguard's three remedies (local health, dogpile, buddy system), anti-entropy
 * and the records that travel along; what each part does stands in the file of its name.
 *
 * Messages and bytes per member and minute do not grow with the members: each probes one other an interval,
 * gossips only news, and compares fingerprints with one other now and then.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import { endExchange, send, somePresent } from "./exchanges.ts";
import {
  acceptAlive,
  acceptSuspect,
  announceSelf,
  buryDead,
  forgetMember,
  postponeDeaths,
  presentCount,
  sweepBudgets,
  withoutDoubt,
} from "./membership.ts";
import type { Message, News } from "./messages.ts";
import { newsInAnswer, pendingNews, settleNews, spread } from "./news.ts";
import { isPresent } from "./opinions.ts";
import { adjustHealth, answerPing, continueProbe, failProbe, probeAnswered, probeUnanswered, relayProbe, startProbe } from "./probing.ts";
import { type GossipProfile, lossShareAtFirst } from "./profile.ts";
import { acceptRecord, forgetRecordsOf, publish } from "./records.ts";
import type { GossipAction, GossipEvent, GossipState, Session, StepEnvironment, Turn } from "./state.ts";
import type { Alive } from "./statements.ts";
import { compareWith, continueSync, retrySync, startSync } from "./sync.ts";
import { emptyTrie, entryAt, lookUp, withEntry } from "./trie.ts";

/** So many statements at once are somebody's catching up and nobody's news: they are kept and not passed on. */
const newsAtOnceMax = 16;
/** A leaving member tells more than usual: it has no second chance. */
const leaveFanout = 6;
const contactsAtOnceMax = 16;

export interface StepResult {
  readonly state: GossipState;
  readonly actions: readonly GossipAction[];
}

export interface NewGossip {
  readonly profile: GossipProfile;
  readonly member: GlobalName;
  readonly addresses: readonly string[];
  /**
   * Where incarnations and the Lamport clock begin: the calendar's milliseconds put a restarted member
   * above its earlier life without any disk. Should the calendar have gone back, the others show the
   * member what it said before, and it goes on from there.
   */
  readonly counterStart: number;
}

export function createGossipState(options: NewGossip, environment: StepEnvironment): GossipState {
  const { profile, member, addresses, counterStart } = options;
  const { nowMs, random } = environment;
  const self = environment.seal({ kind: "alive", member, incarnation: counterStart, status: "up", addresses: [...addresses] });
  const state: GossipState = {
    profile,
    self,
    members: withEntry(emptyTrie<Alive>(), self),
    records: emptyTrie(),
    clock: counterStart,
    health: 0,
    lossShare: lossShareAtFirst,
    news: [],
    probe: undefined,
    round: { key: random.int(2 ** 31), position: 0 },
    doubts: new Map(),
    suspects: emptyTrie(),
    dead: emptyTrie(),
    newsBudgets: emptyTrie(),
    accusationBudgets: emptyTrie(),
    contacts: new Map(),
    exchanges: new Map(),
    nextExchange: 1,
    nextProbeMs: nowMs + profile.probeIntervalMs * random.next(),
    nextGossipMs: Number.POSITIVE_INFINITY,
    nextSyncMs: nowMs + profile.syncIntervalMs * random.next(),
    nextReconnectMs: nowMs + profile.reconnectIntervalMs * random.next(),
    nextDeathMs: Number.POSITIVE_INFINITY,
    announcedMs: nowMs,
    refuteMs: Number.POSITIVE_INFINITY,
    dueMs: nowMs,
  };
  const turn = turnOf(state, environment);
  spread(turn, self);
  return finished(turn).state;
}

export function step(state: GossipState, event: GossipEvent, environment: StepEnvironment): StepResult {
  const turn = turnOf(state, environment);
  forgiveStall(turn);
  handle(turn, event);
  return finished(turn);
}

function turnOf(state: GossipState, environment: StepEnvironment): Turn {
  return { ...environment, state: { ...state }, actions: [], fresh: [] };
}

function finished(turn: Turn): StepResult {
  settleNews(turn);
  turn.state.dueMs = dueOf(turn.state);
  return { state: turn.state, actions: turn.actions };
}

/** Milliseconds that nobody worked here are nobody else's fault: after a pause all deadlines move by it, and no probe has failed. */
function forgiveStall(turn: Turn): void {
  const { state, nowMs } = turn;
  const lateMs = nowMs - state.dueMs;
  if (lateMs <= state.profile.probeIntervalMs) return;
  state.probe = undefined;
  state.doubts = new Map();
  postponeDeaths(turn, lateMs);
  adjustHealth(turn, 1);
}

function handle(turn: Turn, event: GossipEvent): void {
  if (event.kind === "wake") wake(turn);
  else if (event.kind === "request") onRequest(turn, event);
  else if (event.kind === "response") onResponse(turn, event.exchange, event.message);
  else if (event.kind === "failed") onFailed(turn, event.exchange);
  else if (event.kind === "contact") contact(turn, event.member);
  else if (event.kind === "publish") publish(turn, event.topic, event.item, event.body);
  else if (event.kind === "addresses") announceSelf(turn, { addresses: [...event.addresses] });
  else if (event.kind === "leave") leave(turn);
  else if (event.kind === "forget") {
    forgetMember(turn, event.member);
    endContact(turn, event.member);
    forgetRecordsOf(turn, event.member);
  } else event satisfies never;
}

function wake(turn: Turn): void {
  const { state, nowMs } = turn;
  if (nowMs >= state.refuteMs) announceSelf(turn);
  if (state.probe && nowMs >= state.probe.endsMs) failProbe(turn, state.probe);
  else if (state.probe) continueProbe(turn, state.probe);
  if (nowMs >= state.nextDeathMs) buryDead(turn);
  if (nowMs >= state.nextProbeMs) {
    sweepBudgets(turn);
    startProbe(turn);
  }
  if (nowMs >= state.nextGossipMs) gossip(turn);
  if (nowMs >= state.nextSyncMs) {
    state.nextSyncMs = jittered(turn, state.profile.syncIntervalMs);
    for (const member of somePresent(turn, 1)) startSync(turn, member);
  }
  if (nowMs >= state.nextReconnectMs) {
    state.nextReconnectMs = jittered(turn, state.profile.reconnectIntervalMs);
    reconnect(turn);
  }
}

function gossip(turn: Turn): void {
  const { state } = turn;
  for (const to of somePresent(turn, state.profile.gossipFanout)) {
    if (pendingNews(state) > 0) send(turn, { kind: "news", to }, { kind: "news" }, state.profile.exchangeTimeoutMs);
  }
  state.nextGossipMs = pendingNews(state) > 0 ? turn.nowMs + state.profile.gossipIntervalMs : Number.POSITIVE_INFINITY;
}

function contact(turn: Turn, member: GlobalName): void {
  if (member === turn.state.self.member) return;
  turn.state.contacts = new Map(turn.state.contacts).set(member, 0);
  startSync(turn, member);
}

/**
 * Contacts that have not answered, and one of the dead: a partition ends when somebody tries. A member
 * alone in being dead is tried by all together about once an interval.
 */
function reconnect(turn: Turn): void {
  const { contacts, dead } = turn.state;
  for (const member of [...contacts.keys()].slice(0, contactsAtOnceMax)) startSync(turn, member);
  if (dead.count === 0 || turn.random.next() * presentCount(turn) > dead.count) return;
  const target = entryAt(dead, turn.random.int(dead.count));
  if (target) startSync(turn, target.key);
}

function leave(turn: Turn): void {
  announceSelf(turn, { status: "left" });
  for (const to of somePresent(turn, leaveFanout)) {
    send(turn, { kind: "news", to }, { kind: "news" }, turn.state.profile.exchangeTimeoutMs);
  }
}

function onRequest(turn: Turn, { call, from, message, known = [] }: Extract<GossipEvent, { readonly kind: "request" }>): void {
  // Whoever speaks to us is there.
  withoutDoubt(turn, from);
  accept(turn, message.news, true);
  // What was not verified decides nothing but what the answer says.
  const told = [...message.news, ...known];
  if (message.kind === "ping") answerPing(turn, call, from, { ...message, news: told });
  else if (message.kind === "probe") relayProbe(turn, call, from, { ...message, news: told });
  else if (message.kind === "sync") {
    acceptPage(turn, message.statements);
    turn.actions.push({
      kind: "respond",
      call,
      message: { kind: "sync", ...compareWith(turn, message), news: newsInAnswer(turn, from, told) },
    });
  } else turn.actions.push({ kind: "respond", call, message: { kind: "ack", news: newsInAnswer(turn, from, told) } });
}

function onResponse(turn: Turn, id: number, message: Message): void {
  const exchange = endExchange(turn, id);
  if (!exchange) return;
  accept(turn, message.news, true);
  if (exchange.kind !== "sync") probeAnswered(turn, exchange, message);
  else if (message.kind === "sync") {
    endContact(turn, exchange.to);
    continueSync(turn, exchange, message, acceptPage(turn, message.statements));
  }
}

function onFailed(turn: Turn, id: number): void {
  const exchange = endExchange(turn, id);
  if (!exchange) return;
  if (exchange.kind === "sync") syncFailed(turn, exchange);
  else probeUnanswered(turn, exchange);
}

/** Contacts are tried again, ever less often; what broke off goes on where it was, and at last with somebody else. */
function syncFailed(turn: Turn, session: Session): void {
  const { state, nowMs } = turn;
  const { probeIntervalMs, reconnectIntervalMs } = state.profile;
  if (retrySync(turn, session)) return;
  const isMissed = session.turn > 0 || isPresent(state, lookUp(state.members, session.to));
  if (isMissed) state.nextSyncMs = Math.min(state.nextSyncMs, nowMs + probeIntervalMs * turn.random.next());
  const failures = state.contacts.get(session.to);
  if (failures === undefined) return;
  state.contacts = new Map(state.contacts).set(session.to, failures + 1);
  const delayMs = Math.min(reconnectIntervalMs, probeIntervalMs * 2 ** Math.min(failures, 10));
  state.nextReconnectMs = Math.min(state.nextReconnectMs, nowMs + delayMs * (0.5 + turn.random.next() / 2));
}

function endContact(turn: Turn, member: GlobalName): void {
  if (!turn.state.contacts.has(member)) return;
  const contacts = new Map(turn.state.contacts);
  contacts.delete(member);
  turn.state.contacts = contacts;
}

function acceptPage(turn: Turn, statements: readonly News[]): number {
  return accept(turn, statements, statements.length <= newsAtOnceMax);
}

/** How many were news. Members first: what they say is taken only from those that are known. */
function accept(turn: Turn, statements: readonly News[], passOn: boolean): number {
  let learnt = 0;
  for (const one of statements) if (one.kind === "alive" && acceptAlive(turn, one, passOn)) learnt++;
  for (const one of statements) {
    if (one.kind === "suspect" && acceptSuspect(turn, one)) learnt++;
    if (one.kind === "record" && acceptRecord(turn, one, passOn)) learnt++;
  }
  return learnt;
}

function jittered(turn: Turn, intervalMs: number): number {
  return turn.nowMs + intervalMs * (0.75 + turn.random.next() / 2);
}

function dueOf(state: GossipState): number {
  const { probe } = state;
  let dueMs = Math.min(state.nextProbeMs, state.nextGossipMs, state.nextSyncMs, state.nextReconnectMs, state.nextDeathMs, state.refuteMs);
  if (probe) dueMs = Math.min(dueMs, probe.nextTryMs, probe.helpersAsked === undefined ? probe.helpersAtMs : probe.endsMs);
  return dueMs;
}
