/** Where bytes of files are: which chunks, on which nodes, and the tickets to fetch them. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkPart } from "../../protocol/extents.ts";
import type { Inode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { chunkPartOf, type TicketedNode } from "../../protocol/schema.ts";
import type { WantedChunk } from "./fetch-chunk.ts";
import type { Remote } from "./remote.ts";
import { rightsEnded } from "./rights-ended.ts";

export interface ReadRange {
  readonly inode: Inode;
  readonly offset: number;
  /** May reach past the end of the file. */
  readonly lengthBytes: number;
  /** The version that is meant; another one gives `conflict`. */
  readonly ifVersion?: number | undefined;
}

/** A part of a file, and the chunk that its bytes are in. */
export interface LocatedChunk extends WantedChunk, ChunkPart {
  /** Of the chunk's whole plaintext. */
  readonly chunkBytes: number;
}

export interface FileVersion {
  readonly inode: Inode;
  readonly version: number;
}

export interface LocatedFile {
  readonly version: number;
  readonly sizeBytes: number;
  readonly store: Inode;
  readonly chunks: readonly LocatedChunk[];
  /** How far the answer reaches: what no chunk covers before that is a hole. */
  readonly endOffset: number;
}

/** One round trip for up to `chunksPerTicketMax` chunks of as many ranges; a file may come back cut short. */
export async function locate(remote: Remote, files: readonly ReadRange[], signal?: AbortSignal): Promise<LocatedFile[]> {
  const answer = await remote.control.call(routes.locate, { files: [...files] }, { signal });
  return answer.files.map((file) => ({
    ...file,
    endOffset: file.endOffset ?? endOfExtents(file.extents),
    chunks: file.extents.map((extent) => ({
      ...extent,
      ...chunkPartOf(extent),
      id: extent.chunk,
      store: file.store,
      nodes: extent.nodes.map((index) => answer.nodes[index]).filter((node): node is TicketedNode => node !== undefined),
    })),
  }));
}

function endOfExtents(extents: readonly Pick<LocatedChunk, "offset" | "plainBytes">[]): number {
  const last = extents.at(-1);
  return last ? last.offset + last.plainBytes : 0;
}

/** The same chunk with new tickets. Throws `permission_denied` when the file is not for this person to see any more. */
export async function locateAgain(
  remote: Remote,
  { inode, version }: FileVersion,
  { chunk, refusal }: { readonly chunk: LocatedChunk; readonly refusal: CollectiveError },
): Promise<LocatedChunk> {
  const [file] = await locate(remote, [{ inode, offset: chunk.offset, lengthBytes: 1, ifVersion: version }]).catch((thrown: unknown) => {
    throw rightsEnded(toCollectiveError(thrown), refusal);
  });
  const [again] = file?.chunks ?? [];
  if (again?.id !== chunk.id) throw new CollectiveError("conflict", "the file was changed while it was being read");
  return again;
}

/**
 * Why content could not be had. A file that was replaced or removed after it was located has lost
 * its chunks rightly: that is `conflict`, and nothing is damaged.
 */
export async function readFailure(remote: Remote, files: readonly FileVersion[], thrown: unknown): Promise<CollectiveError> {
  const error = toCollectiveError(thrown);
  if (error.code !== "corrupt" && error.code !== "unavailable") return error;
  try {
    await locate(
      remote,
      files.map(({ inode, version }) => ({ inode, offset: 0, lengthBytes: 0, ifVersion: version })),
    );
  } catch (reason) {
    const { code } = toCollectiveError(reason);
    if (code === "conflict" || code === "not_found")
      return new CollectiveError("conflict", "the file was changed while it was being read", { cause: thrown });
  }
  return error;
}
