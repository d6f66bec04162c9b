/**
 * One chunk store for each member whose chunks a node keeps: its own, and one for each guest.
 *
 * Invariant: stores share nothing but the capacity. Whatever is done in the name of one member, its own
 * chunks are all it can read, check, replace or delete, be it by the very id of another member's chunk.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Site } from "../../protocol/ids.ts";
import { guestsPerNodeMax } from "../../protocol/limits.ts";
import type { Guest } from "../../protocol/schema.ts";
import { storeClosed } from "./checks.ts";
import { createMemoryChunkStore } from "./memory.ts";
import type { ChunkStore, ChunkUsage } from "./store.ts";

export interface ChunkStores {
  /** To read, check or delete: an empty one for a member of whom nothing is here. Throws `unavailable` when what is here could not be opened. */
  find(owner: Site): ChunkStore;
  /** To put into; made when it is the first. Throws `no_space` beyond `guestsPerNodeMax`, `unavailable` as `find`. */
  open(owner: Site): Promise<ChunkStore>;
  /** Of all together. Cheap. */
  usage(): ChunkUsage;
  /** Those of whom something is here, by name. */
  guests(): Guest[];
  /** Of whom there are chunks that could not be opened. */
  unusable(): readonly Site[];
  /** Idempotent; waits for what is under way. Afterwards everything throws `unavailable`. */
  close(): Promise<void>;
}

export interface ChunkStoresOptions {
  /** Whose node it is. */
  readonly site: Site;
  readonly own: ChunkStore;
  /** Those that were found, open. */
  readonly guests: ReadonlyMap<Site, ChunkStore>;
  readonly unusable: readonly Site[];
  /** Makes one, or opens one that was left empty. Durable on return. */
  readonly openGuest: (site: Site) => Promise<ChunkStore>;
}

export function createChunkStores({ site, own, guests: found, unusable, openGuest }: ChunkStoresOptions): ChunkStores {
  const guests = new Map(found);
  const opening = new Map<Site, Promise<ChunkStore>>();
  const nothing = createMemoryChunkStore({ capacityBytes: 0 });
  let closing: Promise<void> | undefined;

  function opened(owner: Site): ChunkStore | undefined {
    if (owner === site) return own;
    if (unusable.includes(owner))
      throw new CollectiveError("unavailable", `the chunks of ${owner} on this node cannot be opened`, {
        hint: "the node's log of its start says why",
      });
    return guests.get(owner);
  }

  async function openNew(owner: Site): Promise<ChunkStore> {
    const store = await openGuest(owner);
    if (closing) {
      await store.close();
      throw storeClosed();
    }
    guests.set(owner, store);
    return store;
  }

  async function closeAll(): Promise<void> {
    await Promise.allSettled(opening.values());
    const closed = await Promise.allSettled([...guests.values()].map((store) => store.close()));
    // Last, because its lock stands for the whole folder.
    await own.close();
    for (const result of closed) if (result.status === "rejected") throw result.reason;
  }

  return {
    find(owner) {
      if (closing) throw storeClosed();
      return opened(owner) ?? nothing;
    },
    async open(owner) {
      if (closing) throw storeClosed();
      const known = opened(owner) ?? opening.get(owner);
      if (known) return known;
      if (guests.size + opening.size + unusable.length >= guestsPerNodeMax)
        throw new CollectiveError(
          "no_space",
          `the node keeps chunks of ${guestsPerNodeMax} other members already, and takes none of ${owner}`,
        );
      const made = openNew(owner)
        .catch((error: unknown) => Promise.reject(toCollectiveError(error)))
        .finally(() => opening.delete(owner));
      opening.set(owner, made);
      return made;
    },
    usage() {
      const sum = { ...own.usage() };
      for (const store of guests.values()) {
        const { usedBytes, chunkCount, quarantinedCount } = store.usage();
        sum.usedBytes += usedBytes;
        sum.chunkCount += chunkCount;
        sum.quarantinedCount += quarantinedCount;
      }
      return sum;
    },
    guests: () =>
      [...guests]
        .map(([guest, store]) => ({ site: guest, ...amountOf(store.usage()) }))
        .filter(({ usedBytes }) => usedBytes > 0)
        .sort((a, b) => (a.site < b.site ? -1 : 1)),
    unusable: () => unusable,
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}

function amountOf({ usedBytes, chunkCount }: ChunkUsage): Pick<Guest, "usedBytes" | "chunkCount"> {
  return { usedBytes, chunkCount };
}
