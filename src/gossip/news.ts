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

/**
 * What this message to `to` carries. A member that is suspect or dead here is told first what is held
 * against it, and the latest it is known to have said: it can refute both (Lifeguard's buddy system).
 * What `to` has just told us, `theirs`, does not go back to it.
 */
export function newsFor(turn: Turn, to: GlobalName, theirs: readonly News[] = []): News[] {
  const view = lookUp(turn.state.members, to);
  const chosen: News[] = view && view.opinion !== "alive" ? [view.statement, ...view.accusations] : [];
  if (turn.state.news.length === 0) return chosen;
  let bytes = 0;
  const sent = new Set<NewsEntry>();
  for (const entry of turn.state.news) {
    const isFirst = sent.size === 0;
    if (chosen.length >= statementsPerNewsMax) break;
    if (entry.statement.member === to && entry.statement.kind !== "suspect") continue;
    if (theirs.some(({ digest }) => sameDigest(digest, entry.statement.digest))) continue;
    if (!isFirst && bytes + entry.statement.sealed.length > newsBytesPerMessageMax) continue;
    bytes += entry.statement.sealed.length;
    sent.add(entry);
    if (!chosen.includes(entry.statement)) chosen.push(entry.statement);
    if (bytes >= newsBytesPerMessageMax) break;
  }
  countSends(turn, sent);
  return chosen;
}

export function dropNewsOf(turn: Turn, member: GlobalName): void {
  turn.state.news = turn.state.news.filter(({ statement }) => statement.member !== member);
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
