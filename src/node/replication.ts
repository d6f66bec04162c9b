/**
 * Chunks that this node fetches from another one because its coordinator says so. Where from stands in the request: only
 * who holds a `replicate` ticket for this node can point it anywhere, and there it speaks to nobody but the node that the
 * request names, by that node's certificate.
 *
 * Invariants: what is told as stored was hashed here and is durable; what is on its way counts among what the node
 * receives, at most `fetchesMax` chunks of it, so that copying never keeps those who write waiting for long.
 */
import type { ReplicationFailure } from "../../protocol/data.ts";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId } from "../../protocol/ids.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import type { ChunkStore } from "../chunk/store.ts";
import type { BufferPool } from "../core/buffers.ts";
import type { Clock } from "../core/clock.ts";
import { createLimiter, type Limiter } from "../core/limiter.ts";
import { watchStall } from "../core/stall-watch.ts";
import type { DataClient } from "../net/data-client.ts";

export interface ReplicationRequest {
  readonly store: Pick<ChunkStore, "put" | "verify">;
  readonly source: TicketedNode;
  readonly chunks: readonly { readonly id: ChunkId; readonly storedBytes: number }[];
  readonly signal: AbortSignal;
}

export interface ReplicationOutcome {
  readonly stored: readonly ChunkId[];
  readonly failed: readonly ReplicationFailure[];
}

export interface Replication {
  /** Throws only when it is cancelled; whatever else goes wrong is told for each chunk. */
  fetch(request: ReplicationRequest): Promise<ReplicationOutcome>;
}

export interface ReplicationOptions {
  readonly sources: Pick<DataClient, "get">;
  /** In bytes, of all that the node receives. */
  readonly receiving: Limiter;
  readonly buffers: BufferPool;
  readonly clock: Clock;
}

const fetchesMax = 3;
/** A source that is silent for so long gives way to those who write. A sleeping disk wakes up in that time. */
const silenceMsMax = 5_000;

export function createReplication({ sources, receiving, buffers, clock }: ReplicationOptions): Replication {
  const fetching = createLimiter(fetchesMax);
  const fetchOne = async (id: ChunkId, storedBytes: number, { store, source, signal }: ReplicationRequest): Promise<void> => {
    await buffers.lend(async (buffer) => {
      const into = buffer.subarray(0, storedBytes);
      const bytes = await fetchInto(into, { id, source, signal });
      // The store hashes what it is given.
      await store.put(id, into.subarray(0, bytes), { signal });
    });
  };
  const fetchInto = async (into: Uint8Array, { id, source, signal }: { id: ChunkId } & Pick<ReplicationRequest, "source" | "signal">) => {
    using stall = watchStall(clock, { stallMs: silenceMsMax, signal });
    try {
      return await sources.get(source, id, into, { signal: stall.signal, onBytes: stall.moved });
    } catch (thrown) {
      throw stall.reasonFor(thrown);
    }
  };
  return {
    fetch: async (request) => {
      const { store, chunks, signal } = request;
      // What is here already is believed only after it was read again: the request may be about a copy that is damaged.
      const states = await store.verify(
        chunks.map(({ id }) => id),
        { signal },
      );
      const stored = chunks.filter((_, index) => states[index] === "ok").map(({ id }) => id);
      const failed: ReplicationFailure[] = [];
      let givenUp: CollectiveError | undefined;
      const attempt = async (id: ChunkId, storedBytes: number): Promise<void> => {
        try {
          if (givenUp) throw givenUp;
          await receiving.run(() => fetchOne(id, storedBytes, request), { permits: storedBytes, signal });
          stored.push(id);
        } catch (thrown) {
          const error = toCollectiveError(thrown);
          if (!isOfOneCopy(error)) givenUp ??= error;
          failed.push({ id, code: error.code, message: error.message });
        }
      };
      const lacking = chunks.filter((_, index) => states[index] !== "ok");
      await Promise.allSettled(lacking.map(({ id, storedBytes }) => fetching.run(() => attempt(id, storedBytes), { signal })));
      if (signal.aborted) throw new CollectiveError("cancelled", "cancelled");
      return { stored, failed };
    },
  };
}

/** Says nothing about the other chunks: the source has not this one, or not whole. */
function isOfOneCopy({ code }: CollectiveError): boolean {
  return code === "not_found" || code === "corrupt";
}
