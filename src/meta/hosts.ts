/** What members lend each other: the own pledge, and the nodes of others that keep copies for this member. */
import type { GlobalName } from "../../protocol/ids.ts";
import { appendAudit } from "./audit.ts";
import { type MetadataContext, statement } from "./context.ts";
import type { HostNode, HostRegistry } from "./store.ts";

interface HostRow {
  readonly name: GlobalName;
  readonly member: GlobalName;
  readonly public_key: Uint8Array;
  readonly address: string;
}

export function createHostRegistry(context: MetadataContext): HostRegistry {
  const { db } = context;
  return {
    listHostNodes: async () =>
      statement<HostRow, []>(
        context,
        `SELECT node.name, host_node.member, node.public_key, node.address
         FROM host_node JOIN node ON node.id = host_node.node ORDER BY node.name`,
      )
        .all()
        .map(({ public_key, ...row }) => ({ ...row, publicKeyRaw: public_key })),
    usedAtHosts: async () => usedAtHosts(context),
    saveHostNodes: (nodes) =>
      db.writeRelaxed(() => {
        for (const node of nodes) save(context, node);
      }),
    pledge: async () => pledgedBytes(context),
    setPledge: (bytes, by) =>
      db.write(() => {
        const before = pledgedBytes(context);
        if (before === bytes) return;
        statement<never, [number]>(context, "INSERT INTO pledge (only, bytes) VALUES (1, ?1) ON CONFLICT DO UPDATE SET bytes = ?1").run(
          bytes,
        );
        appendAudit(context, { actor: by, action: "pledge.set", subject: "federation", details: { bytes, before } });
      }),
  };
}

/** For use inside a transaction, too. */
export function usedAtHosts(context: MetadataContext): ReadonlyMap<GlobalName, number> {
  const sums = statement<{ member: GlobalName; bytes: number }, []>(
    context,
    "SELECT member, sum(used_bytes) AS bytes FROM host_node GROUP BY member",
  ).all();
  return new Map(sums.map(({ member, bytes }) => [member, bytes]));
}

function pledgedBytes(context: MetadataContext): number {
  return statement<{ bytes: number }, []>(context, "SELECT bytes FROM pledge").get()?.bytes ?? 0;
}

/** How full such a node is stands in what its member tells of it, and here are only the copies that are ours. */
function save(context: MetadataContext, { name, member, publicKeyRaw, address }: HostNode): void {
  const nowMs = Math.trunc(context.clock.wallMs());
  const node = statement<{ id: number }, [string, Uint8Array, string, number]>(
    context,
    `INSERT INTO node (name, public_key, address, capacity_bytes, used_bytes, free_bytes, chunk_count, version, last_seen_ms)
     VALUES (?1, ?2, ?3, 0, 0, 0, 0, '', ?4) ON CONFLICT (name) DO UPDATE SET public_key = ?2, address = ?3, last_seen_ms = ?4 RETURNING id`,
  ).get(name, publicKeyRaw, address, nowMs);
  if (!node) return;
  statement<never, [number, string]>(
    context,
    "INSERT INTO host_node (node, member) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET member = ?2",
  ).run(node.id, member);
}
