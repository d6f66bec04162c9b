/**
 * Reads ranges of files: locates chunks in windows, fetches several at once, hands out plaintext in
 * order. Memory is bounded by the chunks on their way.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { inside } from "../../protocol/extents.ts";
import { ticketLifetimeMs } from "../../protocol/limits.ts";
import { zeroPieces } from "../core/buffers.ts";
import { type LocatedChunk, locate, type ReadRange, readFailure } from "./locate.ts";
import { createOpenedChunks, type OpenedChunk } from "./opened-chunks.ts";
import type { Remote } from "./remote.ts";

/** Zeros that need not be moved. */
export interface Hole {
  readonly holeBytes: number;
}

/** Chunks on their way at once: as many as hide the round trips, few enough to stay small in memory. */
const chunksInFlightMax = 3;
/** Whoever reads slowly, like a film that is watched, gets new tickets before the old ones expire. */
const ticketsUsedMs = ticketLifetimeMs / 2;

/**
 * Yields the range's bytes in order; each piece is a view that holds until the next is asked for. A
 * file that is replaced while it is read gives `conflict`, never a mixture.
 */
export async function* readRange(remote: Remote, range: ReadRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const part of readParts(remote, range, signal)) {
    if (part instanceof Uint8Array) yield part;
    else yield* zeroPieces(part.holeBytes);
  }
}

/** The same, with holes as what they are. */
export async function* readParts(remote: Remote, range: ReadRange, signal?: AbortSignal): AsyncGenerator<Uint8Array | Hole> {
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const chunks = createOpenedChunks(remote, either);
  const window: { readonly part: LocatedPart; readonly opened: OpenedChunk | undefined }[] = [];
  const deliver = async function* (): AsyncGenerator<Uint8Array | Hole> {
    const next = window.shift();
    if (!next) return;
    const { part, opened } = next;
    if (!opened || !part.chunk) {
      yield { holeBytes: part.plainBytes };
      return;
    }
    const plain = await opened.plain().catch(async (thrown: unknown) => {
      throw await readFailure(remote, [{ inode: range.inode, version: part.version }], thrown);
    });
    yield plain.subarray(part.chunk.chunkOffset, part.chunk.chunkOffset + part.plainBytes);
    opened.release();
  };
  try {
    const parts = locatedParts(remote, range, either);
    for (;;) {
      // Only afterwards the next one is asked for: the reader may have taken its time, and tickets age.
      if (window.length >= chunksInFlightMax) yield* deliver();
      const next = await parts.next();
      if (next.done === true) break;
      const { chunk, version } = next.value;
      window.push({ part: next.value, opened: chunk && chunks.open(chunk, { inode: range.inode, version }) });
    }
    while (window.length > 0) yield* deliver();
  } finally {
    stop.abort();
  }
}

/** "To the end of the file" may be said with any number. */
function endOf(range: ReadRange): number {
  return Math.min(range.offset + range.lengthBytes, Number.MAX_SAFE_INTEGER);
}

/** The next bytes of the range: of a chunk, or a hole. */
interface LocatedPart {
  readonly plainBytes: number;
  readonly chunk: LocatedChunk | undefined;
  readonly version: number;
}

/** All of the range, asked for window by window and always of one version. */
async function* locatedParts(remote: Remote, range: ReadRange, signal: AbortSignal): AsyncGenerator<LocatedPart, void> {
  const end = endOf(range);
  let offset = range.offset;
  let ifVersion = range.ifVersion;
  while (offset < end) {
    const [file] = await locate(remote, [{ inode: range.inode, offset, lengthBytes: end - offset, ifVersion }], signal).catch(
      (thrown: unknown) => {
        const error = toCollectiveError(thrown);
        if (error.code !== "not_found" || ifVersion === undefined) throw error;
        throw new CollectiveError("conflict", "the file was removed while it was being read", { cause: error });
      },
    );
    if (!file || offset >= file.sizeBytes) return;
    ifVersion = file.version;
    const { version } = file;
    const locatedMs = remote.clock.monotonicMs();
    const before = offset;
    for (const located of file.chunks) {
      if (remote.clock.monotonicMs() - locatedMs > ticketsUsedMs) break;
      if (located.offset > offset) yield { plainBytes: located.offset - offset, chunk: undefined, version };
      offset = Math.max(offset, located.offset);
      const chunk = inside(located, { start: offset, end });
      if (!chunk) continue;
      yield { plainBytes: chunk.plainBytes, chunk, version };
      offset += chunk.plainBytes;
    }
    const last = file.chunks.at(-1);
    const isComplete = !last || offset >= Math.min(end, last.offset + last.plainBytes);
    const holeEnd = Math.min(end, file.endOffset);
    if (isComplete && holeEnd > offset) {
      yield { plainBytes: holeEnd - offset, chunk: undefined, version };
      offset = holeEnd;
    }
    if (offset >= file.sizeBytes) return;
    if (offset === before) throw new CollectiveError("conflict", "the file was removed while it was being read");
  }
}
