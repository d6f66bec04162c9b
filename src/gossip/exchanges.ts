/** Sending, and choosing to whom. Every exchange ends in an answer or a failure: the runner sees to that with its time-out. */
import type { GlobalName } from "../../protocol/ids.ts";
import type { Message, News } from "./messages.ts";
import { newsFor } from "./news.ts";
import { isPresent } from "./opinions.ts";
import { permuted } from "./permutation.ts";
import { type Exchange, exchangesMax, type Turn } from "./state.ts";
import { entryAt, lookUp } from "./trie.ts";

/** Members looked at for each that is wanted: many may be gone. */
const triesPerChoice = 8;
/** Members passed over in one turn of a round, when many are gone. */
const skipsPerTurnMax = 64;

type WithoutNews<M> = M extends Message ? Omit<M, "news"> : never;

/** Adds the news, `first` before them. False, and nothing is sent, when too much is under way already. */
export function send(
  turn: Turn,
  exchange: Exchange,
  message: WithoutNews<Message>,
  timeoutMs: number,
  first: readonly News[] = [],
): boolean {
  const { state } = turn;
  if (state.exchanges.size >= exchangesMax) return false;
  const id = state.nextExchange;
  state.nextExchange += 1;
  state.exchanges = new Map(state.exchanges).set(id, exchange);
  const { to } = exchange;
  const addresses = lookUp(state.members, to)?.addresses ?? [];
  const whole = { ...message, news: [...first, ...newsFor(turn, to)] } as Message;
  turn.actions.push({ kind: "send", exchange: id, to, addresses, message: whole, timeoutMs: Math.max(1, Math.ceil(timeoutMs)) });
  return true;
}

/** Takes an exchange that came to its end. */
export function endExchange(turn: Turn, id: number): Exchange | undefined {
  const exchange = turn.state.exchanges.get(id);
  if (!exchange) return undefined;
  const rest = new Map(turn.state.exchanges);
  rest.delete(id);
  turn.state.exchanges = rest;
  return exchange;
}

/** Up to `count` random members that are present, without ourselves and `except`; of few members, none is missed. */
export function somePresent(turn: Turn, count: number, except?: GlobalName): GlobalName[] {
  const { members, self } = turn.state;
  const key = turn.random.int(2 ** 31);
  const chosen: GlobalName[] = [];
  for (let index = 0; index < Math.min(members.count, count * triesPerChoice) && chosen.length < count; index++) {
    const one = entryAt(members, permuted(index, members.count, key));
    if (one && one.member !== self.member && one.member !== except && isPresent(turn.state, one)) chosen.push(one.member);
  }
  return chosen;
}

/**
 * The next member in this round's order. When members come or go the order shifts, and a member may be
 * met twice or left out in that round; the next one meets it.
 */
export function nextInRound(turn: Turn): GlobalName | undefined {
  const { members, self } = turn.state;
  for (let skips = 0; skips < skipsPerTurnMax; skips++) {
    const { key, position } = turn.state.round;
    if (position >= members.count) {
      turn.state.round = { key: turn.random.int(2 ** 31), position: 0 };
      continue;
    }
    turn.state.round = { key, position: position + 1 };
    const one = entryAt(members, permuted(position, members.count, key));
    if (one && one.member !== self.member && isPresent(turn.state, one)) return one.member;
  }
  return undefined;
}
