/**
 * `fcntl` and `flock` locks, which hold for all mounts of the collective.
 *
 * - A file that is open here alone (`leased`) has its locks here alone: they cost nothing. When somebody else wants to open it, they are
 *   handed to the coordinator before it may.
 * - Otherwise the coordinator is asked. With a lock comes what others have changed before it, so whoever has it reads what they wrote; what was
 *   written here is committed before a lock is given back.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import type { WireLock } from "../../protocol/session-routes.ts";
import { createLimiter, type Limiter } from "../core/limiter.ts";
import { createLockTable, createWaitGraph, type HeldLock, type LockChange, type LockTable } from "../core/lock-table.ts";
import type { Log } from "../core/log.ts";
import { outcomeUnknown } from "../net/errors.ts";
import type { LockRange, LockRequest } from "./file-system.ts";
import type { Node, Nodes, Realm } from "./nodes.ts";
import type { OpenFiles } from "./opened-file.ts";

export interface FileLocks {
  test(node: Node, lock: LockRequest, signal: AbortSignal): LockRange | undefined | Promise<LockRange | undefined>;
  set(node: Node, lock: LockRequest, how: { readonly wait: boolean; readonly signal: () => AbortSignal }): void | Promise<void>;
  /** A close ends what the owner had. */
  end(node: Node, style: LockRequest["style"], owner: bigint): void | Promise<void>;
  /** Somebody else wants to look at the file: when this resolves, the coordinator knows its locks, and what was closed is stored. */
  recall(realm: Realm, inode: Inode): Promise<void>;
  /** The coordinator may know nothing of what is locked here any more. */
  reclaim(realm: Realm): Promise<void>;
}

export interface FileLocksOptions {
  readonly nodes: Pick<Nodes, "known" | "numberOf">;
  readonly files: Pick<OpenFiles, "commit" | "flushKernel" | "recall">;
  readonly log: Log;
}

interface Locked {
  readonly table: LockTable;
  readonly waiting: Set<() => void>;
  /** One at a time: what the coordinator is told of them, but for what may have to wait for others. */
  readonly turns: Limiter;
  /** Until none are left. */
  isAtCoordinator: boolean;
}

