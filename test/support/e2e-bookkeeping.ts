/** Looks into the databases of a collective that has been stopped: do they agree with themselves and with each other? */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import type { Collective } from "./process.ts";

/** What is counted, beside what it should be. Each answers the number of rows that are wrong. */
const metadataChecks: Readonly<Record<string, string>> = {
  "chunks with a wrong number of references":
    "SELECT count(*) AS wrong FROM chunk WHERE refs <> (SELECT count(*) FROM extent WHERE extent.chunk = chunk.id)",
  "chunks with a wrong number of copies":
    "SELECT count(*) AS wrong FROM chunk WHERE copies <> (SELECT count(*) FROM copy WHERE copy.chunk = chunk.id AND copy.state = 1)",
  "chunks in use without a copy": "SELECT count(*) AS wrong FROM chunk WHERE refs > 0 AND copies = 0",
  "files whose chunks and holes do not add up to their size":
    "SELECT count(*) AS wrong FROM inode WHERE type = 2 AND size <> hole_bytes + (SELECT coalesce(sum(length), 0) FROM extent WHERE extent.inode = inode.id)",
  "extents that lie over each other, behind the end, or outside of their chunk": `SELECT count(*) AS wrong FROM extent AS one WHERE length <= 0
    OR (chunk_bytes > 0 AND chunk_offset + length > chunk_bytes) OR offset + length > (SELECT size FROM inode WHERE id = one.inode)
    OR EXISTS (SELECT 1 FROM extent AS next WHERE next.inode = one.inode AND next.offset > one.offset AND next.offset < one.offset + one.length)`,
  "inodes that neither have a name nor wait to be freed":
    "SELECT count(*) AS wrong FROM inode WHERE id <> 1 AND id NOT IN (SELECT inode FROM entry) AND id NOT IN (SELECT inode FROM reclaim)",
  "stores with a wrong number of files":
    "SELECT count(*) AS wrong FROM datastore WHERE files <> (SELECT count(*) FROM inode WHERE inode.store = datastore.inode AND type = 2)",
  "stores with a wrong number of bytes":
    "SELECT count(*) AS wrong FROM datastore WHERE logical_bytes <> (SELECT coalesce(sum(size), 0) FROM inode WHERE inode.store = datastore.inode AND type = 2)",
};

/** Sentences about what is wrong; none when all is well. */
export function bookkeepingFaults(collective: Pick<Collective, "coordinator" | "nodes">): string[] {
  const faults: string[] = [];
  using metadata = new Database(join(collective.coordinator.dataDirectory, "metadata.db"), { readonly: true });
  const integrity = metadata.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get()?.integrity_check;
  if (integrity !== "ok") faults.push(`metadata.db: ${integrity}`);
  for (const [what, sql] of Object.entries(metadataChecks)) {
    const wrong = metadata.query<{ wrong: number }, []>(sql).get()?.wrong ?? 0;
    if (wrong > 0) faults.push(`${wrong} ${what}`);
  }
  for (const { name, dataDirectory } of collective.nodes) {
    using chunks = new Database(join(dataDirectory, "chunks.db"), { readonly: true });
    const held = new Set(
      chunks
        .query<{ id: string }, []>("SELECT lower(hex(id)) AS id FROM chunk")
        .all()
        .map((row) => row.id),
    );
    const copies = metadata
      .query<{ id: string; state: number }, [string]>(
        "SELECT lower(hex(hash)) AS id, state FROM copy JOIN chunk ON chunk.id = copy.chunk JOIN node ON node.id = copy.node WHERE node.name LIKE ?",
      )
      .all(`${name}@%`);
    const known = new Set(copies.map((copy) => copy.id));
    const lost = copies.filter((copy) => copy.state === 1 && !held.has(copy.id)).length;
    const orphans = [...held].filter((id) => !known.has(id)).length;
    if (lost > 0) faults.push(`${name} lacks ${lost} chunks that it should have`);
    if (orphans > 0) faults.push(`${name} holds ${orphans} chunks that nobody knows of`);
  }
  return faults;
}
