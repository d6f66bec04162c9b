/**
 * Tells clients what others have changed. Changes are remembered only while somebody watches, for as long as the ring is; whoever asks
 * for more, or of an earlier life of this process, is told to believe nothing (`reset`).
 */
import { changesPerAnswerMax, watchMs } from "../../protocol/limits.ts";
import type { ChangeCursor } from "../../protocol/session-routes.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import type { MetadataStore } from "../meta/store.ts";
import { createChangeRing, type OwnedChange } from "./change-ring.ts";

export interface FeedAnswer {
  readonly cursor: ChangeCursor;
  /** Undefined when some are forgotten. */
  readonly changes: readonly OwnedChange[] | undefined;
  /** There are more, from the cursor on. */
  readonly hasMore: boolean;
}

export interface ChangeFeed {
  /** At once. Null begins now. */
  read(since: ChangeCursor | null): FeedAnswer;
  /** Resolves when there is something after the cursor, and at that time at the latest; also when nobody waits for it any more. */
  wait(since: ChangeCursor, until: { readonly monotonicMs: number; readonly signal: AbortSignal }): Promise<void>;
  /** Whoever waits looks again. */
  nudge(): void;
  /** False from `stop` on, when whoever waits is answered. */
  readonly isOpen: boolean;
  stop(): void;
}

/** About 1 MB. */
const rememberedMax = 16_384;
/** Without a question for so long, nobody watches. */
const idleMs = 6 * watchMs;

export interface ChangeFeedOptions {
  readonly metadata: Pick<MetadataStore, "observeChanges">;
  readonly clock: Clock;
  readonly random: Random;
}

export function createChangeFeed({ metadata, clock, random }: ChangeFeedOptions): ChangeFeed {
  let ring = createChangeRing(rememberedMax);
  let epoch = "";
  let observing: DisposableStack | undefined;
  let askedMs = 0;
  let stopped = false;
  const waiting = new Set<() => void>();
  const wakeAll = (): void => {
    for (const wake of [...waiting]) wake();
  };
  const begin = (): void => {
    ring = createChangeRing(rememberedMax);
    epoch = Buffer.from(random.bytes(12)).toString("base64url");
    observing = new DisposableStack();
    observing.use(
      metadata.observeChanges((made, session) => {
        for (const change of made) ring.add({ ...change, session });
        wakeAll();
      }),
    );
    observing.use(
      clock.every(idleMs, () => {
        if (waiting.size === 0 && clock.monotonicMs() - askedMs >= idleMs) end();
      }),
    );
  };
  const end = (): void => {
    observing?.dispose();
    observing = undefined;
    epoch = "";
  };
  return {
    get isOpen() {
      return !stopped;
    },
    read: (since) => {
      askedMs = clock.monotonicMs();
      if (!observing && !stopped) begin();
      if (since === null) return { cursor: { epoch, at: ring.next }, changes: [], hasMore: false };
      const changes = since.epoch === epoch ? ring.since(since.at, changesPerAnswerMax) : undefined;
      const at = changes ? since.at + changes.length : ring.next;
      return { cursor: { epoch, at }, changes, hasMore: at < ring.next };
    },
    wait: async (since, { monotonicMs, signal }) => {
      if (stopped || signal.aborted || since.epoch !== epoch || since.at !== ring.next) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = clock.every(Math.max(1, monotonicMs - clock.monotonicMs()), resolve);
      const onAbort = (): void => resolve();
      waiting.add(resolve);
      signal.addEventListener("abort", onAbort);
      try {
        await promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
        waiting.delete(resolve);
        timer[Symbol.dispose]();
      }
    },
    nudge: wakeAll,
    stop: () => {
      stopped = true;
      end();
      wakeAll();
    },
  };
}
