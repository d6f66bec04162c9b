/** A binary heap of events by time; those of one time come out in the order in which they were added. */

export interface EventQueue<E> {
  add(atMs: number, event: E): void;
  nextMs(): number | undefined;
  take(): E | undefined;
}

interface Item<E> {
  readonly atMs: number;
  readonly order: number;
  readonly event: E;
}

export function createEventQueue<E>(): EventQueue<E> {
  const heap: Item<E>[] = [];
  let added = 0;
  const isBefore = (a: Item<E>, b: Item<E>): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
  const sinkFromTop = (item: Item<E>): void => {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const [l, r] = [heap[left], heap[right]];
      const least = l && r && isBefore(r, l) ? right : left;
      const child = heap[least];
      if (!child || isBefore(item, child)) break;
      heap[at] = child;
      at = least;
    }
    heap[at] = item;
  };
  return {
    add: (atMs, event) => {
      const item = { atMs, order: added++, event };
      let at = heap.length;
      heap.push(item);
      while (at > 0) {
        const up = (at - 1) >> 1;
        const parent = heap[up];
        if (!parent || isBefore(parent, item)) break;
        heap[at] = parent;
        at = up;
      }
      heap[at] = item;
    },
    nextMs: () => heap[0]?.atMs,
    take: () => {
      const first = heap[0];
      const last = heap.pop();
      if (last && heap.length > 0) sinkFromTop(last);
      return first?.event;
    },
  };
}
