/** The `fcntl` and `flock` locks on one file, as POSIX and Linux have them: ranges of owners, who never exclude themselves. Pure. */
import { CollectiveError } from "../../protocol/errors.ts";
import { locksPerFileMax } from "../../protocol/limits.ts";

export interface HeldLock {
  /** The two kinds have nothing to do with each other. */
  readonly style: "posix" | "flock";
  readonly owner: string;
  readonly type: "read" | "write";
  readonly startByte: number;
  /** The last one; Infinity for all to come. */
  readonly endByte: number;
  readonly pid: number;
}

/** "none" gives back. */
export type LockChange = Omit<HeldLock, "type"> & { readonly type: HeldLock["type"] | "none" };

export interface LockTable {
  readonly held: readonly HeldLock[];
  /** The first that is in the way. */
  obstacle(lock: LockChange): HeldLock | undefined;
  /** What the owner had in that range is replaced. Throws `too_large` instead when there would be too many, for what is given back may split one. */
  apply(lock: LockChange): void;
  /** Gives back all of those owners. */
  release(isOver: (lock: HeldLock) => boolean): void;
}

export function createLockTable(): LockTable {
  let held: HeldLock[] = [];
  return {
    get held() {
      return held;
    },
    obstacle: (lock) =>
      lock.type === "none"
        ? undefined
        : held.find((other) => !isSameOwner(other, lock) && overlaps(other, lock) && (other.type === "write" || lock.type === "write")),
    apply: (lock) => {
      const next = held.flatMap((other) => (isSameOwner(other, lock) && overlaps(other, lock) ? without(other, lock) : [other]));
      const { type } = lock;
      if (type !== "none") next.push({ ...lock, type });
      if (next.length > locksPerFileMax) throw new CollectiveError("too_large", `a file has at most ${locksPerFileMax} locks`);
      held = next;
    },
    release: (isOver) => {
      held = held.filter((lock) => !isOver(lock));
    },
  };
}

type Range = Pick<HeldLock, "style" | "startByte" | "endByte">;

function overlaps(one: Range, other: Range): boolean {
  return one.style === other.style && one.startByte <= other.endByte && other.startByte <= one.endByte;
}

function isSameOwner(one: LockChange, other: LockChange): boolean {
  return one.style === other.style && one.owner === other.owner;
}

/** What is left on both sides. */
function without(lock: HeldLock, taken: Range): HeldLock[] {
  return [
    ...(lock.startByte < taken.startByte ? [{ ...lock, endByte: taken.startByte - 1 }] : []),
    ...(lock.endByte > taken.endByte ? [{ ...lock, startByte: taken.endByte + 1 }] : []),
  ];
}

/** Whom each owner of `fcntl` locks waits for: a circle would wait for ever. */
export interface WaitGraph {
  /** True when `blocker` waits, by others perhaps, for `owner`. */
  closesCircle(owner: string, blocker: string): boolean;
  wait(owner: string, blocker: string): Disposable;
}

export function createWaitGraph(): WaitGraph {
  const waits = new Map<string, string>();
  return {
    closesCircle: (owner, blocker) => {
      for (let next: string | undefined = blocker; next !== undefined; next = waits.get(next)) if (next === owner) return true;
      return false;
    },
    wait: (owner, blocker) => {
      waits.set(owner, blocker);
      return { [Symbol.dispose]: () => void waits.delete(owner) };
    },
  };
}
