/**
 * Opened chunks in memory, for all files of a mount together: those used last stay, and one that many ask for is fetched once.
 * What is being fetched counts, too, so the bound is one of memory.
 */
import { createOldGarbageWatch } from "../core/garbage.ts";
import { createLimiter } from "../core/limiter.ts";

export interface ChunkCache {
  /** At once where it is there. */
  peek(key: string): Uint8Array | undefined;
  get(key: string, plainBytes: number, load: () => Promise<Uint8Array>): Promise<Uint8Array>;
  /** Nobody waits for more than is being fetched: reading ahead takes nothing from anybody. */
  readonly isIdle: boolean;
}

export function createChunkCache(bytesMax: number): ChunkCache {
  // A chunk on its way takes three times its size: as it comes, sealed and opened.
  const loadingBytesMax = bytesMax / 4;
  const openedBytesMax = bytesMax - loadingBytesMax;
  /** In the order of their last use. */
  const opened = new Map<string, Uint8Array>();
  const loading = new Map<string, Promise<Uint8Array>>();
  const loads = createLimiter(loadingBytesMax);
  const garbage = createOldGarbageWatch();
  let openedBytes = 0;
  const keep = (key: string, plain: Uint8Array): void => {
    opened.set(key, plain);
    openedBytes += plain.length;
    for (const [oldest, { length }] of opened) {
      if (openedBytes <= openedBytesMax) break;
      opened.delete(oldest);
      openedBytes -= length;
      garbage.dropped(length);
    }
  };
  const peek = (key: string): Uint8Array | undefined => {
    const plain = opened.get(key);
    if (!plain) return undefined;
    opened.delete(key);
    opened.set(key, plain);
    return plain;
  };
  return {
    peek,
    get: (key, plainBytes, load) => {
      const plain = peek(key);
      if (plain) return Promise.resolve(plain);
      const known = loading.get(key);
      if (known) return known;
      const loaded = loads
        .run(load, { permits: plainBytes })
        .then((fetched) => {
          keep(key, fetched);
          return fetched;
        })
        .finally(() => loading.delete(key));
      loading.set(key, loaded);
      return loaded;
    },
    get isIdle() {
      return loads.inUse <= loadingBytesMax / 2;
    },
  };
}
