/**
 * What a handle reads next, guessed from what it has read: as long as reads follow each other the window grows, and a read
 * somewhere else makes it nothing again, so a program that jumps about costs no more than what it reads.
 */
import { mebibyte } from "../../protocol/limits.ts";
import type { Range } from "./ranges.ts";

export interface ReadAhead {
  /** To be called at each read; what to fetch now, empty for nothing. */
  after(read: Range): Range;
}

const firstWindowBytes = mebibyte;
const windowBytesMax = 12 * mebibyte;
/** The kernel sends several reads at once, and they may overtake each other. */
const slackBytes = 2 * mebibyte;

export function createReadAhead(): ReadAhead {
  let expected = 0;
  let fetchedTo = 0;
  let windowBytes = 0;
  return {
    after: ({ start, end }) => {
      const follows = start <= expected + slackBytes && start + slackBytes >= expected;
      if (!follows) {
        windowBytes = 0;
        expected = end;
        fetchedTo = end;
        return { start: end, end };
      }
      if (end > expected) windowBytes = Math.min(windowBytesMax, Math.max(firstWindowBytes, windowBytes + 2 * (end - expected)));
      expected = Math.max(expected, end);
      fetchedTo = Math.max(fetchedTo, expected);
      // In steps, not a little at each read.
      if (expected + windowBytes - fetchedTo < windowBytes / 4) return { start: fetchedTo, end: fetchedTo };
      const next = { start: fetchedTo, end: expected + windowBytes };
      fetchedTo = next.end;
      return next;
    },
  };
}
