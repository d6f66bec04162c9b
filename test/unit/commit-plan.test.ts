import { describe, expect, test } from "bun:test";
import { outside } from "../../protocol/extents.ts";
import { parseInode } from "../../protocol/ids.ts";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { chunkBytesFor } from "../../src/codec/chunker.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { isWorthRewriting, mergedSpans, spansOf, windowAt } from "../../src/vfs/commit-plan.ts";
import { createFragments } from "../../src/vfs/fragments.ts";
import { createRanges, type Range } from "../../src/vfs/ranges.ts";
import type { StoredPart } from "../../src/vfs/stored-content.ts";
import { chunkId } from "../support/metadata.ts";

/** A file that is committed to as a mount does it, with chunks that have nothing but a length. */
class PlannedFile {
  #parts: StoredPart[] = [];
  #fragments = createFragments();
  sizeBytes = 0;
  writtenBytes = 0;
  #chunks = 0;

  partsIn({ start, end }: Range): StoredPart[] {
    return this.#parts.filter((part) => part.offset < end && part.offset + part.plainBytes > start);
  }

  commit(...ranges: Range[]): void {
    const written = createRanges();
    for (const range of ranges) written.add(range);
    const beforeBytes = this.sizeBytes;
    this.sizeBytes = Math.max(beforeBytes, written.end);
    const byWindow = Map.groupBy(spansOf(written, this.sizeBytes), ({ start }) => windowAt(start, this.sizeBytes).start);
    const spans = [...byWindow].flatMap(([start, ofWindow]) => {
      const window = windowAt(start, this.sizeBytes);
      if (!this.#fragments.isDue(window)) return ofWindow;
      this.#fragments.noteLook(window);
      return mergedSpans(this.partsIn(window), ofWindow, window);
    });
    this.#store(spans);
    this.#fragments.note(spans, { beforeBytes, sizeBytes: this.sizeBytes });
  }

  close(): void {
    const { sizeBytes } = this;
    for (const { start, history } of this.#fragments.list()) {
      const window = windowAt(start, sizeBytes);
      if (isWorthRewriting({ window, parts: this.partsIn(window), history, sizeBytes })) this.#store([window]);
    }
    this.#fragments.clear();
  }

  #store(spans: readonly Range[]): void {
    for (const span of spans) {
      this.#parts = this.#parts.flatMap((part) => {
        const { before, after } = outside(part, span);
        return [before, after].filter((left) => left !== undefined);
      });
      const plainBytes = span.end - span.start;
      const id = chunkId(`${this.#chunks++}`);
      const located = { id, storedBytes: plainBytes, store: parseInode(2), nodes: [], chunkBytes: plainBytes };
      const part = { offset: span.start, plainBytes, chunkOffset: 0 };
      this.#parts.push({ ...part, chunk: { ...located, ...part } });
      this.writtenBytes += plainBytes;
    }
    this.#parts.sort((one, other) => one.offset - other.offset);
  }

  /** The most in one window. */
  mostPieces(): number {
    let most = 0;
    for (let at = 0; at < this.sizeBytes; at = windowAt(at, this.sizeBytes).end) {
      most = Math.max(most, this.partsIn(windowAt(at, this.sizeBytes)).length);
    }
    return most;
  }

  /** As `put` would have cut it. */
  isByTheRule(): boolean {
    const windowBytes = chunkBytesFor(this.sizeBytes);
    const lengths = this.#parts.map(({ plainBytes, chunk }) => plainBytes === chunk?.chunkBytes && plainBytes);
    return lengths.every((length, index) => length === Math.min(windowBytes, this.sizeBytes - index * windowBytes));
  }
}

describe("a commit", () => {
  test("of a few bytes in a large file costs these bytes", () => {
    const file = new PlannedFile();
    file.commit({ start: 0, end: 100 * mebibyte });
    expect(file.isByTheRule()).toBe(true);
    file.close();
    file.writtenBytes = 0;
    file.commit({ start: 50 * mebibyte + 5, end: 50 * mebibyte + 15 });
    file.close();
    expect(file.writtenBytes).toBe(10);
  });

  test.each([100, 4 * kibibyte, 4_120, 300 * kibibyte])("of every %d bytes that are appended stays cheap", (bytes) => {
    const file = new PlannedFile();
    file.commit({ start: 0, end: 20 * mebibyte });
    file.close();
    file.writtenBytes = 0;
    const commits = 4_000;
    for (let at = 0; at < commits && file.sizeBytes < 100 * mebibyte; at++)
      file.commit({ start: file.sizeBytes, end: file.sizeBytes + bytes });
    expect(file.mostPieces()).toBeLessThanOrEqual(48);
    const appendedBytes = file.sizeBytes - 20 * mebibyte;
    expect(file.writtenBytes / appendedBytes).toBeLessThan(9);
    file.close();
    expect(file.writtenBytes / appendedBytes).toBeLessThan(14);
  });

  test("of what is written in order leaves it as if it had come at once", () => {
    for (const [bytes, end] of [
      [4 * kibibyte, 13 * mebibyte],
      [4 * kibibyte, 1_300 * kibibyte],
      [100_000, 13 * mebibyte],
      [3_000, 60_000],
      [3 * mebibyte, 30 * mebibyte],
    ] as const) {
      const file = new PlannedFile();
      while (file.sizeBytes < end) file.commit({ start: file.sizeBytes, end: file.sizeBytes + bytes });
      file.close();
      expect(file.isByTheRule()).toBe(true);
    }
  });

  test("of pages at random places leaves no window in many pieces", () => {
    const random = createSeededRandom(1);
    for (const size of [500 * kibibyte, 5 * mebibyte, 40 * mebibyte]) {
      const file = new PlannedFile();
      file.commit({ start: 0, end: size });
      file.writtenBytes = 0;
      for (let commit = 0; commit < 2_000; commit++) {
        const ranges = Array.from({ length: 1 + random.int(3) }, () => {
          const start = 4_096 * random.int(size / 4_096);
          return { start, end: start + 4_096 };
        });
        file.commit(...ranges);
      }
      // What was there when it was looked at, and two pieces for each of those committed since.
      expect(file.mostPieces()).toBeLessThanOrEqual(32 + 2 * 20);
      expect(file.writtenBytes / 2_000).toBeLessThan(size / 8);
    }
  });
});
