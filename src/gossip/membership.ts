/**
 * Who is there: what statements about members change, and what our own looking changes.
 *
 * Rules a liar runs into:
 * - an incarnation only grows, and only its member signs it: replays and forgeries are old news;
 * - an accusation counts for the incarnation that we know, once per accuser, and for as many as the
 *   accuser's budget allows; it starts a suspicion that its victim refutes, and shortens it no
 *   further than to the time that refuting takes;
 * - death is never told, only concluded.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import { type BucketRate, fullBucket, takeFrom } from "./bucket.ts";
import { dropNewsOf, spread } from "./news.ts";
import { accusationsOf, isPresent, opinionOf } from "./opinions.ts";
import { suspicionTimeoutMs } from "./profile.ts";
import { isNews } from "./relevance.ts";
import type { Budgets, Opinion, Suspicion, Turn } from "./state.ts";
import type { Alive, GossipRecord, Suspect } from "./statements.ts";
import { counterpartOf, entriesOf, kept, lookUp, withEntry, withoutKey, zeroDigest } from "./trie.ts";

/** Bytes of statements about itself that a member may have everybody take: a start's worth, then 2 KB a second. */
const newsRate: BucketRate = { burst: 256 * 1024, refillMs: 0.5 };
/** An honest member accuses at most one other every two probe intervals. */
const accusationsBurst = 4;
const intervalsPerAccusation = 4;
/** Of the shortest suspicion, between two refutations of ours. */
const refutationShare = 0.25;

export function isSelf(turn: Turn, member: GlobalName): boolean {
  return member === turn.state.self.member;
}

/** A new statement about ourselves, with a higher incarnation than any we have been shown. */
export function announceSelf(
  turn: Turn,
  change: Partial<Pick<Alive, "status" | "addresses">> & { readonly above?: number | undefined } = {},
): void {
  const { self } = turn.state;
  const { above = 0, ...fields } = change;
  const { member, status, addresses } = { ...self, ...fields };
  const incarnation = Math.max(self.incarnation, above) + 1;
  const next = turn.seal({ kind: "alive", member, status, addresses, incarnation });
  turn.state.self = next;
  turn.state.announcedMs = turn.nowMs;
  turn.state.refuteMs = Number.POSITIVE_INFINITY;
  turn.state.members = withEntry(turn.state.members, next);
  spread(turn, next);
}

/** False when its author has caused too much already. */
export function chargeNews(turn: Turn, author: Alive, { sealed }: Alive | GossipRecord): boolean {
  const budgets = charged(turn, turn.state.newsBudgets, author, newsRate, sealed.length);
  if (budgets) turn.state.newsBudgets = budgets;
  return budgets !== undefined;
}

/** Those of whom we take all again need no entry. */
export function sweepBudgets({ state, nowMs }: Turn): void {
  state.newsBudgets = kept(state.newsBudgets, ({ bucket }) => bucket > nowMs);
  state.accusationBudgets = kept(state.accusationBudgets, ({ bucket }) => bucket > nowMs);
}

function chargeAccusation(turn: Turn, accuser: Alive): boolean {
  const budgets = charged(turn, turn.state.accusationBudgets, accuser, accusationRate(turn), 1);
  if (budgets) turn.state.accusationBudgets = budgets;
  return budgets !== undefined;
}

/** Whether it was news. */
export function acceptAlive(turn: Turn, alive: Alive, passOn: boolean): boolean {
  const { state } = turn;
  const { member } = alive;
  if (!isNews(state, alive)) return false;
  if (isSelf(turn, member)) {
    // Somebody shows us what we said in an earlier life: we go on above it.
    announceSelf(turn, { above: alive.incarnation });
    return true;
  }
  const held = counterpartOf(state.members, alive);
  if (held && !chargeNews(turn, held, alive)) return false;
  const before = held && opinionOf(state, held);
  state.members = withEntry(state.members, alive);
  // With the same incarnation said twice, what is held against it stands.
  if (!held || alive.incarnation > held.incarnation) clearSuspicion(turn, member);
  const opinion = opinionOf(state, alive);
  if (opinion !== before) notifyOpinion(turn, member, opinion);
  if (before === "dead" && opinion !== "dead") hurryReconnect(turn);
  if (passOn) spread(turn, alive);
  return true;
}

/** Whether it was news. */
export function acceptSuspect(turn: Turn, suspect: Suspect): boolean {
  const { state } = turn;
  if (!isNews(state, suspect)) return false;
  if (isSelf(turn, suspect.member)) {
    refute(turn);
    return true;
  }
  const [accused, accuser] = [lookUp(state.members, suspect.member), lookUp(state.members, suspect.accuser)];
  if (!accused || !accuser || !chargeAccusation(turn, accuser)) return false;
  addAccusation(turn, accused, suspect);
  return true;
}

/**
 * Whoever accuses us, however often, we refute: long before a suspicion can run out, and seldom enough
 * that the others' budget for our statements lasts.
 */
