/**
 * Which spans of a file a commit writes anew, each as one chunk. Pure.
 *
 * What was written becomes chunks of its own, so that a commit costs what was changed; and a window whose half or more is new is written
 * whole, so that what is written in order comes out as the chunker's rule says. Fragments are merged when there are many of them: each with
 * neighbours no larger than itself, so that whoever appends has each byte written again as often as the window doubles.
 */
import type { ChunkId } from "../../protocol/ids.ts";
import { chunkBytesFor } from "../codec/chunker.ts";
import { createRanges, type Range, type Ranges } from "./ranges.ts";
import type { StoredPart } from "./stored-content.ts";

interface Piece extends Range {
  readonly isHole: boolean;
}

/** A window in more pieces is written anew. */
const piecesMax = 32;
/** So many separate pieces of one window in one commit are as good as the window. */
const piecesPerCommitMax = 16;

export function windowAt(at: number, sizeBytes: number): Range {
  const windowBytes = chunkBytesFor(sizeBytes);
  const start = at - (at % windowBytes);
  return { start, end: Math.min(start + windowBytes, sizeBytes) };
}

/** Those that the spans lie in. */
export function windowsOf(spans: readonly Range[], sizeBytes: number): Range[] {
  return [...new Set(spans.map(({ start }) => windowAt(start, sizeBytes).start))].map((start) => windowAt(start, sizeBytes));
}

/** What was written, cut at the edges of windows, in order. */
export function writtenSpans(written: Ranges, sizeBytes: number): Range[] {
  const spans: Range[] = [];
  for (const { start, end } of written.list()) {
    for (let at = start; at < end; at = spans.at(-1)?.end ?? end)
      spans.push({ start: at, end: Math.min(end, windowAt(at, sizeBytes).end) });
  }
  return spans;
}

/** The same, with windows as a whole where much of them was written. */
export function spansOf(written: Ranges, sizeBytes: number): Range[] {
  const byWindow = Map.groupBy(writtenSpans(written, sizeBytes), ({ start }) => windowAt(start, sizeBytes).start);
  return [...byWindow].flatMap(([start, parts]) => {
    const window = windowAt(start, sizeBytes);
    const bytes = parts.reduce((sum, part) => sum + bytesOf(part), 0);
    return 2 * bytes >= bytesOf(window) || parts.length > piecesPerCommitMax ? [window] : parts;
  });
}

/** The spans of one window, made wider where they would leave it in many pieces. `parts`: the window as it is stored. */
export function mergedSpans(parts: readonly StoredPart[], spans: readonly Range[], window: Range): readonly Range[] {
  const pieces = piecesAfter(parts, spans);
  const merged = createRanges();
  for (const span of spans) merged.add(grown(pieces, span));
  return piecesAfter(parts, merged.list()).length > piecesMax ? [window] : merged.list();
}

/** What is stored, with the spans written over it. */
function piecesAfter(parts: readonly StoredPart[], spans: readonly Range[]): Piece[] {
  const fresh = createRanges(spans);
  const kept = parts.flatMap(({ offset, plainBytes, chunk }) =>
    fresh
      .split({ start: offset, end: offset + plainBytes })
      .filter((part) => !part.inside)
      .map(({ start, end }) => ({ start, end, isHole: chunk === undefined })),
  );
  return [...kept, ...spans.map((span) => ({ ...span, isHole: false }))].sort((one, other) => one.start - other.start);
}

function grown(pieces: readonly Piece[], span: Range): Range {
  let first = pieces.findIndex(({ start }) => start === span.start);
  let last = first;
  let { start, end } = span;
  const takes = (piece: Piece | undefined): piece is Piece => piece !== undefined && !piece.isHole && bytesOf(piece) <= end - start;
  for (;;) {
    const [before, after] = [pieces[first - 1], pieces[last + 1]];
    if (takes(before) && before.end === start) {
      start = before.start;
      first--;
    } else if (takes(after) && after.start === end) {
      end = after.end;
      last++;
    } else return { start, end };
  }
}

/** What a mount has done to a window since the file was opened. */
export interface WindowHistory {
  /** Committed since it was last looked at or written whole. */
  pieces: number;
  bytes: number;
  /** Since it was last written whole there were commits of parts. */
  isFragmented: boolean;
  isLengthened: boolean;
  /** The rule cuts the file in another way than when this was stored. */
  isRecut: boolean;
}

export interface StoredWindow {
  readonly window: Range;
  readonly parts: readonly StoredPart[];
  readonly history: WindowHistory;
  readonly sizeBytes: number;
}

/** After the last close: whether the window is to become one chunk. It costs no more than a few times what was written there. */
export function isWorthRewriting({ window, parts, history, sizeBytes }: StoredWindow): boolean {
  const [first] = parts;
  const isOne = parts.length === 1 && first?.chunk?.chunkBytes === bytesOf(window);
  if (isOne || parts.every(({ chunk }) => chunk === undefined)) return false;
  const stored = new Map<ChunkId, number>(parts.flatMap(({ chunk }) => (chunk ? [[chunk.id, chunk.chunkBytes]] : [])));
  const storedBytes = [...stored.values()].reduce((sum, chunkBytes) => sum + chunkBytes, 0);
  const isComplete = history.isLengthened && bytesOf(window) === chunkBytesFor(sizeBytes);
  const isMuch = 4 * history.bytes >= bytesOf(window) || storedBytes > 2 * bytesOf(window);
  return history.isRecut || isComplete || isMuch || parts.length > piecesMax;
}

function bytesOf({ start, end }: Range): number {
  return end - start;
}
