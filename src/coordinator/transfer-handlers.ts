/**
 * Uploads and downloads: where chunks go, where they are, and the tickets to move them. No file byte
 * comes through here.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, type GlobalName, siteOf } from "../../protocol/ids.ts";
import { chunksPerTicketMax } from "../../protocol/limits.ts";
import type { FileCommit } from "../../protocol/schema.ts";
import { readsForCopy } from "../cluster/extra-copies.ts";
import { type HoldingNode, readOrder } from "../cluster/read-order.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { createAccess, earliest, type Permission } from "./access.ts";
import { createAllocation } from "./allocation.ts";
import { withLatency } from "./directory.ts";
import { leaseAlone } from "./leases.ts";
import { needWriteIn } from "./namespace-handlers.ts";
import { confirmedBy } from "./receipts.ts";
import type { CoordinatorService } from "./service.ts";

type TransferRoutes = "allocate" | "commit" | "locate" | "verifyTickets" | "reportCopies";

export function createTransferHandlers(service: CoordinatorService): Pick<ControlHandlers, TransferRoutes> {
  const { metadata, member, tickets, hosting, leases } = service;
  const access = createAccess(service);
  return {
    allocate: createAllocation(service),
    /**
     * A file may be made of any chunks of its store that are named by their ids. An id is the hash of ciphertext: it is known
     * to whom a file with that chunk was shown, or who has all of its content and the store's key, and neither learns
     * anything new by reading it.
     */
    commit: async ({ upload, files, receipts, last, isRelaxed }, { caller, session, request }) => {
      const clearance = access.of(caller);
      if (files.length === 0) await clearance.needSomewhere(["write"], undefined);
      await needWriteIn(
        clearance,
        files.filter((file) => file.inode === undefined),
      );
      for (const { inode } of files) if (inode !== undefined) await clearance.need("write", inode);
      const confirmed = confirmedBy(service, receipts);
      const committed = await metadata.once(request).commit({ upload, files, confirmed, last, isRelaxed, owner: caller.name });
      const because =
        committed.degradedChunks > 0 && siteOf(caller.name) === siteOf(member) ? await hosting.reasons(largestChunk(files)) : [];
      const made = committed.attrs.filter((_, index) => files[index]?.replaces === null);
      // Asked again, it may be in others' hands by now.
      const leased = await Promise.all(
        made.map(async ({ inode }) => session !== undefined && leaseAlone(service, { caller: caller.name, token: session }, inode)),
      );
      return { ...committed, leased: leased.length > 0 && !leased.includes(false), because: because.map(({ limit }) => limit) };
    },
    locate: async ({ files }, { caller, session }) => {
      const inodes = files.map(({ inode }) => inode);
      // Before anybody is disturbed, and again after time has passed.
      const mayRead = async (): Promise<Permission[]> => {
        const clearance = access.of(caller);
        const permissions: Permission[] = [];
        for (const inode of inodes) permissions.push(await clearance.need("read", inode));
        return permissions;
      };
      const before = await mayRead();
      const permissions = (await leases.settle(inodes, session)) ? await mayRead() : before;
      const nodes = new Map(holdingNodes(service).map((node) => [node.name, node]));
      const nowMs = service.clock.monotonicMs();
      let chunksLeft = chunksPerTicketMax;
      const wanted: { id: ChunkId; nodes: GlobalName[] }[] = [];
      const located = [];
      for (const file of files) {
        // Asked for in one go: of one version.
        const [attr, extents] = await Promise.all([
          metadata.getAttr(file.inode),
          chunksLeft > 0 ? metadata.extents(file.inode, { ...file, limit: chunksLeft }) : [],
        ]);
        if (attr.type !== "file" || attr.store === undefined) throw new CollectiveError("is_a_directory", "it is not a file");
        if (file.ifVersion !== undefined && file.ifVersion !== attr.version) {
          throw new CollectiveError("conflict", "the file was changed while it was being read", { details: { version: attr.version } });
        }
        chunksLeft -= extents.length;
        const last = extents.at(-1);
        const cutOffAt = last ? last.offset + last.plainBytes : file.offset;
        const endOffset = chunksLeft > 0 ? Math.min(attr.sizeBytes, file.offset + file.lengthBytes) : cutOffAt;
        located.push({ attr, store: attr.store, extents, endOffset });
        const readsOf = new Map<ChunkId, number>();
        for (const extent of extents) {
          const { chunk: id, storedBytes, codec } = extent;
          // Parts of one chunk are one read of it.
          const reads = readsOf.get(id) ?? service.popularity.note({ id, storedBytes, codec, store: attr.store }, nowMs);
          readsOf.set(id, reads);
          const holding = extent.copies.flatMap(({ node, state }) => (state === "stored" ? (nodes.get(node) ?? []) : []));
          const turn = reads < readsForCopy ? 0 : service.random.int(holding.length);
          wanted.push({ id, nodes: readOrder(id, holding, turn) });
        }
      }
      const issued = tickets.issue({ holder: caller.name, permission: earliest(permissions), operation: "get", chunks: wanted });
      let next = 0;
      return {
        files: located.map(({ attr, store, extents, endOffset }) => ({
          version: attr.version,
          sizeBytes: attr.sizeBytes,
          store,
          endOffset,
          extents: extents.map(({ copies: _, ...extent }) => ({ ...extent, nodes: issued.indexes[next++] ?? [] })),
        })),
        nodes: issued.nodes,
      };
    },
    /**
     * For these two it is enough to read anything in the store, for a check of copies shows none of their bytes: whoever knows a
     * chunk's id learns where its copies are and whether they are whole.
     */
    verifyTickets: async ({ store, chunks }, { caller }) => {
      const permission = await access.of(caller).needSomewhere(["read"], store);
      const copies = await metadata.copiesOf(store, chunks);
      const wanted = chunks.map((id, index) => ({
        id,
        nodes: (copies[index] ?? []).filter((copy) => copy.state === "stored" || copy.state === "damaged").map((copy) => copy.node),
      }));
      const { nodes, indexes } = tickets.issue({ holder: caller.name, permission, operation: "verify", chunks: wanted });
      return { copies: indexes, nodes };
    },
    reportCopies: async ({ store, node, chunks }, { caller, signal }) => {
      await access.of(caller).needSomewhere(["read"], store);
      const copies = await metadata.copiesOf(store, chunks);
      const known = chunks.filter((_, index) => copies[index]?.some((copy) => copy.node === node));
      if (known.length !== chunks.length) throw new CollectiveError("not_found", `${node} holds no copy of these chunks`);
      return { states: await checkCopies(service, { node, chunks, signal }) };
    },
  };
}

