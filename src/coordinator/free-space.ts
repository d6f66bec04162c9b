/**
 * Free space of nodes as placement should see it: what was told of it last, less what was offered since.
 * A client fills a good part of a small node between two heartbeats, and copies would be shared out by old figures.
 *
 * Invariant: an offer alone never makes a node look full, because it may come to nothing.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import { storedChunkBytesMax } from "../../protocol/limits.ts";

/** `lastSeenMs`: when its figures were told. */
interface Reported {
  readonly name: GlobalName;
  readonly freeBytes: number;
  readonly lastSeenMs: number;
}

export interface FreeSpace<N extends Reported> {
  list(): N[];
  /** So many bytes are to go to each of these nodes. */
  noteOffer(nodes: readonly GlobalName[], storedBytes: number): void;
}

export function createFreeSpace<N extends Reported>(nodes: {
  list(): readonly N[];
  get(name: GlobalName): Reported | undefined;
}): FreeSpace<N> {
  /** The heartbeat that the offers came after: the next one counts what has been written. */
  const offers = new Map<GlobalName, { readonly heartbeatMs: number; readonly bytes: number }>();
  const offeredBytes = (node: Reported): number => {
    const offer = offers.get(node.name);
    return offer?.heartbeatMs === node.lastSeenMs ? offer.bytes : 0;
  };
  return {
    list: () =>
      nodes.list().map((node) => {
        const leftBytes = Math.max(node.freeBytes - offeredBytes(node), storedChunkBytesMax);
        return { ...node, freeBytes: Math.min(node.freeBytes, leftBytes) };
      }),
    noteOffer: (names, storedBytes) => {
      for (const name of names) {
        const node = nodes.get(name);
        if (node) offers.set(name, { heartbeatMs: node.lastSeenMs, bytes: offeredBytes(node) + storedBytes });
      }
    },
  };
}
