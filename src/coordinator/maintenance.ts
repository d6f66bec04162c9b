/**
 * What a coordinator does by itself: void the tickets of grants that have ended, free what removed trees hold,
 * delete chunks nobody needs, give popular ones more copies for a while, and write down what heartbeats said. Each pass is bounded; a pass that fails is tried again.
 */
import { type ErrorCode, toCollectiveError } from "../../protocol/errors.ts";
import { chunksPerTicketMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import type { Log } from "../core/log.ts";
import type { Garbage } from "../meta/store.ts";
import { createPopularCopies } from "./popular-copies.ts";
import type { CoordinatorService } from "./service.ts";
import { createSurplusCopies } from "./surplus-copies.ts";

export interface Maintenance {
  stop(): Promise<void>;
}

const passIntervalMs = 2_000;
const copyIntervalMs = 5_000;
const collectedCopiesMax = 2_000;
const reclaimStepsMax = 50;
const persistIntervalMs = 10_000;

/** Why each of these fails, since it began to: told then, and not with every pass. */
interface Troubles {
  failed(what: string, thrown: unknown): void;
  succeeded(what: string): void;
}

function createTroubles(log: Log): Troubles {
  const known = new Map<string, ErrorCode>();
  return {
    failed: (what, thrown) => {
      const { code, message } = toCollectiveError(thrown);
      if (known.get(what) !== code) log.warn("maintenance failed, trying on", { what, code, error: message });
      known.set(what, code);
    },
    succeeded: (what) => {
      if (known.delete(what)) log.info("maintenance goes on", { what });
    },
  };
}

export function startMaintenance(service: CoordinatorService): Maintenance {
  const stopping = new AbortController();
  const { signal } = stopping;
  const troubles = createTroubles(service.log);
  const repeat = async (what: string, intervalMs: number, pass: () => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      try {
        await pass();
        troubles.succeeded(what);
      } catch (error) {
        if (!signal.aborted) troubles.failed(what, error);
      }
      await service.clock.sleep(intervalMs, signal).catch(() => undefined);
    }
  };
  let persistedMs = service.clock.monotonicMs();
  // Also what ended while this coordinator did not run, as long as a ticket of it may still be about.
  let endedMs = service.clock.wallMs() - ticketLifetimeMs;
  const bookkeeping = async (): Promise<void> => {
    const nowMs = service.clock.wallMs();
    await service.metadata.withdrawEnded(endedMs);
    endedMs = nowMs;
    await collect(service, troubles, signal);
    if (service.clock.monotonicMs() - persistedMs >= persistIntervalMs) {
      await service.directory.persist();
      persistedMs = service.clock.monotonicMs();
    }
  };
  const popular = createPopularCopies(service);
  const surplus = createSurplusCopies(service);
  const copying = async (): Promise<void> => {
    await popular.add(signal);
    await surplus.release(signal);
  };
  // Apart, because bytes take their time and tickets of rights that have ended must not wait for them.
  const running = [repeat("bookkeeping", passIntervalMs, bookkeeping), repeat("copies of popular chunks", copyIntervalMs, copying)];
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

async function collect(service: CoordinatorService, troubles: Troubles, signal: AbortSignal): Promise<void> {
  for (let step = 0; step < reclaimStepsMax && (await service.metadata.reclaim()); step++);
  const garbage = await service.metadata.collectGarbage(collectedCopiesMax);
  // Side by side, and each for itself: a node that cannot be reached must not keep the others from deleting.
  await Promise.all(garbage.map((one) => collectFrom(service, one, { troubles, signal })));
}

async function collectFrom(
  service: CoordinatorService,
  { node, chunks }: Garbage,
  { troubles, signal }: { readonly troubles: Troubles; readonly signal: AbortSignal },
): Promise<void> {
  if (service.allNodes.get(node)?.state !== "alive") return;
  const what = `deleting garbage on ${node}`;
  try {
    for (let at = 0; at < chunks.length; at += chunksPerTicketMax) {
      await deleteCopies(service, { node, chunks: chunks.slice(at, at + chunksPerTicketMax) }, signal);
    }
    troubles.succeeded(what);
  } catch (error) {
    if (!signal.aborted) troubles.failed(what, error);
  }
}

async function deleteCopies(service: CoordinatorService, garbage: Garbage, signal: AbortSignal): Promise<void> {
  const { nodes } = service.tickets.issue({
    holder: service.member,
    operation: "delete",
    chunks: garbage.chunks.map((id) => ({ id, nodes: [garbage.node] })),
  });
  const target = nodes[0];
  if (!target) return;
  const { deletedBytes } = await service.nodes.delete(target, garbage.chunks, { signal });
  await service.metadata.forgetCopies(garbage);
  service.log.debug("garbage deleted", { node: garbage.node, chunks: garbage.chunks.length, bytes: deletedBytes });
}
