/** Which tickets the coordinator has taken back, as its heartbeats say. */
import type { GlobalName } from "../../protocol/ids.ts";
import { matchesSubject, type SubjectPattern } from "../../protocol/rights.ts";
import type { Withdrawal } from "../../protocol/schema.ts";
import type { Ticket } from "../../protocol/ticket.ts";

export interface Withdrawals {
  /** Of the list that is in force; undefined before the first. */
  readonly revision: string | undefined;
  replace(by: { readonly revision: string; readonly list: readonly Withdrawal[] }): void;
  isWithdrawn(ticket: Pick<Ticket, "holder" | "notBeforeMs">): boolean;
}

export function createWithdrawals(): Withdrawals {
  let revision: string | undefined;
  let names = new Map<string, number>();
  let patterns: readonly Withdrawal[] = [];
  return {
    get revision() {
      return revision;
    },
    replace: (by) => {
      revision = by.revision;
      names = new Map(by.list.map(({ holder, untilMs }) => [holder, untilMs]));
      patterns = by.list.filter(({ holder }) => holder.includes("*"));
    },
    isWithdrawn: ({ holder, notBeforeMs }) =>
      notBeforeMs <= (names.get(holder) ?? Number.NEGATIVE_INFINITY) ||
      patterns.some((pattern) => notBeforeMs <= pattern.untilMs && matches(pattern.holder, holder)),
  };
}

function matches(pattern: string, holder: string): boolean {
  return pattern === "*" || matchesSubject(pattern as SubjectPattern, holder as GlobalName);
}
