/** The bytes of one file in memory, with holes: blocks that were never written, or were punched out. */

export const blockBytes = 64 * 1024;
const zeroes = new Uint8Array(blockBytes);

export interface MemoryContent {
  sizeBytes(): number;
  storedBytes(): number;
  /** Views into the blocks, up to the end of the file. */
  read(offset: number, lengthBytes: number): Uint8Array[];
  write(offset: number, data: Uint8Array): void;
  resize(sizeBytes: number): void;
  punch(offset: number, lengthBytes: number): void;
  reserve(offset: number, lengthBytes: number): void;
  /** Undefined when there is none until the end. */
  seek(offset: number, wanted: "data" | "hole"): number | undefined;
}

export function createMemoryContent(): MemoryContent {
  const blocks = new Map<number, Uint8Array>();
  let size = 0;

  /** Calls `visit` for the part of each block that lies in the range. */
  const each = (offset: number, end: number, visit: (index: number, from: number, to: number) => void): void => {
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / blockBytes);
      const from = at - index * blockBytes;
      const to = Math.min(blockBytes, from + end - at);
      visit(index, from, to);
      at += to - from;
    }
  };
  const blockAt = (index: number): Uint8Array => {
    const found = blocks.get(index) ?? new Uint8Array(blockBytes);
    blocks.set(index, found);
    return found;
  };
  const punch = (offset: number, end: number): void =>
    each(offset, end, (index, from, to) => {
      if (to - from === blockBytes) blocks.delete(index);
      else blocks.get(index)?.fill(0, from, to);
    });

  return {
    sizeBytes: () => size,
    storedBytes: () => blocks.size * blockBytes,
    read: (offset, lengthBytes) => {
      const pieces: Uint8Array[] = [];
      each(offset, Math.min(size, offset + lengthBytes), (index, from, to) => {
        pieces.push((blocks.get(index) ?? zeroes).subarray(from, to));
      });
      return pieces;
    },
    write: (offset, data) => {
      let taken = 0;
      each(offset, offset + data.length, (index, from, to) => {
        blockAt(index).set(data.subarray(taken, taken + to - from), from);
        taken += to - from;
      });
      size = Math.max(size, offset + data.length);
    },
    resize: (sizeBytes) => {
      if (sizeBytes < size) {
        for (const index of [...blocks.keys()]) if (index * blockBytes >= sizeBytes) blocks.delete(index);
        punch(sizeBytes, Math.min(size, Math.ceil(sizeBytes / blockBytes) * blockBytes));
      }
      size = sizeBytes;
    },
    punch: (offset, lengthBytes) => punch(offset, Math.min(offset + lengthBytes, Math.ceil(size / blockBytes) * blockBytes)),
    reserve: (offset, lengthBytes) => each(offset, offset + lengthBytes, (index) => void blockAt(index)),
    seek: (offset, wanted) => {
      for (let index = Math.floor(offset / blockBytes); index * blockBytes < size; index += 1) {
        if (blocks.has(index) === (wanted === "data")) return Math.max(offset, index * blockBytes);
      }
      return wanted === "hole" ? size : undefined;
    },
  };
}
