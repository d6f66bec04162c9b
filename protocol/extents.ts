/**
 * Extents of a file as sorted, disjoint pieces, and what a change makes of them. Pure: the coordinator changes a file's content by it, and a
 * client computes what its change has made of the content that it knows.
 */
export interface Span {
  readonly start: number;
  /** The first byte after it. */
  readonly end: number;
}

/** These bytes of a file are those of some chunk from `chunkOffset` on. */
export interface ChunkPart {
  readonly offset: number;
  readonly plainBytes: number;
  readonly chunkOffset: number;
}

/** What is left of an extent before and after a span, the rest of it being replaced. */
export function outside<T extends ChunkPart>(
  extent: T,
  { start, end }: Span,
): { readonly before: T | undefined; readonly after: T | undefined } {
  const { offset, plainBytes, chunkOffset } = extent;
  const extentEnd = offset + plainBytes;
  const beforeBytes = Math.min(start, extentEnd) - offset;
  const skippedBytes = Math.max(end, offset) - offset;
  return {
    before: beforeBytes > 0 ? { ...extent, plainBytes: beforeBytes } : undefined,
    after:
      skippedBytes < plainBytes
        ? { ...extent, offset: offset + skippedBytes, plainBytes: plainBytes - skippedBytes, chunkOffset: chunkOffset + skippedBytes }
        : undefined,
  };
}

/** The part of an extent that lies in the span. */
export function inside<T extends ChunkPart>(extent: T, { start, end }: Span): T | undefined {
  const from = Math.max(start, extent.offset);
  const to = Math.min(end, extent.offset + extent.plainBytes);
  return to > from ? { ...extent, offset: from, plainBytes: to - from, chunkOffset: extent.chunkOffset + from - extent.offset } : undefined;
}
