/** Where a file's content lies, chunk by chunk. */
import type { Inode } from "../../protocol/ids.ts";
import { directoryPageEntriesMax } from "../../protocol/limits.ts";
import { type RouteOutput, routes } from "../../protocol/routes.ts";
import type { Remote } from "./remote.ts";

export type PlacedChunk = RouteOutput<typeof routes.layout>["chunks"][number];

/** In the order of the file, page by page; at most `extentsPerCommitMax` in all. */
export async function layoutOf(remote: Remote, inode: Inode, signal?: AbortSignal): Promise<PlacedChunk[]> {
  const chunks: PlacedChunk[] = [];
  for (;;) {
    const after = chunks.at(-1)?.offset ?? -1;
    const page = await remote.control.call(routes.layout, { inode, after, limit: directoryPageEntriesMax }, { signal });
    chunks.push(...page.chunks);
    if (!page.more || page.chunks.length === 0) return chunks;
  }
}
