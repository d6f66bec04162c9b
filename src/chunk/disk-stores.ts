/**
 * All chunks that a node keeps, on one disk: its own member's in the folder itself, each guest's below
 * `guests/<site>` in a folder of the same form, with an index, locks and a quarantine of its own.
 *
 * What is wrong with a guest's folder is that guest's trouble alone: the node starts, serves all others,
 * and says to whoever asks for that one's chunks that they cannot be opened, never that they are gone.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { parseSite, type Site } from "../../protocol/ids.ts";
import { guestsPerNodeMax } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { createDiskCapacity } from "./capacity.ts";
import { codeOf, createDirectories } from "./directories.ts";
import { createDiskChunkStore } from "./disk.ts";
import type { ChunkStore } from "./store.ts";
import { type ChunkStores, createChunkStores } from "./stores.ts";

export interface DiskChunkStoresOptions {
  /** Exists. */
  readonly dir: string;
  /** Whose node it is. */
  readonly site: Site;
  /** Of all stores together. */
  readonly capacityBytes: number;
  readonly log: Log;
  readonly clock: Pick<Clock, "monotonicMs" | "wallMs">;
}

/** Throws as `createDiskChunkStore` does for the node's own chunks, and `configuration` for more guests than a node may have. */
export async function openDiskChunkStores({ dir, site, capacityBytes, log, clock }: DiskChunkStoresOptions): Promise<ChunkStores> {
  const capacity = createDiskCapacity({ dir, capacityBytes, clock });
  const directories = createDirectories(dir);
  const guestsPath = join(dir, "guests");
  const own = await createDiskChunkStore({ dir, capacity, log, clock });
  const openGuest = async (guest: Site): Promise<ChunkStore> => {
    const path = join(guestsPath, guest);
    await directories.ensure(path);
    return await createDiskChunkStore({ dir: path, capacity, log: log.tagged(guest), clock });
  };

  const guests = new Map<Site, ChunkStore>();
  const unusable: Site[] = [];
  try {
    const found = (await sitesIn(guestsPath)).filter((guest) => guest !== site);
    if (found.length > 0) await directories.sync(guestsPath);
    for (const guest of found) {
      try {
        const store = await openGuest(guest);
        // Of a guest who has taken everything away the folder is left, and takes nobody's place.
        if (store.usage().usedBytes === 0) await store.close();
        else guests.set(guest, store);
      } catch (error) {
        const { code, message } = toCollectiveError(error);
        log.error("chunks of another member cannot be opened", { site: guest, code, reason: message });
        unusable.push(guest);
      }
    }
    if (guests.size + unusable.length > guestsPerNodeMax)
      throw new CollectiveError("configuration", `${guestsPath} holds chunks of more than ${guestsPerNodeMax} members`);
    return createChunkStores({ site, own, guests, unusable, openGuest });
  } catch (error) {
    await Promise.allSettled([...guests.values()].map((store) => store.close()));
    await own.close();
    throw error;
  }
}

/** Other names are none of our business and stay. */
async function sitesIn(guestsPath: string): Promise<Site[]> {
  const names = await readdir(guestsPath).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return [];
    throw toCollectiveError(error);
  });
  return names.sort().flatMap((name) => {
    try {
      return [parseSite(name)];
    } catch {
      return [];
    }
  });
}
