/** What clients have open, and what they are told of each other's changes. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { watchMs } from "../../protocol/limits.ts";
import type { RouteOutput } from "../../protocol/routes.ts";
import type { ChangeCursor, sessionRoutes, WireLock } from "../../protocol/session-routes.ts";
import type { LockChange } from "../core/lock-table.ts";
import type { Session } from "../meta/store.ts";
import type { CallContext, ControlHandlers } from "../net/control-app.ts";
import { type Clearance, createAccess } from "./access.ts";
import type { OwnedChange } from "./change-ring.ts";
import { needToChangeAndSee } from "./inode-handlers.ts";
import { leaseAlone } from "./leases.ts";
import type { CoordinatorService } from "./service.ts";

/** A client that makes many changes is told of in few answers, a little later. */
const gatherMs = 20;

export function createSessionHandlers(service: CoordinatorService): Pick<ControlHandlers, keyof typeof sessionRoutes> {
  const { metadata, changes, leases, locks, clock } = service;
  const access = createAccess(service);
  return {
    open: async ({ inode, access: wanted }, context) => {
      const clearance = access.of(context.caller);
      if (wanted !== "write") await clearance.need("read", inode);
      if (wanted !== "read") await needToChangeAndSee(service, clearance, inode);
      const session = sessionOf(context);
      await leases.settle([inode], session.token);
      const { gone } = await metadata.hold(session, [inode]);
      if (gone.length > 0) throw new CollectiveError("not_found", "the file no longer exists");
      const leased = wanted !== "read" && (await leaseAlone(service, session, inode));
      return { attr: await metadata.getAttr(inode), leased };
    },
    yieldLease: async ({ inode, locks: held, isStoring }, context) => {
      const isUsable = await mayUse(service, access.of(context.caller), inode);
      const { token } = sessionOf(context);
      const kept = isUsable && locks.claim(inode, token, held.map(lockOf));
      if (!kept) locks.release(token, [inode]);
      if (isStoring !== true) leases.yield([inode], token);
      return { kept };
    },
    lock: async ({ inode, lock, wait, since }, context) => {
      const clearance = access.of(context.caller);
      const { token } = sessionOf(context);
      await needToLock(service, clearance, inode, lock.type);
      const untilMs = wait ? clock.monotonicMs() + watchMs : undefined;
      const granted = await locks.set(inode, token, lockOf(lock), { untilMs, signal: context.signal });
      const { cursor, changes: made, hasMore } = changes.read(since);
      // All of it, or whoever has the lock would believe what was before it.
      const told = since === null || hasMore ? undefined : await toldTo(clearance, token, made);
      return { granted, news: { ...answerOf(cursor, told), recalled: [] } };
    },
    testLock: async ({ inode, lock }, context) => {
      await needToLock(service, access.of(context.caller), inode, lock.type);
      const found = locks.test(inode, sessionOf(context).token, lockOf(lock));
      return { obstacle: found ? { ...found, owner: "", endByte: Number.isFinite(found.endByte) ? found.endByte : null } : null };
    },
    makeDurable: async (_, { caller }) => {
      access.of(caller);
      await metadata.makeDurable();
      return {};
    },
    hold: async ({ inodes }, context) => {
      const clearance = access.of(context.caller);
      const usable = await Promise.all(inodes.map((inode) => mayUse(service, clearance, inode)));
      const held = await metadata.hold(
        sessionOf(context),
        inodes.filter((_, index) => usable[index]),
      );
      return { gone: [...inodes.filter((_, index) => !usable[index]), ...held.gone] };
    },
    release: async ({ inodes }, context) => {
      // What is released was held, so only who holds it gives it back.
      access.of(context.caller);
      const session = sessionOf(context);
      await metadata.release(session, inodes);
      locks.release(session.token, inodes);
      if (inodes === "all") leases.forget(session.token);
      else leases.yield(inodes, session.token);
      return {};
    },
    watch: async ({ since }, context) => {
      const clearance = access.of(context.caller);
      const session = sessionOf(context);
      const { token } = session;
      // Counted as those that hold files are, and refused as they are when there are too many.
      if (locks.touch(token)) {
        await metadata.hold(session, []);
        locks.noteCounted(token);
      }
      using _watching = leases.watches(token);
      const until = { monotonicMs: clock.monotonicMs() + watchMs, signal: context.signal };
      for (let from: ChangeCursor | null = since; ; ) {
        const { cursor, changes: made } = changes.read(from);
        const told = await toldTo(clearance, token, made);
        if (told === undefined) await dropLocks(service, clearance, token);
        const recalled = leases.takeRecalled(token);
        const isNews = from === null || told === undefined || told.length > 0 || recalled.length > 0;
        if (isNews || !changes.isOpen || context.signal.aborted || clock.monotonicMs() >= until.monotonicMs) {
          return { ...answerOf(cursor, told), recalled: [...recalled] };
        }
        await changes.wait(cursor, until);
        if (!leases.isRecalled(token)) await clock.sleep(gatherMs);
        from = cursor;
      }
    },
  };
}

