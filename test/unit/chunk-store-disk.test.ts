import { Database } from "bun:sqlite";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChunkId, chunkIdToBytes } from "../../protocol/ids.ts";
import { openDiskChunkStores } from "../../src/chunk/disk-stores.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { chunkStoreSuite } from "../conformance/chunk-store.ts";
import { openDiskStore } from "../support/disk-store.ts";
import { garage, home } from "../support/pki.ts";

const chunksDir = () => mkdtemp(join(tmpdir(), "chunks-"));

chunkStoreSuite({
  name: "disk",
  create: async ({ capacityBytes }) => {
    const dir = await chunksDir();
    const store = await openDiskStore(dir, { capacityBytes });
    return {
      store,
      damage: (id) => damage(store, dir, id),
      async [Symbol.asyncDispose]() {
        await store.close();
        await rm(dir, { recursive: true, force: true });
      },
    };
  },
});

chunkStoreSuite({
  name: "disk, of a guest",
  create: async ({ capacityBytes }) => {
    const dir = await chunksDir();
    const stores = await openDiskChunkStores({ dir, site: home, capacityBytes, log: silentLog, clock: systemClock });
    const store = await stores.open(garage);
    return {
      store,
      damage: (id) => damage(store, join(dir, "guests", garage), id),
      async [Symbol.asyncDispose]() {
        await stores.close();
        await rm(dir, { recursive: true, force: true });
      },
    };
  },
});

/** Changes one bit of a chunk in a file, all bytes of one in the index. */
function damage(store: ChunkStore, dir: string, id: ChunkId): void {
  const place = store.locate(id);
  if (place) {
    const bytes = readFileSync(place.path);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    writeFileSync(place.path, bytes);
  } else {
    using index = new Database(join(dir, "chunks.db"));
    index.run("UPDATE inline_data SET data = zeroblob(length(data)) WHERE inline = (SELECT inline FROM chunk WHERE id = ?)", [
      chunkIdToBytes(id),
    ]);
  }
}
