/**
 * News travel on the back of every message. Each piece is sent a number of times that grows with the
 * logarithm of the members, the least sent and newest first, and then counts as known.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import type { News } from "./messages.ts";
import { accusationsOf, opinionOf } from "./opinions.ts";
import { retransmissions } from "./profile.ts";
import { type GossipState, newsBytesPerAnswerMax, newsBytesPerMessageMax, newsEntriesMax, type Turn } from "./state.ts";
import { counterpartOf, lookUp } from "./trie.ts";

/** Statements about the receiver, the accusations it has to know of among them. */
const statementsPerNewsMax = 64;
/** None is shorter: where less is left of a message, the rest of the queue need not be tried. */
const statementBytesMin = 128;

/** Puts a statement on its way. */
export function spread(turn: Turn, statement: News): void {
  const { state } = turn;
  turn.fresh.push(statement);
  if (state.nextGossipMs === Number.POSITIVE_INFINITY) {
    state.nextGossipMs = turn.nowMs + state.profile.gossipIntervalMs * turn.random.next();
  }
}

/** Takes up what this step has spread. */
export function settleNews(turn: Turn): void {
  const { state, fresh } = turn;
  if (fresh.length === 0) return;
  const [unsent = [], ...older] = state.news;
  state.news = [[...fresh.toReversed(), ...unsent], ...older];
  fresh.length = 0;
  let tooMany = pendingNews(state) - newsEntriesMax;
  if (tooMany <= 0) return;
  // What falls out, the most often sent first, is left to anti-entropy, and that soon.
  state.nextSyncMs = Math.min(state.nextSyncMs, turn.nowMs + state.profile.probeIntervalMs);
  for (let sends = state.news.length - 1; tooMany > 0; sends--) {
    const all = state.news[sends] ?? [];
    state.news = state.news.with(sends, all.slice(0, Math.max(0, all.length - tooMany)));
    tooMany -= all.length;
  }
}

export function pendingNews({ news }: Pick<GossipState, "news">): number {
  return news.reduce((sum, { length }) => sum + length, 0);
}

/** What a request to `to` carries. */
export function newsFor(turn: Turn, to: GlobalName): News[] {
  const { chosen, rest } = choose(turn, to, [], newsBytesPerMessageMax);
  countSends(turn, rest);
  return chosen;
}

/**
 * What an answer to `to` carries: not what it has just told us, and our own word where it thinks of an
 * earlier life of ours. It does not count as sent: whoever asked may have given up long ago, when we
 * come back from a pause.
 */
export function newsInAnswer(turn: Turn, to: GlobalName, theirs: readonly News[]): News[] {
  const { self } = turn.state;
  const isBehind = theirs.some((one) => one.kind !== "record" && one.member === self.member && one.incarnation < self.incarnation);
  const { chosen } = choose(turn, to, theirs, newsBytesPerAnswerMax);
  return isBehind && !chosen.includes(self) ? [self, ...chosen] : chosen;
}

export function dropNewsOf(turn: Turn, member: GlobalName): void {
  settleNews(turn);
  turn.state.news = turn.state.news.map((all) => all.filter((statement) => statement.member !== member));
}

interface Choice {
  readonly chosen: News[];
  /** Of the parts of the queue that were looked at, what is chosen and what stays. */
  readonly rest: readonly { readonly sent: readonly News[]; readonly left: readonly News[] }[];
}

/**
 * A member that is suspect or dead here is told first what is held against it, and the latest it is known
 * to have said: it can refute both (Lifeguard's buddy system).
 */
function choose(turn: Turn, to: GlobalName, theirs: readonly News[], bytesMax: number): Choice {
  settleNews(turn);
  const { state } = turn;
  const held = lookUp(state.members, to);
  const first: readonly News[] = held && opinionOf(state, held) !== "alive" ? [held, ...accusationsOf(state, to)] : [];
  const chosen = [...first];
  // Half of a digest is enough: two that are alike keep one piece out of one answer.
  const told = theirs.map(({ digest }) => digest.low);
  let bytes = 0;
  const isFull = () => chosen.length >= statementsPerNewsMax || bytes + statementBytesMin > bytesMax;
  const fits = ({ sealed }: News) => bytes === 0 || bytes + sealed.length <= bytesMax;
  const isTheirs = ({ kind, member, digest }: News) => (member === to && kind !== "suspect") || told.includes(digest.low);
  const rest: { readonly sent: News[]; readonly left: readonly News[] }[] = [];
  for (const all of state.news) {
    if (isFull()) break;
    const [sent, left]: [News[], News[]] = [[], []];
    let seen = 0;
    for (const statement of all) {
      if (isFull()) break;
      seen++;
      if (!isCurrent(state, statement)) continue;
      if (!fits(statement) || isTheirs(statement)) {
        left.push(statement);
        continue;
      }
      bytes += statement.sealed.length;
      sent.push(statement);
      if (!first.includes(statement)) chosen.push(statement);
    }
    rest.push({ sent, left: left.concat(all.slice(seen)) });
  }
  return { chosen, rest };
}

/** What was sent goes to the front of what has been sent once more. */
function countSends({ state }: Turn, rest: Choice["rest"]): void {
  const sendsMax = retransmissions(state.profile, state.members.count);
  const news: (readonly News[])[] = [...rest.map(({ left }) => left), ...state.news.slice(rest.length)];
  for (const [sends, { sent }] of rest.entries()) {
    if (sent.length > 0 && sends + 1 < sendsMax) news[sends + 1] = sent.concat(news[sends + 1] ?? []);
  }
  state.news = news;
}

/** Whether it still is what is known: later words replace it, and refute accusations. */
function isCurrent(state: GossipState, statement: News): boolean {
  if (statement.kind === "alive") return counterpartOf(state.members, statement) === statement;
  if (statement.kind === "suspect") return accusationsOf(state, statement.member).includes(statement);
  return counterpartOf(state.records, statement) === statement;
}
