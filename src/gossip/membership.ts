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
import { type Bucket, type BucketRate, fullBucket, takeFrom } from "./bucket.ts";
import { dropNewsOf, spread } from "./news.ts";
import { suspicionTimeoutMs } from "./profile.ts";
import { isNews } from "./relevance.ts";
import type { MemberView, Opinion, Turn } from "./state.ts";
import type { Alive, Suspect } from "./statements.ts";
import { lookUp, withEntry, withoutKey } from "./trie.ts";

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

export function viewOf(turn: Turn, member: GlobalName): MemberView | undefined {
  return lookUp(turn.state.members, member);
}

export function setView(turn: Turn, view: MemberView): void {
  turn.state.members = withEntry(turn.state.members, view.statement.member, view, view.statement.digest);
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
  turn.state.refuteMs = Number.POSITIVE_INFINITY;
  setView(turn, newView(turn, next));
  spread(turn, next);
}

export function newView(turn: Pick<Turn, "state" | "nowMs">, statement: Alive): MemberView {
  return {
    statement,
    opinion: statement.status === "left" ? "left" : "alive",
    changedMs: turn.nowMs,
    accusations: [],
    newsBudget: fullBucket(newsRate, turn.nowMs),
    accusationBudget: fullBucket(accusationRate(turn), turn.nowMs),
    introductions: 0,
  };
}

/** The author's budget after a statement of this size, or undefined when it has caused too much already. */
export function chargeNews(turn: Turn, view: MemberView, sizeBytes: number): Bucket | undefined {
  return takeFrom(view.newsBudget, newsRate, turn.nowMs, sizeBytes);
}

/** Whether it was news. */
export function acceptAlive(turn: Turn, alive: Alive, passOn: boolean): boolean {
  if (!isNews(turn.state, alive)) return false;
  if (isSelf(turn, alive.member)) {
    // Somebody shows us what we said in an earlier life: we go on above it.
    announceSelf(turn, { above: alive.incarnation });
    return true;
  }
  const view = viewOf(turn, alive.member);
  const budget = view && chargeNews(turn, view, alive.sealed.length);
  if (view && !budget) return false;
  const before = view?.opinion;
  const fresh = newView(turn, alive);
  // With the same incarnation said twice, what we think of it stands.
  const isNewLife = !view || alive.incarnation > view.statement.incarnation;
  setView(turn, {
    ...fresh,
    ...(view && { newsBudget: budget ?? view.newsBudget, accusationBudget: view.accusationBudget, introductions: view.introductions }),
    ...(view && !isNewLife && { opinion: view.opinion, changedMs: view.changedMs, accusations: view.accusations }),
    ...(view && isNewLife && before === fresh.opinion && { changedMs: view.changedMs }),
  });
  if (before === "dead" && isNewLife) hurryReconnect(turn);
  if (isNewLife) {
    clearSuspicion(turn, alive.member);
    if (fresh.opinion !== before) notifyOpinion(turn, alive.member, fresh.opinion);
  }
  if (passOn) spread(turn, alive);
  return true;
}

/** Whether it was news. */
export function acceptSuspect(turn: Turn, suspect: Suspect): boolean {
  const { member, accuser } = suspect;
  const view = viewOf(turn, member);
  if (!view || !isNews(turn.state, suspect)) return false;
  if (isSelf(turn, member)) {
    refute(turn, view);
    return true;
  }
  const accuserView = viewOf(turn, accuser);
  const budget = accuserView && takeFrom(accuserView.accusationBudget, accusationRate(turn), turn.nowMs);
  if (!accuserView || !budget) return false;
  setView(turn, { ...accuserView, accusationBudget: budget });
  addAccusation(turn, view, suspect);
  return true;
}

/**
 * Whoever accuses us, however often, we refute: long before a suspicion can run out, and seldom enough
 * that the others' budget for our statements lasts.
 */
