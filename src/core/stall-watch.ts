/**
 * Patience with one node while another could give the same: a connection that is silent for `stallMs` is
 * given up. It is about silence and not about speed, so a slow line is not mistaken for a stalled node.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";

export interface StallWatch extends Disposable {
  readonly signal: AbortSignal;
  /** Something has come. */
  moved(): void;
  /** What was thrown, or `timed_out` where it was thrown for our impatience. */
  reasonFor(thrown: unknown): unknown;
}

const looksPerStall = 4;

export function watchStall(clock: Clock, options: { readonly stallMs: number; readonly signal?: AbortSignal | undefined }): StallWatch {
  const { stallMs, signal } = options;
  const silence = `nothing came for ${stallMs / 1000} s`;
  const impatience = new AbortController();
  let movedMs = clock.monotonicMs();
  const timer = clock.every(stallMs / looksPerStall, () => {
    if (clock.monotonicMs() - movedMs >= stallMs) impatience.abort(new DOMException(silence, "TimeoutError"));
  });
  return {
    signal: signal ? AbortSignal.any([signal, impatience.signal]) : impatience.signal,
    moved: () => {
      movedMs = clock.monotonicMs();
    },
    reasonFor: (thrown) =>
      impatience.signal.aborted && signal?.aborted !== true ? new CollectiveError("timed_out", silence, { cause: thrown }) : thrown,
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}
