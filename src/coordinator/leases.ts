/**
 * Who may keep what it has written to a file for a moment after it was closed: one client at a time, and only while it watches. Before
 * another is answered about the file, the lease is recalled: its holder stores what was closed and yields, or loses the lease.
 *
 * Nothing rests on a holder's good will: a commit says which version it was made over, with a lease or without. So leases are in
 * memory alone, and a restart ends them all.
 */
import type { Inode } from "../../protocol/ids.ts";
import { recalledPerAnswerMax, recallMsMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import type { MetadataStore, Session } from "../meta/store.ts";

export interface Leases {
  /** The client asks for news: `recalled` is its next news. */
  watches(session: string): Disposable;
  /** False for a client that does not watch, and while somebody has it: its holder too has to yield first what is recalled. */
  grant(inode: Inode, session: string | undefined): boolean;
  /** The client has said that it goes. */
  forget(session: string): void;
  isRecalled(session: string): boolean;
  /** What the client is asked to yield, told once. */
  takeRecalled(session: string): readonly Inode[];
  yield(inodes: readonly Inode[], session: string): void;
  /** Resolves when nobody but this client may have something in hand; true when somebody may have had. */
  settle(inodes: readonly Inode[], session: string | undefined): Promise<boolean>;
}

export interface LeasesOptions {
  readonly clock: Clock;
  /** Somebody who watches has something to hear. */
  readonly onRecall: () => void;
}

interface Lease {
  readonly session: string;
  /** Once it is recalled. */
  ended: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
}

interface Watcher {
  underWay: number;
  /** When it was last answered: it asks again at once. */
  answeredMs: number;
  recalled: Inode[];
}

/** Between an answer and the next question. */
const pauseMsMax = 1_000;
/** More files than that are not open at once. */
const leasesMax = 131_072;

export function createLeases({ clock, onRecall }: LeasesOptions): Leases {
  const leases = new Map<Inode, Lease>();
  const watchers = new Map<string, Watcher>();
  const isThere = ({ underWay, answeredMs }: Watcher): boolean => underWay > 0 || clock.monotonicMs() - answeredMs < pauseMsMax;
  const end = (inode: Inode, lease: Lease): void => {
    if (leases.get(inode) === lease) leases.delete(inode);
    lease.ended?.resolve();
  };
  const recall = async (inode: Inode, lease: Lease): Promise<void> => {
    const watcher = watchers.get(lease.session);
    if (!watcher || !isThere(watcher)) return end(inode, lease);
    if (!lease.ended) {
      lease.ended = Promise.withResolvers<void>();
      watcher.recalled.push(inode);
      onRecall();
    }
    const timer = clock.every(recallMsMax, () => end(inode, lease));
    try {
      await lease.ended.promise;
    } finally {
      timer[Symbol.dispose]();
    }
  };
  const forget = (session: string): void => {
    watchers.delete(session);
    for (const [inode, lease] of leases) if (lease.session === session) end(inode, lease);
  };
  const forgetSilent = (): void => {
    for (const [session, watcher] of watchers) if (!isThere(watcher)) forget(session);
  };
  return {
    watches: (session) => {
      const watcher = watchers.get(session) ?? { underWay: 0, answeredMs: 0, recalled: [] };
      if (!watchers.has(session)) forgetSilent();
      watchers.set(session, watcher);
      watcher.underWay++;
      return {
        [Symbol.dispose]: () => {
          watcher.underWay--;
          watcher.answeredMs = clock.monotonicMs();
        },
      };
    },
    grant: (inode, session) => {
      const watcher = session === undefined ? undefined : watchers.get(session);
      if (session === undefined || !watcher || !isThere(watcher)) return false;
      const before = leases.get(inode);
      if (before) return before.session === session && !before.ended;
      if (leases.size >= leasesMax) return false;
      leases.set(inode, { session, ended: undefined });
      return true;
    },
    forget,
    isRecalled: (session) => (watchers.get(session)?.recalled.length ?? 0) > 0,
    takeRecalled: (session) => watchers.get(session)?.recalled.splice(0, recalledPerAnswerMax) ?? [],
    yield: (inodes, session) => {
      for (const inode of inodes) {
        const lease = leases.get(inode);
        if (lease?.session === session) end(inode, lease);
      }
    },
    settle: async (inodes, session) => {
      if (leases.size === 0) return false;
      const foreign = inodes.flatMap((inode) => {
        const lease = leases.get(inode);
        return lease && lease.session !== session ? [recall(inode, lease)] : [];
      });
      await Promise.all(foreign);
      return foreign.length > 0;
    },
  };
}

/** The client has the file open alone, and may keep what it writes to it. */
export async function leaseAlone(
  { leases, metadata }: { readonly leases: Leases; readonly metadata: Pick<MetadataStore, "isHeldByOthers"> },
  session: Session,
  inode: Inode,
): Promise<boolean> {
  return !(await metadata.isHeldByOthers(session, inode)) && leases.grant(inode, session.token);
}

/** Reads names, and again where what they lead to was in another client's hands. */
export async function readSettled<T>(
  leases: Leases,
  session: string | undefined,
  { read, inodesOf }: { readonly read: () => Promise<T>; readonly inodesOf: (answer: T) => readonly Inode[] },
): Promise<T> {
  const answer = await read();
  return (await leases.settle(inodesOf(answer), session)) ? await read() : answer;
}
