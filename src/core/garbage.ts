/**
 * Keeps the memory of a long transfer near what it uses. Bodies of requests and answers are memory
 * outside the collector's heap: it sees small objects and takes its time, while each holds megabytes.
 * So whoever moves bytes says how many, and every so many of them the garbage is collected, which
 * takes a few milliseconds. Only what is young is looked at, which is where the bodies are; `Bun.gc` would also give all free
 * memory back to the system, and each page of the next body would be a fault. Figures: test/bench/README.md.
 */
import { edenGC, fullGC } from "bun:jsc";
import { mebibyte } from "../../protocol/limits.ts";

const movedBytesMax = 16 * mebibyte;

/** A whole collection costs some ten milliseconds. */
const droppedBytesMax = 32 * mebibyte;

export interface GarbageWatch {
  moved(bytes: number): void;
}

export function createGarbageWatch(): GarbageWatch {
  let bytesLeft = movedBytesMax;
  return {
    moved: (bytes) => {
      bytesLeft -= bytes;
      if (bytesLeft > 0) return;
      bytesLeft = movedBytesMax;
      edenGC();
    },
  };
}

/** For what was kept for a while before it is let go: that is not young any more, and only a whole collection finds it. */
export interface OldGarbageWatch {
  dropped(bytes: number): void;
}

export function createOldGarbageWatch(): OldGarbageWatch {
  let bytesLeft = droppedBytesMax;
  return {
    dropped: (bytes) => {
      bytesLeft -= bytes;
      if (bytesLeft > 0) return;
      bytesLeft = droppedBytesMax;
      fullGC();
    },
  };
}