function refute(turn: Turn, self: MemberView): void {
  const { state, nowMs } = turn;
  const earliestMs = self.changedMs + state.profile.suspicionMinMs * refutationShare;
  if (nowMs >= earliestMs) announceSelf(turn);
  else state.refuteMs = earliestMs;
}

/** Our own conclusion from failed probes. */
export function accuse(turn: Turn, member: GlobalName): void {
  const view = viewOf(turn, member);
  const self = turn.state.self.member;
  if (!view || view.opinion === "dead" || view.opinion === "left") return;
  if (view.accusations.some((one) => one.accuser === self) || view.accusations.length > turn.state.profile.confirmations) return;
  addAccusation(turn, view, turn.seal({ kind: "suspect", accuser: self, member, incarnation: view.statement.incarnation }));
}

/** The suspicion ran out. */
export function declareDead(turn: Turn, member: GlobalName): void {
  const view = viewOf(turn, member);
  clearSuspicion(turn, member);
  if (!view) return;
  setView(turn, { ...view, opinion: "dead", changedMs: turn.nowMs });
  turn.state.dead = new Set(turn.state.dead).add(member);
  notifyOpinion(turn, member, "dead");
}

export function forgetMember(turn: Turn, member: GlobalName): void {
  if (isSelf(turn, member)) return;
  clearSuspicion(turn, member);
  turn.state.members = withoutKey(turn.state.members, member);
  dropNewsOf(turn, member);
}

/** Members that count: not dead, ourselves included. Those that left count until they are forgotten, which only makes us more patient. */
export function presentCount(turn: Turn): number {
  return turn.state.members.count - turn.state.dead.size;
}

export function withoutDoubt(turn: Turn, member: GlobalName): void {
  if (!turn.state.doubts.has(member)) return;
  const doubts = new Map(turn.state.doubts);
  doubts.delete(member);
  turn.state.doubts = doubts;
}

function addAccusation(turn: Turn, view: MemberView, suspect: Suspect): void {
  const { state, nowMs } = turn;
  const { member } = suspect;
  const isFirst = view.opinion !== "suspect";
  const startedMs = isFirst ? nowMs : view.changedMs;
  const accusations = [...view.accusations, suspect];
  const timeoutMs = suspicionTimeoutMs(state.profile, accusations.length - 1, presentCount(turn));
  setView(turn, { ...view, opinion: "suspect", changedMs: startedMs, accusations });
  const deadline = Math.min(state.suspects.get(member) ?? Number.POSITIVE_INFINITY, startedMs + timeoutMs);
  state.suspects = new Map(state.suspects).set(member, Math.max(nowMs, deadline));
  withoutDoubt(turn, member);
  if (isFirst) notifyOpinion(turn, member, "suspect");
  spread(turn, suspect);
}

/** Where one came back, the way to others may be open again: a partition that heals does so in a wave. */
function hurryReconnect(turn: Turn): void {
  const { state, nowMs } = turn;
  state.nextReconnectMs = Math.min(state.nextReconnectMs, nowMs + state.profile.gossipIntervalMs * turn.random.next());
}

function clearSuspicion(turn: Turn, member: GlobalName): void {
  const { state } = turn;
  if (state.suspects.has(member)) {
    const suspects = new Map(state.suspects);
    suspects.delete(member);
    state.suspects = suspects;
  }
  if (state.dead.has(member)) {
    const dead = new Set(state.dead);
    dead.delete(member);
    state.dead = dead;
  }
  withoutDoubt(turn, member);
}

function notifyOpinion(turn: Turn, member: GlobalName, opinion: Opinion): void {
  turn.actions.push({ kind: opinion === "alive" ? "memberUp" : opinion, member });
}

function accusationRate(turn: Pick<Turn, "state">): BucketRate {
  return { burst: accusationsBurst, refillMs: intervalsPerAccusation * turn.state.profile.probeIntervalMs };
}
