import { createMemoryChunkStore } from "../../src/chunk/memory.ts";
import { chunkStoreSuite } from "../conformance/chunk-store.ts";

chunkStoreSuite({
  name: "memory",
  create: async ({ capacityBytes }) => {
    const store = createMemoryChunkStore({ capacityBytes });
    return { store, damage: (id) => store.damage(id), [Symbol.asyncDispose]: () => store.close() };
  },
});
