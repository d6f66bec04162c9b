/**
 * What a coordinator does by itself: free what removed trees hold, delete chunks nobody needs, and
 * write down what heartbeats said. Each pass is bounded; a pass that fails is tried again.
 */
import { toCollectiveError } from "../../protocol/errors.ts";
import { chunksPerTicketMax } from "../../protocol/limits.ts";
import type { Garbage } from "../meta/store.ts";
import type { CoordinatorService } from "./service.ts";

export interface Maintenance {
  stop(): Promise<void>;
}

const passIntervalMs = 2_000;
const collectedCopiesMax = 2_000;
const reclaimStepsMax = 50;
const persistIntervalMs = 10_000;

export function startMaintenance(service: CoordinatorService): Maintenance {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    let persistedMs = service.clock.monotonicMs();
    while (!stopping.signal.aborted) {
      try {
        await collect(service, stopping.signal);
        if (service.clock.monotonicMs() - persistedMs >= persistIntervalMs) {
          await service.directory.persist();
          persistedMs = service.clock.monotonicMs();
        }
      } catch (error) {
        service.log.warn("maintenance pass failed", { error: toCollectiveError(error).message });
      }
      await service.clock.sleep(passIntervalMs, stopping.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function collect(service: CoordinatorService, signal: AbortSignal): Promise<void> {
  for (let step = 0; step < reclaimStepsMax && (await service.metadata.reclaim()); step++);
  for (const garbage of await service.metadata.collectGarbage(collectedCopiesMax)) {
    if (service.directory.get(garbage.node)?.state !== "alive") continue;
    for (let at = 0; at < garbage.chunks.length; at += chunksPerTicketMax) {
      await deleteCopies(service, { node: garbage.node, chunks: garbage.chunks.slice(at, at + chunksPerTicketMax) }, signal);
    }
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
