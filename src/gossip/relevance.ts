/**
 * Whether a statement would change anything here. It is asked twice, before the signature is checked
 * and before the statement is taken: between the two, another message may have brought the same.
 */
import type { News } from "./messages.ts";
import type { GossipState } from "./state.ts";
import { type Alive, type GossipRecord, headOf, isLater, recordKey, type Suspect } from "./statements.ts";
import { lookUp } from "./trie.ts";

export function isNews(state: GossipState, statement: News): boolean {
  if (statement.kind === "alive") return isNewsOfMember(state, statement);
  return statement.kind === "suspect" ? isNewsOfSuspect(state, statement) : isNewsOfRecord(state, statement);
}

function isNewsOfMember(state: GossipState, alive: Alive): boolean {
  const held = lookUp(state.members, alive.member)?.statement;
  return !held || isLater(headOf(alive), headOf(held));
}

/** Of the incarnation that is known, of somebody whose end is still open, from another one than so far. */
function isNewsOfSuspect(state: GossipState, { accuser, member, incarnation }: Suspect): boolean {
  if (accuser === member || accuser === state.self.member) return false;
  const view = lookUp(state.members, member);
  if (!view || incarnation !== view.statement.incarnation) return false;
  if (view.opinion === "dead" || view.opinion === "left") return false;
  return view.accusations.length <= state.profile.confirmations && view.accusations.every((one) => one.accuser !== accuser);
}

function isNewsOfRecord(state: GossipState, record: GossipRecord): boolean {
  const held = lookUp(state.records, recordKey(record));
  return !held || isLater(headOf(record), headOf(held));
}
