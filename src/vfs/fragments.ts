/** The windows of an open file that this mount has committed to: when to look at one, and which are left at the end. */
import { chunkBytesFor, mediumFileBytesMax } from "../codec/chunker.ts";
import { type WindowHistory, windowAt } from "./commit-plan.ts";
import type { Range } from "./ranges.ts";

export interface Fragments {
  readonly isEmpty: boolean;
  /** It was committed to so often that it may be in many pieces. */
  isDue(window: Range): boolean;
  /** A commit has written these. */
  note(spans: readonly Range[], sizes: { readonly beforeBytes: number; readonly sizeBytes: number }): void;
  noteLook(window: Range): void;
  /** Also after more was noted it stays as it is. */
  list(): readonly { readonly start: number; readonly history: WindowHistory }[];
  clear(): void;
}

const piecesUntilLook = 16;

export function createFragments(): Fragments {
  const histories = new Map<number, WindowHistory>();
  const historyOf = (start: number): WindowHistory => {
    const history = histories.get(start) ?? { pieces: 0, bytes: 0, isFragmented: false, isLengthened: false, isRecut: false };
    histories.set(start, history);
    return history;
  };
  const recut = (bytes: number): void => {
    histories.clear();
    const end = Math.min(bytes, mediumFileBytesMax);
    for (let at = 0; at < end; at = windowAt(at, bytes).end) Object.assign(historyOf(at), { isFragmented: true, isRecut: true });
  };
  return {
    get isEmpty() {
      return ![...histories.values()].some(({ isFragmented }) => isFragmented);
    },
    isDue: ({ start }) => (histories.get(start)?.pieces ?? 0) >= piecesUntilLook,
    note: (spans, { beforeBytes, sizeBytes }) => {
      // A cut or a lengthening alone reads nothing, also not later.
      if (spans.length === 0) return;
      if (beforeBytes > 0 && chunkBytesFor(beforeBytes) !== chunkBytesFor(sizeBytes)) recut(sizeBytes);
      for (const span of spans) {
        const window = windowAt(span.start, sizeBytes);
        const history = historyOf(window.start);
        const isWhole = span.start === window.start && span.end === window.end;
        history.pieces = isWhole ? 0 : history.pieces + 1;
        history.bytes += span.end - span.start;
        history.isFragmented = !isWhole;
        history.isRecut &&= !isWhole;
        history.isLengthened ||= span.end > beforeBytes;
      }
      for (const start of histories.keys()) if (start >= sizeBytes) histories.delete(start);
    },
    noteLook: ({ start }) => {
      historyOf(start).pieces = 0;
    },
    list: () => [...histories].filter(([, { isFragmented }]) => isFragmented).map(([start, history]) => ({ start, history })),
    clear: () => histories.clear(),
  };
}
