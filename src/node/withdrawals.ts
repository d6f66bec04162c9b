/** Which tickets the coordinator has taken back, as its heartbeats say. */
import type { GlobalName, Site } from "../../protocol/ids.ts";
import { matchesSubject, type SubjectPattern } from "../../protocol/rights.ts";
import type { IssuerWithdrawals, Withdrawal } from "../../protocol/schema.ts";
import type { Ticket } from "../../protocol/ticket.ts";

export interface Withdrawals {
  /** Of the list that is in force; undefined before the first. */
  readonly revision: string | undefined;
  replace(by: { readonly revision: string; readonly lists: readonly IssuerWithdrawals[] }): void;
  /** By whoever issued it: nobody takes back another one's. */
  isWithdrawn(ticket: Pick<Ticket, "issuer" | "holder" | "notBeforeMs">): boolean;
}

type Holding = Pick<Ticket, "holder" | "notBeforeMs">;

export function createWithdrawals(): Withdrawals {
  let revision: string | undefined;
  let byIssuer = new Map<Site, (ticket: Holding) => boolean>();
  return {
    get revision() {
      return revision;
    },
    replace: (by) => {
      revision = by.revision;
      byIssuer = new Map(by.lists.map(({ issuer, list }) => [issuer, withdrawnBy(list)]));
    },
    isWithdrawn: (ticket) => byIssuer.get(ticket.issuer)?.(ticket) ?? false,
  };
}

function withdrawnBy(list: readonly Withdrawal[]): (ticket: Holding) => boolean {
  const names = new Map(list.map(({ holder, untilMs }) => [holder, untilMs]));
  const patterns = list.filter(({ holder }) => holder.includes("*"));
  return ({ holder, notBeforeMs }) =>
    notBeforeMs <= (names.get(holder) ?? Number.NEGATIVE_INFINITY) ||
    patterns.some((pattern) => notBeforeMs <= pattern.untilMs && matches(pattern.holder, holder));
}

function matches(pattern: string, holder: string): boolean {
  return pattern === "*" || matchesSubject(pattern as SubjectPattern, holder as GlobalName);
}
