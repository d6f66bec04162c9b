/**
 * Whether a statement would change anything here. It is asked twice, before the signature is checked
 * and before the statement is taken: between the two, another message may have brought the same.
 */
import type { News } from "./messages.ts";
import { isPresent } from "./opinions.ts";
import type { GossipState } from "./state.ts";
import { type Alive, type GossipRecord, headOf, isLater, type Suspect } from "./statements.ts";
import { counterpartOf, ownerSlot } from "./trie.ts";

export function isNews(state: GossipState, statement: News): boolean {
  if (statement.kind === "alive") return isNewsOfMember(state, statement);
  return statement.kind === "suspect" ? isNewsOfSuspect(state, statement) : isNewsOfRecord(state, statement);
}

function isNewsOfMember(state: GossipState, alive: Alive): boolean {
  const held = counterpartOf(state.members, alive);
  return !held || isLater(headOf(alive), headOf(held));
}

/** Of the incarnation that is known, of somebody whose end is still open, from another one than so far. */
function isNewsOfSuspect(state: GossipState, { accuser, member, incarnation, slot }: Suspect): boolean {
  if (accuser === member || accuser === state.self.member) return false;
  const place = { key: member, slot: ownerSlot(slot) };
  // First what most accusations in a message fail at: that they are known.
  const accusations = counterpartOf(state.suspects, place)?.accusations ?? [];
  if (accusations.length > state.profile.confirmations || accusations.some((one) => one.accuser === accuser)) return false;
  const statement = counterpartOf(state.members, place);
  return statement?.incarnation === incarnation && isPresent(state, statement);
}

function isNewsOfRecord(state: GossipState, record: GossipRecord): boolean {
  const held = counterpartOf(state.records, record);
  return !held || isLater(headOf(record), headOf(held));
}