function largestChunk(files: readonly FileCommit[]): number {
  const extents = files.flatMap((file) => [...(file.extents ?? []), ...(file.changes ?? []).flatMap((change) => change.extents)]);
  return extents.reduce((most, { chunk, plainBytes }) => (chunk === null ? most : Math.max(most, plainBytes)), 0);
}

/** Has a node read and hash copies, and records what it found. A damaged one is in its quarantine then. */
export async function checkCopies(
  service: CoordinatorService,
  request: { node: GlobalName; chunks: readonly ChunkId[]; signal: AbortSignal },
) {
  const { node, chunks, signal } = request;
  const { nodes } = service.tickets.issue({
    holder: service.member,
    operation: "verify",
    chunks: chunks.map((id) => ({ id, nodes: [node] })),
  });
  const target = nodes[0];
  if (!target) throw new CollectiveError("not_found", `there is no node ${node}`);
  const states = await service.nodes.verify(target, chunks, { signal });
  await service.metadata.markCopies(
    node,
    chunks.map((chunk, index) => ({ chunk, state: states[index] === "ok" ? "stored" : (states[index] ?? "missing") })),
  );
  for (const [index, state] of states.entries()) {
    if (state !== "ok") service.log.warn("copy is not readable", { node, chunk: chunks[index], state });
  }
  return states;
}

/** Whatever may hold a copy. */
function holdingNodes({ directory, allNodes, federation }: CoordinatorService): HoldingNode[] {
  const own = withLatency(directory, directory.list());
  const foreign = allNodes.foreign().map(({ name, peer, state }) => {
    const latencyMs = federation.latencyMs(peer.member) ?? 0;
    return { name, state, latencyMs, isElsewhere: true };
  });
  return [...own, ...foreign];
}
