/**
 * Buffers that are used again. Large arrays that come and go cost page faults and make the garbage
 * collector keep several times what is in use; a few that stay do not. The pool does not bound how
 * many are out at once (a `Limiter` does), only how many it keeps.
 */
export interface BufferPool {
  take(): Uint8Array<ArrayBuffer>;
  /** The caller no longer touches it. */
  give(buffer: Uint8Array<ArrayBuffer>): void;
  /** Lends a buffer for the time of `use`. */
  lend<T>(use: (buffer: Uint8Array<ArrayBuffer>) => Promise<T>): Promise<T>;
}

export function createBufferPool(options: { readonly bufferBytes: number; readonly keepMax: number }): BufferPool {
  const free: Uint8Array<ArrayBuffer>[] = [];
  const pool: BufferPool = {
    take: () => free.pop() ?? new Uint8Array(options.bufferBytes),
    give: (buffer) => {
      if (free.length < options.keepMax) free.push(buffer);
    },
    lend: async (use) => {
      const buffer = pool.take();
      try {
        return await use(buffer);
      } finally {
        pool.give(buffer);
      }
    },
  };
  return pool;
}

/**
 * Gives memory that an interface has allocated for us, like a piece of a stream, back at once instead of at
 * the next garbage collection: the next piece then gets the same memory, which is still in the processor's
 * cache and needs no page fault. Views of it are empty afterwards. A view of a part of
 * something larger may have other owners, and is left to the collector.
 */
export function releaseMemory({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

const zeros = new Uint8Array(64 * 1024);

/** So many zeros, as views of a few. */
export function* zeroPieces(bytes: number): Generator<Uint8Array> {
  for (let left = bytes; left > 0; left -= zeros.length) yield left < zeros.length ? zeros.subarray(0, left) : zeros;
}

/** Nearly free for anything else: content hardly ever begins with many zeros. */
export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (Buffer.compare(part, part.length === zeros.length ? zeros : zeros.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}
