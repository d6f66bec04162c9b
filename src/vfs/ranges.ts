/** A set of bytes of a file, as sorted ranges that neither overlap nor touch each other. */
export interface Range {
  readonly start: number;
  /** The first byte that is not in it any more. */
  readonly end: number;
}

export interface RangePart extends Range {
  readonly inside: boolean;
}

export interface Ranges {
  /** How many bytes are in the set. */
  readonly bytes: number;
  /** The first byte after all of them. */
  readonly end: number;
  add(range: Range): void;
  remove(range: Range): void;
  /** Takes out whatever is at `from` or later. */
  cut(from: number): void;
  overlaps(range: Range): boolean;
  /** The whole range in parts that are each entirely in the set, or not at all. */
  split(range: Range): RangePart[];
  list(): readonly Range[];
}

export function createRanges(initial: readonly Range[] = []): Ranges {
  let ranges: Range[] = [...initial];
  let bytes = sumOf(ranges);
  /** Index of the first range that ends at `at` or later. */
  const firstFrom = (at: number): number => {
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ranges[middle]?.end ?? 0) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    get bytes() {
      return bytes;
    },
    get end() {
      return ranges.at(-1)?.end ?? 0;
    },
    add: ({ start, end }) => {
      if (end <= start) return;
      const first = firstFrom(start);
      let after = first;
      let joined: Range = { start, end };
      for (let next = ranges[after]; next && next.start <= end; next = ranges[++after]) {
        joined = { start: Math.min(joined.start, next.start), end: Math.max(joined.end, next.end) };
      }
      const gone = ranges.splice(first, after - first, joined);
      bytes += joined.end - joined.start - sumOf(gone);
    },
    remove: ({ start, end }) => {
      const first = firstFrom(start + 1);
      let after = first;
      const left: Range[] = [];
      for (let next = ranges[after]; next && next.start < end; next = ranges[++after]) {
        if (next.start < start) left.push({ start: next.start, end: start });
        if (next.end > end) left.push({ start: end, end: next.end });
      }
      const gone = ranges.splice(first, after - first, ...left);
      bytes += sumOf(left) - sumOf(gone);
    },
    cut: (from) => {
      if ((ranges.at(-1)?.end ?? 0) <= from) return;
      ranges = ranges.flatMap(({ start, end }) => (start >= from ? [] : [{ start, end: Math.min(end, from) }]));
      bytes = sumOf(ranges);
    },
    overlaps: ({ start, end }) => {
      const next = ranges[firstFrom(start + 1)];
      return next !== undefined && next.start < end;
    },
    split: ({ start, end }) => {
      const parts: RangePart[] = [];
      let at = start;
      for (let index = firstFrom(start + 1); at < end; index++) {
        const next = ranges[index];
        const from = Math.min(end, Math.max(at, next?.start ?? end));
        if (from > at) parts.push({ start: at, end: from, inside: false });
        if (next === undefined || from >= end) break;
        at = Math.min(end, next.end);
        parts.push({ start: from, end: at, inside: true });
      }
      return parts;
    },
    list: () => ranges,
  };
}

function sumOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}
