/** Reads many small files at once: one question to the coordinator and one to each node for up to `chunksPerTicketMax` of them. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { largeChunkBytes, smallChunkBytes, storedChunkBytesMax } from "../../protocol/limits.ts";
import type { Attr } from "../../protocol/schema.ts";
import { openChunk } from "../codec/sealed-chunk.ts";
import { watchStall } from "../core/stall-watch.ts";
import { ticketRefused } from "../net/errors.ts";
import { readRange } from "./download.ts";
import { fetchChunk, inOrder, isWhole, noteBadCopy, stallPatienceMs } from "./fetch-chunk.ts";
import { type LocatedChunk, type LocatedFile, locate, readFailure } from "./locate.ts";
import type { Remote } from "./remote.ts";
import { rightsEnded } from "./rights-ended.ts";

/** Files that `readMany` takes: mostly one small chunk. */
export function isSmallFile(attr: Attr): boolean {
  return attr.type === "file" && attr.sizeBytes <= smallChunkBytes;
}

/** Whole contents in the order of `files`, which must be small and of the version given. */
export async function readMany(remote: Remote, files: readonly Attr[], signal?: AbortSignal): Promise<Uint8Array[]> {
  try {
    return await readLocated(remote, files, { signal, throwsRefusal: true });
  } catch (thrown) {
    const refusal = toCollectiveError(thrown);
    if (!ticketRefused(refusal)) throw refusal;
    // Once more, with new tickets.
    return await readLocated(remote, files, { signal, throwsRefusal: false }).catch((error: unknown) => {
      throw rightsEnded(toCollectiveError(error), refusal);
    });
  }
}

interface ReadOptions {
  readonly signal: AbortSignal | undefined;
  /** A refused ticket ends it, in place of a try at other copies. */
  readonly throwsRefusal: boolean;
}

async function readLocated(remote: Remote, files: readonly Attr[], options: ReadOptions): Promise<Uint8Array[]> {
  const { signal } = options;
  const located = await locate(
    remote,
    files.map((file) => ({ inode: file.inode, offset: 0, lengthBytes: smallChunkBytes, ifVersion: file.version })),
    signal,
  );
  const stored = await fetchAll(
    remote,
    located.filter(isSimple).flatMap((file) => file.chunks),
    options,
  ).catch(async (thrown: unknown) => {
    throw await readFailure(remote, files, thrown);
  });
  const out = new Uint8Array(largeChunkBytes);
  const contents: Uint8Array[] = [];
  for (const [index, file] of located.entries()) {
    const content = new Uint8Array(file.sizeBytes);
    contents.push(content);
    if (!isSimple(file)) {
      await readInto(content, remote, { file: files[index], signal });
      continue;
    }
    const keys = await remote.keysOf(file.store);
    for (const chunk of file.chunks) {
      const bytes = stored.get(chunk);
      if (!bytes) throw new CollectiveError("internal", "a chunk was not fetched");
      const plain = openChunk(bytes, { keys, out });
      if (plain.length !== chunk.chunkBytes)
        throw new CollectiveError("corrupt", `chunk ${chunk.id} has another length than the file says`);
      content.set(plain.subarray(chunk.chunkOffset, chunk.chunkOffset + chunk.plainBytes), chunk.offset);
    }
  }
  return contents;
}

/** As most are: one or few small chunks, and no more bytes of them than a small file has. */
function isSimple({ sizeBytes, endOffset, chunks }: LocatedFile): boolean {
  return endOffset >= sizeBytes && chunks.reduce((sum, { chunkBytes }) => sum + chunkBytes, 0) <= smallChunkBytes;
}

async function readInto(
  content: Uint8Array,
  remote: Remote,
  { file, signal }: { readonly file: Attr | undefined; readonly signal: AbortSignal | undefined },
): Promise<void> {
  if (!file) throw new CollectiveError("internal", "more files were located than asked for");
  const { inode, version: ifVersion } = file;
  let at = 0;
  for await (const piece of readRange(remote, { inode, offset: 0, lengthBytes: content.length, ifVersion }, signal)) {
    content.set(piece, at);
    at += piece.length;
  }
  if (at !== content.length) throw new CollectiveError("internal", "a file came back without all of its content");
}

/** By batches from the first copy of each; what does not come that way is fetched alone, from any copy. */
async function fetchAll(
  remote: Remote,
  chunks: readonly LocatedChunk[],
  { signal, throwsRefusal }: ReadOptions,
): Promise<Map<LocatedChunk, Uint8Array>> {
  const found = new Map<LocatedChunk, Uint8Array>();
  const byNode = Map.groupBy(chunks, (chunk) => inOrder(remote, chunk.nodes)[0]);
  await Promise.all(
    [...byNode].map(async ([node, group]) => {
      if (!node) return;
      const isOnlyCopy = group.some((chunk) => chunk.nodes.length === 1);
      using stall = isOnlyCopy ? undefined : watchStall(remote.clock, { stallMs: stallPatienceMs, signal });
      try {
        const answers = await remote.data.getMany(
          node,
          group.map((chunk) => chunk.id),
          stall ? { signal: stall.signal, onBytes: stall.moved } : { signal },
        );
        for (const [index, chunk] of group.entries()) {
          const bytes = answers[index];
          if (bytes && isWhole(bytes, chunk)) found.set(chunk, bytes);
        }
      } catch (thrown) {
        const error = toCollectiveError(stall?.reasonFor(thrown) ?? thrown);
        if (error.code === "cancelled" || (throwsRefusal && ticketRefused(error))) throw error;
        const [first] = group;
        if (first) noteBadCopy(remote, { chunk: first, node: node.node, error });
      }
    }),
  );
  for (const chunk of chunks) {
    if (found.has(chunk)) continue;
    const into = new Uint8Array(Math.min(chunk.storedBytes, storedChunkBytesMax));
    await fetchChunk(remote, chunk, { into, signal });
    found.set(chunk, into);
  }
  return found;
}
