/**
 * What other members have on the own nodes, each by its site: what the nodes report, and what was promised and may still come.
 *
 * Invariant: never less than what is really there and may come. A promise counts until its chunk shows in what the
 * node reports (the reported bytes have grown by as much), or until the ticket can no more be used. So an owner that
 * collects tickets and uses them all at once gets no more in than one that does not.
 */
import type { ChunkId, GlobalName, Site } from "../../protocol/ids.ts";
import { clockSkewMsMax, guestTicketLifetimeMs, nodeSuspectAfterMs } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import type { NodeDirectory } from "./directory.ts";

export interface HostedSpace {
  /** False for some seconds after a start, until the nodes have said what they keep. */
  isKnown(): boolean;
  bySite(): ReadonlyMap<Site, number>;
  /** Without what was promised: what is really there. */
  reported(): ReadonlyMap<Site, number>;
  /** Chunks of this owner that were promised room and have not come. */
  outstanding(owner: Site): number;
  promise(to: { readonly owner: Site; readonly node: GlobalName }, chunks: readonly PromisedChunk[]): void;
}

export interface PromisedChunk {
  readonly id: ChunkId;
  readonly storedBytes: number;
}

interface Account {
  readonly owner: Site;
  readonly node: GlobalName;
  /** Oldest first. */
  readonly promised: Map<ChunkId, { readonly bytes: number; readonly untilMs: number }>;
  reportedBytes: number;
  /** Growth that has not been set off against promises, because the next one is larger. */
  unexplainedBytes: number;
}

export interface HostedSpaceOptions {
  readonly directory: Pick<NodeDirectory, "list">;
  readonly clock: Clock;
}

export function createHostedSpace({ directory, clock }: HostedSpaceOptions): HostedSpace {
  const startedMs = clock.monotonicMs();
  const accounts = new Map<string, Account>();
  const reported = () => directory.list().flatMap(({ guests = [] }) => guests.map(({ site, usedBytes }) => ({ site, bytes: usedBytes })));
  const settled = (): ReadonlyMap<string, Account> => {
    const now = new Map(
      directory.list().flatMap(({ name, guests = [] }) => guests.map(({ site, usedBytes }) => [keyOf(site, name), usedBytes] as const)),
    );
    const nowMs = clock.monotonicMs();
    for (const [key, account] of accounts) {
      settle(account, now.get(key) ?? 0, nowMs);
      if (account.promised.size === 0) accounts.delete(key);
    }
    return accounts;
  };
  return {
    isKnown: () =>
      clock.monotonicMs() - startedMs >= nodeSuspectAfterMs ||
      directory.list().every(({ state, guests }) => state !== "alive" || guests !== undefined),
    bySite: () => {
      const promised = [...settled().values()].flatMap((account) =>
        [...account.promised.values()].map(({ bytes }) => ({ site: account.owner, bytes })),
      );
      return sumsOf([...reported(), ...promised]);
    },
    reported: () => sumsOf(reported()),
    outstanding: (owner) =>
      [...settled().values()].reduce((count, account) => count + (account.owner === owner ? account.promised.size : 0), 0),
    promise: ({ owner, node }, chunks) => {
      settled();
      const key = keyOf(owner, node);
      const account = accounts.get(key) ?? {
        owner,
        node,
        promised: new Map(),
        reportedBytes: usedBy(directory, owner, node),
        unexplainedBytes: 0,
      };
      accounts.set(key, account);
      const untilMs = clock.monotonicMs() + guestTicketLifetimeMs + clockSkewMsMax;
      for (const { id, storedBytes } of chunks) {
        account.promised.delete(id);
        account.promised.set(id, { bytes: storedBytes, untilMs });
      }
    },
  };
}

function sumsOf(parts: readonly { readonly site: Site; readonly bytes: number }[]): ReadonlyMap<Site, number> {
  const sums = new Map<Site, number>();
  for (const { site, bytes } of parts) sums.set(site, (sums.get(site) ?? 0) + bytes);
  return sums;
}

function keyOf(owner: Site, node: GlobalName): string {
  return `${node} ${owner}`;
}

function usedBy(directory: Pick<NodeDirectory, "list">, owner: Site, node: GlobalName): number {
  const guests = directory.list().find(({ name }) => name === node)?.guests ?? [];
  return guests.find(({ site }) => site === owner)?.usedBytes ?? 0;
}

function settle(account: Account, reportedBytes: number, nowMs: number): void {
  let arrivedBytes = Math.max(0, reportedBytes - account.reportedBytes) + account.unexplainedBytes;
  account.reportedBytes = reportedBytes;
  for (const [id, { bytes, untilMs }] of account.promised) {
    if (bytes <= arrivedBytes) arrivedBytes -= bytes;
    else if (nowMs < untilMs) break;
    account.promised.delete(id);
  }
  account.unexplainedBytes = account.promised.size === 0 ? 0 : arrivedBytes;
}