function sessionOf({ caller, session }: CallContext): Session {
  if (session !== undefined) return { caller: caller.name, token: session };
  throw new CollectiveError("invalid_argument", "a client without a session holds nothing open", { hint: "update the older program" });
}

/** False also for what does not exist, which the administrator may do everything with. */
async function mayUse({ metadata }: CoordinatorService, clearance: Clearance, inode: Inode): Promise<boolean> {
  try {
    await metadata.getAttr(inode);
    const held = await clearance.rightsOn(inode);
    return held.has("read") || held.has("write");
  } catch (error) {
    if (error instanceof CollectiveError && error.code === "not_found") return false;
    throw error;
  }
}

/** On what the caller may not use any more. */
async function dropLocks(service: CoordinatorService, clearance: Clearance, token: string): Promise<void> {
  for (const inode of service.locks.lockedBy(token)) if (!(await mayUse(service, clearance, inode))) service.locks.release(token, [inode]);
}

/** Whoever may read it may keep others from changing what it reads. */
async function needToLock(service: CoordinatorService, clearance: Clearance, inode: Inode, type: WireLock["type"]): Promise<void> {
  if (type === "none") return;
  if (!(await mayUse(service, clearance, inode))) await clearance.need("read", inode);
  // Of what does not exist nobody would ever give a lock back.
  await service.metadata.getAttr(inode);
}

function lockOf({ endByte, ...lock }: WireLock): LockChange {
  return { ...lock, endByte: endByte ?? Number.POSITIVE_INFINITY };
}

async function toldTo(
  clearance: Clearance,
  token: string,
  made: readonly OwnedChange[] | undefined,
): Promise<readonly OwnedChange[] | undefined> {
  return (
    made &&
    (await shownTo(
      clearance,
      made.filter(({ session }) => session !== token),
    ))
  );
}

/** What lies in datastores in which the caller may read something. Undefined when it may see other things now than before. */
async function shownTo(clearance: Clearance, changes: readonly OwnedChange[]): Promise<readonly OwnedChange[] | undefined> {
  if (changes.length === 0) return changes;
  if (clearance.isAdministrator) return changes.filter(({ kind }) => kind !== "rights");
  if (changes.some(({ kind }) => kind === "rights")) return undefined;
  const ways = await clearance.ways();
  return changes.filter(({ store }) => store === 0 || ways.rightsIn(store as Inode).has("read"));
}

function answerOf(
  cursor: ChangeCursor,
  changes: readonly OwnedChange[] | undefined,
): Omit<RouteOutput<typeof sessionRoutes.watch>, "recalled"> {
  const of = (kind: OwnedChange["kind"]) => [...new Set((changes ?? []).flatMap((change) => (change.kind === kind ? [change.inode] : [])))];
  return { cursor, reset: changes === undefined, changed: of("content"), renamed: of("names") };
}
