/**
 * News travel on the back of every message. Each piece is sent a number of times that grows with the
 * logarithm of the members, the least sent and newest first, and then counts as known.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import type { News } from "./messages.ts";
import { retransmissions } from "./profile.ts";
import { type NewsEntry, newsBytesPerMessageMax, newsEntriesMax, type Turn } from "./state.ts";
import { recordKey } from "./statements.ts";
import { lookUp, sameDigest } from "./trie.ts";

/** Statements about the receiver, the accusations it has to know of among them. */
const statementsPerNewsMax = 64;

/** Puts a statement on its way; whatever it makes untrue is not sent any more. */
export function spread(turn: Turn, statement: News): void {
  const { state } = turn;
  const key = newsKey(statement);
  const refutes = (entry: NewsEntry): boolean =>
    statement.kind === "alive" && entry.statement.kind === "suspect" && entry.statement.member === statement.member;
  const kept = state.news.filter((entry) => entry.key !== key && !refutes(entry));
  // Sorted by sends, so the end is what has been sent most. What falls out is left to anti-entropy, and that soon.
  if (kept.length >= newsEntriesMax) state.nextSyncMs = Math.min(state.nextSyncMs, turn.nowMs + state.profile.probeIntervalMs);
  state.news = [{ key, statement, sends: 0 }, ...kept.slice(0, newsEntriesMax - 1)];
  if (state.nextGossipMs === Number.POSITIVE_INFINITY) {
    state.nextGossipMs = turn.nowMs + state.profile.gossipIntervalMs * turn.random.next();
  }
}

/** What a request to `to` carries. */
export function newsFor(turn: Turn, to: GlobalName): News[] {
  const { chosen, sent } = choose(turn, to, []);
  if (sent.size > 0) countSends(turn, sent);
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
  const { chosen } = choose(turn, to, theirs);
  return isBehind && !chosen.includes(self) ? [self, ...chosen] : chosen;
}

export function dropNewsOf(turn: Turn, member: GlobalName): void {
  turn.state.news = turn.state.news.filter(({ statement }) => statement.member !== member);
}

/**
 * A member that is suspect or dead here is told first what is held against it, and the latest it is known
 * to have said: it can refute both (Lifeguard's buddy system).
 */
function choose(turn: Turn, to: GlobalName, theirs: readonly News[]): { readonly chosen: News[]; readonly sent: ReadonlySet<NewsEntry> } {
  const view = lookUp(turn.state.members, to);
  const chosen: News[] = view && view.opinion !== "alive" ? [view.statement, ...view.accusations] : [];
  let bytes = 0;
  const sent = new Set<NewsEntry>();
  for (const entry of turn.state.news) {
    const { statement } = entry;
    if (chosen.length >= statementsPerNewsMax || bytes >= newsBytesPerMessageMax) break;
    if (statement.member === to && statement.kind !== "suspect") continue;
    if (theirs.some(({ digest }) => sameDigest(digest, statement.digest))) continue;
    if (sent.size > 0 && bytes + statement.sealed.length > newsBytesPerMessageMax) continue;
    bytes += statement.sealed.length;
    sent.add(entry);
    if (!chosen.includes(statement)) chosen.push(statement);
  }
  return { chosen, sent };
}

function countSends(turn: Turn, sent: ReadonlySet<NewsEntry>): void {
  const { state } = turn;
  const sendsMax = retransmissions(state.profile, state.members.count);
  state.news = state.news
    .map((entry) => (sent.has(entry) ? { ...entry, sends: entry.sends + 1 } : entry))
    .filter((entry) => entry.sends < sendsMax)
    .sort((a, b) => a.sends - b.sends);
}

function newsKey(statement: News): string {
  if (statement.kind === "alive") return `alive ${statement.member}`;
  if (statement.kind === "suspect") return `suspect ${statement.member} ${statement.accuser}`;
  return `record ${recordKey(statement)}`;
}
