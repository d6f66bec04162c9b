/** The nodes a coordinator knows, so that it still knows them after a restart. */
import type { GlobalName } from "../../protocol/ids.ts";
import { type MetadataContext, statement } from "./context.ts";
import type { KnownNode, NodeRegistry } from "./store.ts";

interface NodeRow {
  readonly name: GlobalName;
  readonly public_key: Uint8Array;
  readonly address: string;
  readonly capacity_bytes: number;
  readonly used_bytes: number;
  readonly free_bytes: number;
  readonly chunk_count: number;
  readonly version: string;
  readonly last_seen_ms: number;
}

export function createNodeRegistry(context: MetadataContext): NodeRegistry {
  return {
    listNodes: async () =>
      statement<NodeRow, []>(context, "SELECT * FROM node WHERE id NOT IN (SELECT node FROM host_node) ORDER BY name")
        .all()
        .map((row) => ({
          name: row.name,
          publicKeyRaw: row.public_key,
          address: row.address,
          capacityBytes: row.capacity_bytes,
          usedBytes: row.used_bytes,
          freeBytes: row.free_bytes,
          chunkCount: row.chunk_count,
          version: row.version,
          lastSeenMs: row.last_seen_ms,
        })),
    saveNodes: (nodes) =>
      context.db.writeRelaxed(() => {
        for (const node of nodes) save(context, node);
      }),
  };
}

function save(context: MetadataContext, node: KnownNode): void {
  statement<never, [string, Uint8Array, string, number, number, number, number, string, number]>(
    context,
    `INSERT INTO node (name, public_key, address, capacity_bytes, used_bytes, free_bytes, chunk_count, version, last_seen_ms)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
     ON CONFLICT (name) DO UPDATE SET public_key = ?2, address = ?3, capacity_bytes = ?4, used_bytes = ?5, free_bytes = ?6,
       chunk_count = ?7, version = ?8, last_seen_ms = ?9`,
  ).run(
    node.name,
    node.publicKeyRaw,
    node.address,
    node.capacityBytes,
    node.usedBytes,
    node.freeBytes,
    node.chunkCount,
    node.version,
    Math.trunc(node.lastSeenMs),
  );
}
