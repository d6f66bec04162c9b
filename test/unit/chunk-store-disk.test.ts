import { Database } from "bun:sqlite";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunkIdToBytes } from "../../protocol/ids.ts";
import { chunkStoreSuite } from "../conformance/chunk-store.ts";
import { openDiskStore } from "../support/disk-store.ts";

chunkStoreSuite({
  name: "disk",
  create: async ({ capacityBytes }) => {
    const dir = await mkdtemp(join(tmpdir(), "chunks-"));
    const store = await openDiskStore(dir, { capacityBytes });
    return {
      store,
      damage(id) {
        const place = store.locate(id);
        if (place) return flipBit(place.path);
        using index = new Database(join(dir, "chunks.db"));
        index.run("UPDATE inline_data SET data = zeroblob(length(data)) WHERE inline = (SELECT inline FROM chunk WHERE id = ?)", [
          chunkIdToBytes(id),
        ]);
      },
      async [Symbol.asyncDispose]() {
        await store.close();
        await rm(dir, { recursive: true, force: true });
      },
    };
  },
});

function flipBit(path: string): void {
  const bytes = readFileSync(path);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}
