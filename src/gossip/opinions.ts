/** What we think of a member: its own word, unless something is held against it. */
import type { GlobalName } from "../../protocol/ids.ts";
import type { GossipState, Opinion } from "./state.ts";
import type { Alive, Suspect } from "./statements.ts";
import { counterpartOf, lookUp } from "./trie.ts";

type Doubts = Pick<GossipState, "suspects" | "dead">;

export function opinionOf(state: Doubts, statement: Alive): Opinion {
  if (counterpartOf(state.suspects, statement)) return "suspect";
  if (counterpartOf(state.dead, statement)) return "dead";
  return statement.status === "left" ? "left" : "alive";
}

/** Known, and neither dead nor gone. */
export function isPresent(state: Doubts, statement: Alive | undefined): boolean {
  const opinion = statement && opinionOf(state, statement);
  return opinion === "alive" || opinion === "suspect";
}

/** Of the incarnation that we know; kept while it is suspect or dead, to tell it when we meet. */
export function accusationsOf(state: Doubts, member: GlobalName): readonly Suspect[] {
  return (lookUp(state.suspects, member) ?? lookUp(state.dead, member))?.accusations ?? [];
}
