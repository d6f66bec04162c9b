/**
 * What one client and one member's coordinator know of each other while the client is there: which files it has open, and what others
 * change meanwhile.
 *
 * - News of changes are asked for again and again. From the moment an answer is missing, nothing is believed: `everything` may have changed.
 * - What is open is held, so that it stays when its last name goes. Giving back can wait and is done for many at once; so can holding what
 *   was made here, for nobody else can have removed it yet.
 */
import type { Inode } from "../../protocol/ids.ts";
import { heldInodesPerCallMax, sessionSilentMsMax, watchGraceMs, watchMs } from "../../protocol/limits.ts";
import { type RouteInput, routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { ChangeCursor, WireLock } from "../../protocol/session-routes.ts";
import type { CallOptions } from "../net/control-client.ts";
import { outcomeUnknown } from "../net/errors.ts";
import type { Remote } from "./remote.ts";

export type OpenAccess = RouteInput<typeof routes.open>["access"];

/** Of others. */
export interface News {
  /** Attributes, content, or of a directory the names in it. */
  readonly changed: readonly Inode[];
  readonly renamed: readonly Inode[];
  /** What others wait for: see `yield`. */
  readonly recalled: readonly Inode[];
}

export interface ClientSession {
  /** While it is true, whatever others change is told. */
  readonly isWatching: boolean;
  /** The attributes as they are now, and whether it is open to this client alone; held until as many calls of `close`. */
  open(inode: Inode, access: OpenAccess, signal?: AbortSignal): Promise<{ readonly attr: Attr; readonly leased: boolean }>;
  /** As `open`, of a file that was just made here. */
  opened(inode: Inode): void;
  close(inode: Inode): void;
  /** Resolves when the coordinator knows all that is open here: before a name goes that it may be open by. */
  holdOpen(): Promise<void>;
  /** For a call that makes a file: it may be open to this client alone. */
  create<T extends { readonly leased: boolean }>(ask: () => Promise<T>): Promise<T>;
  /** What was closed of it is stored, or cannot be, and these are all the locks on it. False when they are lost. */
  yield(inode: Inode, locks: readonly WireLock[]): Promise<boolean>;
  /** These are all the locks on it, and it stays leased if it is. False when they are lost. */
  claim(inode: Inode, locks: readonly WireLock[]): Promise<boolean>;
  /** False when it could not be had for some time; what others have changed before it was is news when it resolves. `locked`, `deadlock`. */
  lock(inode: Inode, lock: WireLock, options: { readonly wait: boolean; readonly signal: AbortSignal | undefined }): Promise<boolean>;
  testLock(inode: Inode, lock: WireLock, signal: AbortSignal): Promise<WireLock | undefined>;
  /** Something was made that a power failure may undo. */
  noteRelaxed(): void;
  /** From then on it may not. */
  makeDurable(): Promise<void>;
  stop(): Promise<void>;
}

export interface ClientSessionOptions {
  readonly remote: Pick<Remote, "control" | "clock" | "log">;
  /** Called with all changes, some of them twice, and with `everything` whenever some may have been missed. Resolves when they are taken in. */
  readonly onNews: (news: News | "everything") => Promise<void>;
}

/** So long may holding and giving back wait for more of it. */
const settleMs = 100;
const watchAgainMs = 200;
const partingMs = 2_000;

export function createClientSession({ remote, onNews }: ClientSessionOptions): ClientSession {
  const { control, clock, log } = remote;
  const end = new AbortController();
  const openCounts = new Map<Inode, number>();
  /** What the coordinator knows to be open. */
  const held = new Set<Inode>();
  /** Made here, or opened without an answer: perhaps leased, but not known to be open. */
  const made = new Set<Inode>();
  let givingBack: { readonly inodes: ReadonlySet<Inode>; readonly done: Promise<unknown> } | undefined;
  const yielding = new Map<Inode, Promise<unknown>>();
  let settling: Promise<void> | undefined;
  /** Questions under way whose answers may bring leases. A recall overtakes its lease: then there is none. */
  const leasing = new Set<{ readonly inode: Inode | undefined; isRecalled: boolean }>();
  let isWatching = false;
  /** How far the news have come. */
  let known: ChangeCursor | null = null;
  let hasRelaxed = false;
  /** Under way. */
  let durable: Promise<void> | undefined;

  const count = (inode: Inode, by: 1 | -1): void => {
    const now = (openCounts.get(inode) ?? 0) + by;
    if (now > 0) openCounts.set(inode, now);
    else openCounts.delete(inode);
  };
  const toGiveBack = (): Inode[] => [...held, ...made].filter((inode) => !openCounts.has(inode)).slice(0, heldInodesPerCallMax);
  const toHold = (): Inode[] => [...openCounts.keys()].filter((inode) => !held.has(inode)).slice(0, heldInodesPerCallMax);
  const giveBack = async (): Promise<void> => {
    const inodes = toGiveBack();
    if (inodes.length === 0) return;
    for (const inode of inodes) {
      held.delete(inode);
      made.delete(inode);
    }
    const done = control.call(routes.release, { inodes }, { signal: end.signal });
    givingBack = { inodes: new Set(inodes), done: done.catch(() => undefined) };
    try {
      await done;
    } catch (error) {
      for (const inode of inodes) held.add(inode);
      throw error;
    } finally {
      givingBack = undefined;
    }
  };
  const holdOpen = async (): Promise<void> => {
    for (let inodes = toHold(); inodes.length > 0; inodes = toHold()) {
      await control.call(routes.hold, { inodes }, { signal: end.signal });
      for (const inode of inodes) {
        made.delete(inode);
        held.add(inode);
      }
    }
  };
  const settle = async (): Promise<void> => {
    await clock.sleep(settleMs, end.signal);
    await holdOpen();
    await giveBack();
  };
  const settleSoon = (): void => {
    if (settling || end.signal.aborted) return;
    settling = settle().then(
      () => {
        settling = undefined;
        if (toHold().length + toGiveBack().length > 0) settleSoon();
      },
      (error) => {
        settling = undefined;
        // What is not said now is said with the next sign of life.
        log.debug("the coordinator was not told what is open", { error: String(error) });
      },
    );
  };
  const signOfLife = clock.every(sessionSilentMsMax / 3, () => {
    if (held.size > 0) void control.call(routes.hold, { inodes: [] }, { signal: end.signal }).catch(() => undefined);
    settleSoon();
  });

  const tell = (news: News | "everything"): Promise<void> => {
    for (const asked of leasing) {
      const isMeant = news === "everything" || (asked.inode === undefined ? news.recalled.length > 0 : news.recalled.includes(asked.inode));
      if (isMeant) asked.isRecalled = true;
    }
    return onNews(news);
  };
  const withLease = async <T extends { readonly leased: boolean }>(inode: Inode | undefined, ask: () => Promise<T>): Promise<T> => {
    const asked = { inode, isRecalled: false };
    leasing.add(asked);
    try {
      const answer = await ask();
      return asked.isRecalled ? { ...answer, leased: false } : answer;
    } finally {
      leasing.delete(asked);
    }
  };
  const missed = (): void => {
    if (isWatching) void tell("everything");
    isWatching = false;
  };
  const watch = async (): Promise<void> => {
    while (!end.signal.aborted) {
      try {
        const options = { signal: end.signal, timeoutMs: watchMs + watchGraceMs, quietMs: watchMs, isSingle: true };
        const since = known;
        const news = await control.call(routes.watch, { since }, options);
        // The coordinator, or the connection to it, was away: it may have given up what is held here.
        const isOtherLife = !isWatching || since?.epoch !== news.cursor.epoch;
        if (isOtherLife) held.clear();
        if (isOtherLife || news.reset) void tell("everything");
        if (!news.reset && news.changed.length + news.renamed.length + news.recalled.length > 0) void tell(news);
        known = news.cursor;
        isWatching = true;
        if (toHold().length > 0) settleSoon();
      } catch (error) {
        missed();
        log.debug("changes of others are not told", { error: String(error) });
        await clock.sleep(watchAgainMs, end.signal).catch(() => undefined);
      }
    }
  };
  const askDurable = async (options: CallOptions = {}): Promise<void> => {
    hasRelaxed = false;
    try {
      await control.call(routes.makeDurable, {}, options);
    } catch (error) {
      hasRelaxed = true;
      throw error;
    }
  };
  const makeDurable = async (): Promise<void> => {
    // What is under way may be what this caller made; what was made since it was asked is not in it.
    if (durable) await durable;
    if (!durable && hasRelaxed) {
      durable = askDurable().finally(() => {
        durable = undefined;
      });
    }
    await durable;
  };
  const watching = watch();
  return {
    get isWatching() {
      return isWatching;
    },
    open: async (inode, access, signal) => {
      count(inode, 1);
      try {
        // Or it would come after, and take back what is held now.
        if (givingBack?.inodes.has(inode)) await givingBack.done;
        await yielding.get(inode);
        const opened = await withLease(inode, () => control.call(routes.open, { inode, access }, { signal }));
        held.add(inode);
        return opened;
      } catch (error) {
        // Or the coordinator would keep it for as long as this client is there.
        if (outcomeUnknown(error) && !held.has(inode)) made.add(inode);
        count(inode, -1);
        settleSoon();
        throw error;
      }
    },
    opened: (inode) => {
      count(inode, 1);
      if (!held.has(inode)) made.add(inode);
      settleSoon();
    },
    close: (inode) => {
      count(inode, -1);
      if (!openCounts.has(inode)) settleSoon();
    },
    holdOpen,
    yield: async (inode, locks) => {
      const done = control.call(routes.yieldLease, { inode, locks: [...locks] }, { signal: end.signal });
      const quiet = done.catch(() => undefined);
      yielding.set(inode, quiet);
      try {
        return (await done).kept;
      } finally {
        if (yielding.get(inode) === quiet) yielding.delete(inode);
      }
    },
    claim: async (inode, locks) => {
      const claimed = { inode, locks: [...locks], isStoring: true };
      return (await control.call(routes.yieldLease, claimed, { signal: end.signal })).kept;
    },
    create: (ask) => withLease(undefined, ask),
    lock: async (inode, lock, { wait, signal }) => {
      const options = { signal, ...(wait ? { timeoutMs: watchMs + watchGraceMs, quietMs: watchMs } : {}) };
      const { granted, news } = await control.call(routes.lock, { inode, lock, wait, since: known }, options);
      if (granted && lock.type !== "none") await tell(news.reset ? "everything" : news);
      return granted;
    },
    testLock: async (inode, lock, signal) => (await control.call(routes.testLock, { inode, lock }, { signal })).obstacle ?? undefined,
    noteRelaxed: () => {
      hasRelaxed = true;
    },
    makeDurable,
    stop: async () => {
      if (hasRelaxed) await askDurable({ timeoutMs: partingMs }).catch(() => undefined);
      signOfLife[Symbol.dispose]();
      const isKnown = isWatching || held.size > 0;
      end.abort();
      await watching;
      await settling;
      if (isKnown) await control.call(routes.release, { inodes: "all" }, { timeoutMs: partingMs, isSingle: true }).catch(() => undefined);
    },
  };
}
