/** The latest changes in the order they were made, in memory that does not grow. Pure. */
import type { Change } from "../meta/changes.ts";

export interface OwnedChange extends Change {
  /** Whose client made it. */
  readonly session: string | undefined;
}

export interface ChangeRing {
  /** The number of the next change. */
  readonly next: number;
  add(change: OwnedChange): void;
  /** From that number on, at most `limit`; undefined when some of them are forgotten. */
  since(at: number, limit: number): readonly OwnedChange[] | undefined;
}

export function createChangeRing(entriesMax: number): ChangeRing {
  const entries: OwnedChange[] = [];
  let next = 0;
  return {
    get next() {
      return next;
    },
    add: (change) => {
      entries[next++ % entriesMax] = change;
    },
    since: (at, limit) => {
      if (at > next || next - at > entriesMax) return undefined;
      const count = Math.min(limit, next - at);
      return Array.from({ length: count }, (_, index) => entries[(at + index) % entriesMax] as OwnedChange);
    },
  };
}
