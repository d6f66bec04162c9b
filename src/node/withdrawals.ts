/**
 * Which tickets were taken back, as the coordinator's heartbeats say, with what peers have told it of theirs.
 *
 * Invariant: what a member takes back is what it has issued, and what others have issued to put chunks of its own; so no
 * member gets in the way of another's tickets.
 */
import type { GlobalName, Site } from "../../protocol/ids.ts";
import { matchesSubject, type SubjectPattern } from "../../protocol/rights.ts";
import type { IssuerWithdrawals, Withdrawal } from "../../protocol/schema.ts";
import { ownerOf, type Ticket } from "../../protocol/ticket.ts";

export interface Withdrawals {
  /** Of the list that is in force; undefined before the first. */
  readonly revision: string | undefined;
  replace(by: { readonly revision: string; readonly lists: readonly IssuerWithdrawals[] }): void;
  isWithdrawn(ticket: Pick<Ticket, "issuer" | "owner" | "operation" | "holder" | "notBeforeMs">): boolean;
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
    isWithdrawn: (ticket) => withdrawersOf(ticket).some((site) => byIssuer.get(site)?.(ticket) ?? false),
  };
}

/** Only `put`: to delete what a guest has here must not be for the guest to prevent. */
function withdrawersOf(ticket: Pick<Ticket, "issuer" | "owner" | "operation">): readonly Site[] {
  return ticket.operation === "put" ? [ticket.issuer, ownerOf(ticket)] : [ticket.issuer];
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
