/**
 * How much each peer may ask of us. A peer that floods, or that sends what does not verify, is refused
 * for a while; the others do not notice. There is one entry for each trusted member that ever called.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import { type Bucket, type BucketRate, emptyBucket, fullBucket, takeFrom } from "./bucket.ts";

/** Catching up takes some hundred requests at once; otherwise an honest peer sends a few a second. */
const requestRate: BucketRate = { burst: 400, refillMs: 10 };
/** In bytes: 1 MB a second. */
const byteRate: BucketRate = { burst: 8 * 1024 * 1024, refillMs: 0.001 };
/** A forged statement is worth this many requests. */
const forgedCost = 40;

export interface Gate {
  /** Throws `rate_limited` when the peer has used up what it may ask. */
  admit(peer: GlobalName, sizeBytes: number): void;
  /** Takes for each forged statement what many requests take. */
  punish(peer: GlobalName, forged: number): void;
  forget(peer: GlobalName): void;
}

interface Allowance {
  readonly requests: Bucket;
  readonly bytes: Bucket;
}

export function createGate(clock: Pick<Clock, "monotonicMs">): Gate {
  const allowances = new Map<GlobalName, Allowance>();
  const allowanceOf = (peer: GlobalName): Allowance => allowances.get(peer) ?? { requests: fullBucket, bytes: fullBucket };
  return {
    admit: (peer, sizeBytes) => {
      const nowMs = clock.monotonicMs();
      const before = allowanceOf(peer);
      const requests = takeFrom(before.requests, requestRate, nowMs);
      const bytes = takeFrom(before.bytes, byteRate, nowMs, sizeBytes);
      if (!requests || !bytes) throw new CollectiveError("rate_limited", `${peer} sends more gossip than a member needs to`);
      allowances.set(peer, { requests, bytes });
    },
    punish: (peer, forged) => {
      if (forged === 0) return;
      const nowMs = clock.monotonicMs();
      const before = allowanceOf(peer);
      const requests = takeFrom(before.requests, requestRate, nowMs, forged * forgedCost) ?? emptyBucket(requestRate, nowMs);
      allowances.set(peer, { ...before, requests });
    },
    forget: (peer) => void allowances.delete(peer),
  };
}
