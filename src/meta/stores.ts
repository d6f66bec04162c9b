/** Datastores: first-level directories with a policy and a key of their own. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import type { PosixOwner, Store, StorePolicy } from "../../protocol/schema.ts";
import { strategies } from "../../protocol/schema.ts";
import { systemRandom } from "../core/random.ts";
import { appendAudit } from "./audit.ts";
import { childRow, insertInode, linkEntry, type MetadataContext, nowNs, statement, touchDirectory, usableCopies } from "./context.ts";
import type { StoreRegistry } from "./store.ts";

const storeKeyBytes = 32;

interface PolicyRow {
  readonly strategy: string;
  readonly replicas: number;
  readonly quota_bytes: number | null;
  readonly min_members: number;
  readonly encrypt: number;
}

interface StoreRow extends PolicyRow {
  readonly inode: number;
  readonly name: string;
  readonly owner: string;
  readonly created_ms: number;
  readonly files: number;
  readonly logical_bytes: number;
  readonly chunks: number;
  readonly stored_bytes: number;
  readonly degraded: number;
}

function selectStoresBy(copies: string): string {
  return `SELECT datastore.*, entry.name, inode.owner,
    (SELECT count(*) FROM chunk WHERE chunk.store = datastore.inode AND chunk.refs > 0 AND ${copies} < datastore.replicas) AS degraded
  FROM datastore JOIN entry ON entry.inode = datastore.inode AND entry.parent = 1 JOIN inode ON inode.id = datastore.inode`;
}

const selectStores = selectStoresBy("chunk.copies");

export function createStoreRegistry(context: MetadataContext): StoreRegistry {
  const byName = (name: string): Store => {
    const row = statement<StoreRow, [string]>(context, `${selectStores} WHERE entry.name = ?`).get(name);
    if (!row) throw new CollectiveError("not_found", `there is no datastore named ${name}`);
    return storeOf(row);
  };
  return {
    createStore: (request) =>
      context.db.write(() => {
        if (childRow(context, rootInode, request.name))
          throw new CollectiveError("already_exists", `the datastore ${request.name} exists already`);
        insertStore(context, { ...request, mode: 0o755 });
        return byName(request.name);
      }),
    listStores: async (unusable = []) => {
      const { sql, params } = usableCopies(unusable);
      return statement<StoreRow, string[]>(context, `${selectStoresBy(sql)} ORDER BY entry.name`)
        .all(...params)
        .map(storeOf);
    },
    storeByName: async (name) => byName(name),
    policyOf: async (store) => {
      // Each upload asks: nothing is counted, as it is for whoever looks at a datastore.
      const row = statement<PolicyRow, [number]>(
        context,
        `SELECT strategy, replicas, quota_bytes, min_members, encrypt FROM datastore
         WHERE inode = +? AND EXISTS (SELECT 1 FROM entry WHERE entry.inode = datastore.inode)`,
      ).get(store);
      if (!row) throw new CollectiveError("not_found", "the datastore no longer exists");
      return policyOf(row);
    },
    setStore: (name, change) =>
      context.db.write(() => {
        const policy = { ...byName(name).policy, ...change };
        statement<never, [string, number, number | null, number, number, number]>(
          context,
          "UPDATE datastore SET strategy = ?, replicas = ?, quota_bytes = ?, min_members = ?, encrypt = ? WHERE inode = ?",
        ).run(policy.strategy, policy.replicas, policy.quotaBytes, policy.minMembers, policy.encrypt ? 1 : 0, byName(name).inode);
        return byName(name);
      }),
    storeKey: async (inode) => {
      const row = statement<{ key: Uint8Array; encrypt: number }, [number]>(
        context,
        "SELECT key, encrypt FROM datastore WHERE inode = ?",
      ).get(inode);
      if (!row) throw new CollectiveError("not_found", "the datastore no longer exists");
      return { key: row.key, encrypt: row.encrypt === 1 };
    },
  };
}

/** For use inside a transaction. */
export function insertStore(
  context: MetadataContext,
  request: PosixOwner & { readonly name: string; readonly policy: StorePolicy; readonly owner: string; readonly mode: number },
): Inode {
  const { mode, owner, uid, gid } = request;
  const inode = insertInode(context, { type: "directory", store: 0, mode, owner, mtimeNs: nowNs(context), uid, gid });
  statement<never, [number]>(context, "UPDATE inode SET store = id WHERE id = ?").run(inode);
  const { policy } = request;
  statement<never, [number, string, number, number | null, number, number, Uint8Array, number]>(
    context,
    "INSERT INTO datastore (inode, strategy, replicas, quota_bytes, min_members, encrypt, key, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  ).run(
    inode,
    policy.strategy,
    policy.replicas,
    policy.quotaBytes,
    policy.minMembers,
    policy.encrypt ? 1 : 0,
    systemRandom.bytes(storeKeyBytes),
    Math.trunc(context.clock.wallMs()),
  );
  linkEntry(context, rootInode, request.name, inode);
  touchDirectory(context, rootInode);
  appendAudit(context, { actor: request.owner, action: "store.created", subject: request.name });
  return inode;
}

function policyOf(row: PolicyRow): StorePolicy {
  const strategy = strategies.find((known) => known === row.strategy);
  if (!strategy) throw new CollectiveError("corrupt", `the database holds the unknown strategy ${row.strategy}`);
  return { strategy, replicas: row.replicas, quotaBytes: row.quota_bytes, minMembers: row.min_members, encrypt: row.encrypt === 1 };
}

function storeOf(row: StoreRow): Store {
  return {
    inode: row.inode as Inode,
    name: row.name,
    owner: row.owner,
    createdMs: row.created_ms,
    policy: policyOf(row),
    files: row.files,
    logicalBytes: row.logical_bytes,
    chunks: row.chunks,
    storedBytes: row.stored_bytes,
    degradedChunks: row.degraded,
  };
}
