/**
 * News travel on the back of every message. Each piece is sent a number of times that grows with the
 * logarithm of the members, the least sent and newest first, and then counts as known.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import type { News } from "./messages.ts";
import { accusationsOf, opinionOf } from "./opinions.ts";
import { retransmissions } from "./profile.ts";
import { type NewsEntry, newsBytesPerMessageMax, newsEntriesMax, type Turn } from "./state.ts";
import { lookUp, sameDigest } from "./trie.ts";

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

/** Takes up what this step has spread; whatever that makes untrue is not sent any more. */
export function settleNews(turn: Turn): void {
  const { state, fresh } = turn;
  if (fresh.length === 0) return;
  const later = new Map<string, News>();
  // The newest first; what it replaces or refutes is left out.
  const isCurrent = ({ kind, key, member }: News): boolean =>
    !later.has(key) && !(kind === "suspect" && later.get(member)?.kind === "alive");
  for (const statement of fresh.toReversed()) if (isCurrent(statement)) later.set(statement.key, statement);
  fresh.length = 0;
  const kept = state.news.filter(({ statement }) => isCurrent(statement));
  const entries = [...[...later.values()].map((statement) => ({ statement, sends: 0 })), ...kept];
  // Sorted by sends, so the end is what has been sent most. What falls out is left to anti-entropy, and that soon.
  if (entries.length > newsEntriesMax) state.nextSyncMs = Math.min(state.nextSyncMs, turn.nowMs + state.profile.probeIntervalMs);
  state.news = entries.slice(0, newsEntriesMax);
}

/** What a request to `to` carries. */
export function newsFor(turn: Turn, to: GlobalName): News[] {
  const choice = choose(turn, to, []);
  countSends(turn, choice);
  return choice.chosen;
}

/**
 * What an answer to `to` carries: not what it has just told us, and our own word where it thinks of an
 * earlier life of ours. It does not count as sent: whoever asked may have given up long ago, when we
 * come back from a pause.
 */
export function newsInAnswer(turn: Turn, to: GlobalName, theirs: readonly News[]): News[] {
  const { self } = turn.state;
  const isBehind = theirs.some((one) => one.kind !== "record" && one.member === self.member && one.incarnation < self.incarnation);
  const { chosen } = choose(turn, to, theirs);
  return isBehind && !chosen.includes(self) ? [self, ...chosen] : chosen;
}

export function dropNewsOf(turn: Turn, member: GlobalName): void {
  settleNews(turn);
  turn.state.news = turn.state.news.filter(({ statement }) => statement.member !== member);
}

interface Choice {
  readonly chosen: News[];
  /** Of the queue, what is chosen, what is passed over, and where the rest begins. */
  readonly sent: readonly NewsEntry[];
  readonly passedOver: readonly NewsEntry[];
  readonly restFrom: number;
}

/**
 * A member that is suspect or dead here is told first what is held against it, and the latest it is known
 * to have said: it can refute both (Lifeguard's buddy system).
 */
function choose(turn: Turn, to: GlobalName, theirs: readonly News[]): Choice {
  settleNews(turn);
  const { state } = turn;
  const held = lookUp(state.members, to);
  const first: readonly News[] = held && opinionOf(state, held) !== "alive" ? [held, ...accusationsOf(state, to)] : [];
  const [chosen, sent, passedOver] = [[...first], [] as NewsEntry[], [] as NewsEntry[]];
  let [bytes, restFrom] = [0, 0];
  for (const entry of state.news) {
    const { statement } = entry;
    if (chosen.length >= statementsPerNewsMax || bytes + statementBytesMin > newsBytesPerMessageMax) break;
    restFrom++;
    const isTooLong = sent.length > 0 && bytes + statement.sealed.length > newsBytesPerMessageMax;
    const isTheirs = statement.member === to && statement.kind !== "suspect";
    if (isTooLong || isTheirs || theirs.some(({ digest }) => sameDigest(digest, statement.digest))) {
      passedOver.push(entry);
      continue;
    }
    bytes += statement.sealed.length;
    sent.push(entry);
    if (!first.includes(statement)) chosen.push(statement);
  }
  return { chosen, sent, passedOver, restFrom };
}

/** Keeps the queue sorted: of those sent as often, first what has been sent just now. */
function countSends({ state }: Turn, { sent, passedOver, restFrom }: Choice): void {
  if (sent.length === 0) return;
  const sendsMax = retransmissions(state.profile, state.members.count);
  const counted = sent.map(({ statement, sends }) => ({ statement, sends: sends + 1 })).filter(({ sends }) => sends < sendsMax);
  const others = [...passedOver, ...state.news.slice(restFrom)];
  const news: NewsEntry[] = [];
  let taken = 0;
  for (const entry of counted) {
    for (let other = others[taken]; other && other.sends < entry.sends; other = others[++taken]) news.push(other);
    news.push(entry);
  }
  state.news = news.concat(others.slice(taken));
}
