/** Copies beyond what a store asks for, over SQLite; see `Surplus` for what is promised. */
import { type ChunkId, chunkIdToBytes, type Inode } from "../../protocol/ids.ts";
import { copiesOfChunk } from "./chunks.ts";
import { copyStateCodes, type MetadataContext, statement } from "./context.ts";
import type { CopyRelease, Surplus } from "./store.ts";

export function createSurplus(context: MetadataContext): Surplus {
  return {
    surplusOf: async (store, { after, limit }) =>
      // Named, for by itself the order would lead through every chunk there is.
      statement<{ row: number; id: ChunkId; storedBytes: number }, [number, Uint8Array, number]>(
        context,
        `SELECT chunk.id AS row, lower(hex(chunk.hash)) AS id, chunk.stored_bytes AS storedBytes
         FROM datastore JOIN chunk INDEXED BY chunk_in_use
           ON chunk.store = datastore.inode AND chunk.refs > 0 AND chunk.copies > datastore.replicas
         WHERE datastore.inode = ? AND chunk.hash > ? ORDER BY chunk.hash LIMIT ?`,
      )
        .all(store, after === undefined ? new Uint8Array(0) : chunkIdToBytes(after), limit)
        .map(({ row, ...chunk }) => ({ ...chunk, copies: copiesOfChunk(context, row) })),
    releaseCopies: (store, releases) => context.db.write(() => releases.filter((release) => releaseCopy(context, store, release)).length),
  };
}

function releaseCopy(context: MetadataContext, store: Inode, { chunk, node, kept }: CopyRelease): boolean {
  const others = kept.filter((name) => name !== node);
  const { changes } = statement<never, [Uint8Array, number, string, string]>(
    context,
    `UPDATE copy SET state = ${copyStateCodes.deleting}
     WHERE chunk = (SELECT id FROM chunk WHERE hash = ?1 AND store = ?2)
       AND node = (SELECT id FROM node WHERE name = ?3) AND state = ${copyStateCodes.stored}
       AND (SELECT replicas FROM datastore WHERE inode = ?2) <= (
         SELECT count(*) FROM copy AS rest JOIN node ON node.id = rest.node
         WHERE rest.chunk = copy.chunk AND rest.state = ${copyStateCodes.stored} AND node.name IN (SELECT value FROM json_each(?4)))`,
  ).run(chunkIdToBytes(chunk), store, node, JSON.stringify(others));
  return changes > 0;
}
