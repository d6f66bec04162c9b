/** Chunks of a datastore, and where their copies are. */
import { type ChunkId, chunkIdToBytes, type GlobalName } from "../../protocol/ids.ts";
import { copyState, type MetadataContext, statement } from "./context.ts";

export interface ChunkRow {
  readonly id: number;
  readonly stored_bytes: number;
  readonly copies: number;
}

export function chunkRow(context: MetadataContext, store: number, id: ChunkId): ChunkRow | null {
  return statement<ChunkRow, [Uint8Array, number]>(context, "SELECT id, stored_bytes, copies FROM chunk WHERE hash = ? AND store = ?").get(
    chunkIdToBytes(id),
    store,
  );
}

export function copiesOfChunk(context: MetadataContext, chunk: number) {
  return statement<{ name: GlobalName; state: number }, [number]>(
    context,
    "SELECT node.name, copy.state FROM copy JOIN node ON node.id = copy.node WHERE copy.chunk = +? ORDER BY copy.node",
  )
    .all(chunk)
    .map((row) => ({ node: row.name, state: copyState(row.state) }));
}