export function createFileLocks({ nodes, files, log }: FileLocksOptions): FileLocks {
  const locked = new Map<Node, Locked>();
  const graph = createWaitGraph();
  const lockedOf = (node: Node): Locked => {
    const known = locked.get(node) ?? { table: createLockTable(), waiting: new Set(), turns: createLimiter(1), isAtCoordinator: false };
    locked.set(node, known);
    return known;
  };
  const apply = (node: Node, lock: LockChange): void => {
    const { table, waiting } = lockedOf(node);
    table.apply(lock);
    if (table.held.length === 0 && waiting.size === 0) locked.delete(node);
    for (const wake of [...waiting]) wake();
  };
  const isAlone = (node: Node): boolean => (node.isRemoved || node.opened?.leased === true) && locked.get(node)?.isAtCoordinator !== true;
  const waitHere = async (node: Node, lock: LockChange, other: HeldLock, signal: AbortSignal): Promise<void> => {
    if (lock.style === "posix" && graph.closesCircle(lock.owner, other.owner))
      throw new CollectiveError("deadlock", "each waits for the other");
    using _ = lock.style === "posix" ? graph.wait(lock.owner, other.owner) : undefined;
    const { waiting } = lockedOf(node);
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    waiting.add(wake);
    signal.addEventListener("abort", wake);
    try {
      await promise;
    } finally {
      waiting.delete(wake);
      signal.removeEventListener("abort", wake);
    }
    if (signal.aborted) throw new CollectiveError("cancelled", "cancelled while waiting for a lock");
  };
  /** True when it was had, or given back, without asking anybody. */
  const setHere = (node: Node, lock: LockChange): boolean => {
    if (!isAlone(node) || lockedOf(node).table.obstacle(lock)) return false;
    apply(node, lock);
    return true;
  };
  const ask = async (node: Node, lock: LockChange, wait: boolean, signal: AbortSignal | undefined): Promise<boolean> => {
    // What was written under the lock is there for whoever gets the next one.
    if (lock.type !== "write") {
      await files.flushKernel(node);
      if (node.opened?.content.hasUnsaved) await files.commit(node).catch(() => undefined);
    }
    lockedOf(node).isAtCoordinator = true;
    try {
      const granted = await node.realm.session.lock(node.inode, wireLock(lock), { wait, signal });
      if (granted) apply(node, lock);
      return granted;
    } catch (error) {
      if (lock.type !== "none" && outcomeUnknown(error)) void forgo(node, lock);
      throw error;
    }
  };
  /** Perhaps the lock was had and the answer lost. Whatever is asked next waits for this. */
  const forgo = async (node: Node, lock: LockChange): Promise<void> => {
    const { table, turns } = lockedOf(node);
    const { session } = node.realm;
    try {
      await turns.run(async () => {
        await session.lock(node.inode, wireLock({ ...lock, type: "none" }), { wait: false, signal: undefined });
        if (table.held.length > 0) await tell(node, session.claim);
      });
    } catch (error) {
      log.debug("a lock that was not waited for may not be given back", { error: String(error) });
    }
  };
  const setAtCoordinator = async (node: Node, lock: LockChange, wait: boolean, signal: AbortSignal | undefined): Promise<boolean> => {
    const { turns } = lockedOf(node);
    if (lock.type === "none" || !wait) return await turns.run(() => ask(node, lock, wait, signal));
    await turns.run(async () => undefined);
    return await ask(node, lock, wait, signal);
  };
  const setWaiting = async (node: Node, lock: LockChange, wait: boolean, signal: AbortSignal): Promise<void> => {
    // A lock that is changed is given back first: two that hold it to read and both want to write would wait for each other.
    if (wait && lock.style === "flock" && lock.type !== "none") await give(node, { ...lock, type: "none" });
    while (!setHere(node, lock)) {
      const other = isAlone(node) ? lockedOf(node).table.obstacle(lock) : undefined;
      if (other && !wait) throw new CollectiveError("locked", "somebody else has a lock there");
      if (other) await waitHere(node, lock, other, signal);
      else if (await setAtCoordinator(node, lock, wait, signal)) return;
      if (signal.aborted) throw new CollectiveError("cancelled", "cancelled while waiting for a lock");
    }
  };
  const give = (node: Node, lock: LockChange): void | Promise<void> => {
    if (!setHere(node, lock)) return setAtCoordinator(node, lock, false, undefined).then(() => undefined);
  };
  const tell = async (node: Node, how: Realm["session"]["yield"]): Promise<void> => {
    const { table } = lockedOf(node);
    if (await how(node.inode, table.held.map(wireLock))) return;
    log.warn("locks on a file were lost: another client has them", { inode: node.inode });
    table.release(() => true);
    locked.delete(node);
  };
  const handOver = async (realm: Realm, inode: Inode, how: "claim" | "yield"): Promise<void> => {
    const node = nodes.known(nodes.numberOf(realm, inode));
    const known = node && locked.get(node);
    if (known) {
      await known.turns.run(async () => {
        known.isAtCoordinator = true;
        await tell(node, realm.session[how]);
      });
    } else if (how === "yield") await realm.session.yield(inode, []);
  };
  return {
    test: (node, request, signal) => {
      const lock = changeOf(request);
      const found = locked.get(node)?.table.obstacle(lock);
      if (found || isAlone(node)) return found;
      return node.realm.session
        .testLock(node.inode, wireLock(lock), signal)
        .then((wire) => wire && { ...wire, endByte: wire.endByte ?? Number.POSITIVE_INFINITY });
    },
    set: (node, request, { wait, signal }) => {
      const lock = changeOf(request);
      if (setHere(node, lock)) return;
      return lock.type === "none" ? give(node, lock) : setWaiting(node, lock, wait, signal());
    },
    end: (node, style, owner) => {
      const lock: LockChange = { style, owner: ownerOf(owner), type: "none", startByte: 0, endByte: Number.POSITIVE_INFINITY, pid: 0 };
      if (locked.get(node)?.table.held.some((held) => held.style === style && held.owner === lock.owner)) return give(node, lock);
    },
    recall: async (realm, inode) => {
      const node = nodes.known(nodes.numberOf(realm, inode));
      try {
        // Before anything is stored, which may take longer than others wait for it.
        await handOver(realm, inode, "claim");
      } finally {
        if (node) await files.recall(node);
      }
      await handOver(realm, inode, "yield");
    },
    reclaim: async (realm) => {
      const ours = [...locked.keys()].filter((node) => node.realm === realm && !node.isRemoved);
      await Promise.all(ours.map(({ inode }) => handOver(realm, inode, "yield")));
    },
  };
}

function ownerOf(owner: bigint): string {
  return owner.toString(36);
}

function changeOf({ owner, ...lock }: LockRequest): LockChange {
  return { ...lock, owner: ownerOf(owner) };
}

function wireLock({ endByte, ...lock }: LockChange): WireLock {
  return { ...lock, endByte: Number.isFinite(endByte) ? endByte : null };
}