function refute(turn: Turn): void {
  const { state, nowMs } = turn;
  const earliestMs = state.announcedMs + state.profile.suspicionMinMs * refutationShare;
  if (nowMs >= earliestMs) announceSelf(turn);
  else state.refuteMs = earliestMs;
}

/** Our own conclusion from failed probes. */
export function accuse(turn: Turn, member: GlobalName): void {
  const { state } = turn;
  const accuser = state.self.member;
  const statement = lookUp(state.members, member);
  if (!statement || !isPresent(state, statement)) return;
  const accusations = accusationsOf(state, member);
  if (accusations.some((one) => one.accuser === accuser) || accusations.length > state.profile.confirmations) return;
  addAccusation(turn, statement, turn.seal({ kind: "suspect", accuser, member, incarnation: statement.incarnation }));
}

/** Suspicions that have run out, looked for at most once in a gossip interval: in a partition there are as many as members. */
export function buryDead(turn: Turn): void {
  const { state, nowMs } = turn;
  let earliestMs = Number.POSITIVE_INFINITY;
  for (const suspicion of entriesOf(state.suspects)) {
    if (nowMs >= suspicion.deadlineMs) declareDead(turn, suspicion);
    else earliestMs = Math.min(earliestMs, suspicion.deadlineMs);
  }
  state.nextDeathMs = Math.max(earliestMs, nowMs + state.profile.gossipIntervalMs);
}

function declareDead(turn: Turn, suspicion: Suspicion): void {
  const member = suspicion.key;
  clearSuspicion(turn, member);
  turn.state.dead = withEntry(turn.state.dead, suspicion);
  notifyOpinion(turn, member, "dead");
}

export function postponeDeaths(turn: Turn, byMs: number): void {
  const { state } = turn;
  for (const suspicion of entriesOf(state.suspects))
    state.suspects = withEntry(state.suspects, { ...suspicion, deadlineMs: suspicion.deadlineMs + byMs });
  state.nextDeathMs += byMs;
}

export function forgetMember(turn: Turn, member: GlobalName): void {
  if (isSelf(turn, member)) return;
  clearSuspicion(turn, member);
  turn.state.members = withoutKey(turn.state.members, member);
  dropNewsOf(turn, member);
}

/** Members that count: not dead, ourselves included. Those that left count until they are forgotten, which only makes us more patient. */
export function presentCount(turn: Turn): number {
  return turn.state.members.count - turn.state.dead.count;
}

export function withoutDoubt(turn: Turn, member: GlobalName): void {
  if (!turn.state.doubts.has(member)) return;
  const doubts = new Map(turn.state.doubts);
  doubts.delete(member);
  turn.state.doubts = doubts;
}

function addAccusation(turn: Turn, accused: Alive, suspect: Suspect): void {
  const { state, nowMs } = turn;
  const { member, slot } = accused;
  const before = counterpartOf(state.suspects, accused);
  const sinceMs = before?.sinceMs ?? nowMs;
  const accusations = [...(before?.accusations ?? []), suspect];
  const timeoutMs = suspicionTimeoutMs(state.profile, accusations.length - 1, presentCount(turn));
  const deadlineMs = Math.max(nowMs, Math.min(before?.deadlineMs ?? Number.POSITIVE_INFINITY, sinceMs + timeoutMs));
  state.suspects = withEntry(state.suspects, { key: member, slot, digest: zeroDigest, sinceMs, deadlineMs, accusations });
  state.nextDeathMs = Math.min(state.nextDeathMs, deadlineMs);
  withoutDoubt(turn, member);
  if (!before) notifyOpinion(turn, member, "suspect");
  spread(turn, suspect);
}

/** Where one came back, the way to others may be open again: a partition that heals does so in a wave. */
function hurryReconnect(turn: Turn): void {
  const { state, nowMs } = turn;
  state.nextReconnectMs = Math.min(state.nextReconnectMs, nowMs + state.profile.gossipIntervalMs * turn.random.next());
}

function clearSuspicion(turn: Turn, member: GlobalName): void {
  const { state } = turn;
  state.suspects = withoutKey(state.suspects, member);
  state.dead = withoutKey(state.dead, member);
  withoutDoubt(turn, member);
}

function notifyOpinion(turn: Turn, member: GlobalName, opinion: Opinion): void {
  turn.actions.push({ kind: opinion === "alive" ? "memberUp" : opinion, member });
}

/** Undefined when that is more than is left. */
function charged({ nowMs }: Turn, budgets: Budgets, { key, slot }: Alive, rate: BucketRate, cost: number): Budgets | undefined {
  const before = counterpartOf(budgets, { key, slot })?.bucket ?? fullBucket;
  const bucket = takeFrom(before, rate, nowMs, cost);
  return bucket === undefined ? undefined : withEntry(budgets, { key, slot, digest: zeroDigest, bucket });
}

function accusationRate(turn: Turn): BucketRate {
  return { burst: accusationsBurst, refillMs: intervalsPerAccusation * turn.state.profile.probeIntervalMs };
}
