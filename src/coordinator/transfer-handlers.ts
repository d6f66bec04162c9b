/**
 * Uploads and downloads: where chunks go, where they are, and the tickets to move them. No file byte
 * comes through here.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, type GlobalName, type Inode, siteOf } from "../../protocol/ids.ts";
import { chunksPerTicketMax, uploadIdleMsMax } from "../../protocol/limits.ts";
import type { CopyState, OfferedChunk } from "../../protocol/schema.ts";
import { receiptOwnerOf } from "../../protocol/ticket.ts";
import { ownNodes } from "../cluster/candidates.ts";
import { readsForCopy } from "../cluster/extra-copies.ts";
import { chooseNodes } from "../cluster/placement.ts";
import { readOrder } from "../cluster/read-order.ts";
import type { ConfirmedCopies } from "../meta/store.ts";
import type { Caller, ControlHandlers } from "../net/control-app.ts";
import { openReceipt } from "../pki/ticket.ts";
import { createAccess, earliest, type Permission } from "./access.ts";
import { withLatency } from "./directory.ts";
import { createFreeSpace } from "./free-space.ts";
import { needWriteIn } from "./namespace-handlers.ts";
import type { CoordinatorService } from "./service.ts";

type TransferRoutes = "allocate" | "commit" | "locate" | "verifyTickets" | "reportCopies";

export function createTransferHandlers(service: CoordinatorService): Pick<ControlHandlers, TransferRoutes> {
  const { metadata, member, directory, tickets } = service;
  const access = createAccess(service);
  const space = createFreeSpace(directory);
  return {
    allocate: async ({ upload, store, chunks, exclude, receipts }, { caller, signal }) => {
      const permission = await access.of(caller).needSomewhere(["write"], store);
      const { policy } = await metadata.storeOf(store);
      const excluded = new Set(exclude);
      const confirmed = confirmedBy(service, receipts);
      const offer = async () => {
        const beingDeleted: ChunkId[] = [];
        const answer = await metadata.offer({ upload, store, chunks, confirmed }, ({ id, storedBytes }, copies) => {
          const nodes = ownNodes(member, withLatency(directory, space.list()));
          const placed = chooseNodes({ chunk: id, storedBytes, policy, home: member, nodes, copies, exclude: excluded });
          const found = placed.nodes.length + copies.filter((copy) => copy.state === "stored").length;
          if (found < policy.replicas && hasDeletions(service, copies)) beingDeleted.push(id);
          if (placed.unmet.length > 0)
            service.log.debug("a chunk is placed short of its policy", { chunk: id, unmet: placed.unmet.join(", ") });
          space.noteOffer(placed.nodes, storedBytes);
          return placed.nodes;
        });
        return { ...answer, beingDeleted };
      };
      let { targets, stored, beingDeleted } = await offer();
      if (beingDeleted.length > 0) {
        await deletionsDone(service, { store, chunks: beingDeleted, signal });
        ({ targets, stored } = await offer());
      }
      for (const [index, chunk] of chunks.entries()) {
        if ((targets[index] ?? []).length === 0 && stored[index] === 0) throw nowhereToStore(service, { chunk, excluded, caller });
      }
      const issued = tickets.issue({
        holder: caller.name,
        permission,
        operation: "put",
        chunks: chunks.map((chunk, index) => ({ id: chunk.id, nodes: targets[index] ?? [] })),
      });
      return { targets: issued.indexes, stored, nodes: issued.nodes };
    },
    /**
     * A file may be made of any chunks of its store that are named by their ids. An id is the hash of ciphertext: it is known
     * to whom a file with that chunk was shown, or who has all of its content and the store's key, and neither learns
     * anything new by reading it.
     */
    commit: async ({ upload, files, receipts, last }, { caller, request }) => {
      const clearance = access.of(caller);
      if (files.length === 0) await clearance.needSomewhere(["write"], undefined);
      await needWriteIn(
        clearance,
        files.filter((file) => file.inode === undefined),
      );
      for (const { inode } of files) if (inode !== undefined) await clearance.need("write", inode);
      const confirmed = confirmedBy(service, receipts);
      return await metadata.once(request).commit({ upload, files, confirmed, last, owner: caller.name });
    },
    locate: async ({ files }, { caller }) => {
      const clearance = access.of(caller);
      const permissions: Permission[] = [];
      const nodes = new Map(withLatency(directory, directory.list()).map((node) => [node.name, node]));
      const nowMs = service.clock.monotonicMs();
      let chunksLeft = chunksPerTicketMax;
      const wanted: { id: ChunkId; nodes: GlobalName[] }[] = [];
      const located = [];
      for (const file of files) {
        permissions.push(await clearance.need("read", file.inode));
        const attr = await metadata.getAttr(file.inode);
        if (attr.type !== "file" || attr.store === undefined) throw new CollectiveError("is_a_directory", "it is not a file");
        if (file.ifVersion !== undefined && file.ifVersion !== attr.version) {
          throw new CollectiveError("conflict", "the file was changed while it was being read", { details: { version: attr.version } });
        }
        const extents = chunksLeft > 0 ? await metadata.extents(file.inode, { ...file, limit: chunksLeft }) : [];
        chunksLeft -= extents.length;
        located.push({ attr, store: attr.store, extents });
        for (const extent of extents) {
          const { chunk: id, storedBytes, codec } = extent;
          const reads = service.popularity.note({ id, storedBytes, codec, store: attr.store }, nowMs);
          const holding = extent.copies.flatMap(({ node, state }) => (state === "stored" ? (nodes.get(node) ?? []) : []));
          const turn = reads < readsForCopy ? 0 : service.random.int(holding.length);
          wanted.push({ id, nodes: readOrder(id, holding, turn) });
        }
      }
      const issued = tickets.issue({ holder: caller.name, permission: earliest(permissions), operation: "get", chunks: wanted });
      let next = 0;
      return {
        files: located.map(({ attr, store, extents }) => ({
          version: attr.version,
          sizeBytes: attr.sizeBytes,
          store,
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

type Copies = readonly { readonly node: GlobalName; readonly state: CopyState }[];

/** A node that does not answer deletes nothing, so it is not worth waiting for. */
function hasDeletions({ directory }: CoordinatorService, copies: Copies): boolean {
  return copies.some((copy) => copy.state === "deleting" && directory.get(copy.node)?.state === "alive");
}

const deletionPollMs = 50;
const deletionPollsMax = 100;

/**
 * Waits until garbage collection has deleted what it is about to delete of these chunks: sent before,
 * new copies could vanish with the old ones. Gives up after a while; the chunks then get fewer nodes.
 */
async function deletionsDone(
  service: CoordinatorService,
  { store, chunks, signal }: { readonly store: Inode; readonly chunks: readonly ChunkId[]; readonly signal: AbortSignal },
): Promise<void> {
  for (let polls = 0; polls < deletionPollsMax; polls++) {
    const copies = await service.metadata.copiesOf(store, chunks);
    if (!copies.some((ofChunk) => hasDeletions(service, ofChunk))) return;
    await service.clock.sleep(deletionPollMs, signal);
  }
}

/**
 * Receipts that do not hold are an error, not ignored: the client would believe its chunks safe. Those of a
 * node that was revoked meanwhile count for nothing; the commit then sees whether other copies are enough.
 */
export function confirmedBy(
  service: CoordinatorService,
  receipts: readonly { node: GlobalName; receipt: Uint8Array }[],
): ConfirmedCopies[] {
  const counting = receipts.filter(({ node }) => !service.directory.isRevoked(node));
  return counting.map(({ node, receipt }) => {
    const known = service.directory.get(node);
    if (!known) throw new CollectiveError("not_found", `there is no node ${node}`);
    const opened = openReceipt(receipt, known.publicKeyRaw);
    if (opened.node !== node) throw new CollectiveError("not_authenticated", `a receipt of ${opened.node} was presented as one of ${node}`);
    const owner = receiptOwnerOf(opened);
    if (owner !== siteOf(service.member))
      throw new CollectiveError(
        "not_authenticated",
        `a receipt for chunks of ${owner} was presented for those of ${siteOf(service.member)}`,
      );
    if (opened.storedAtMs < service.clock.wallMs() - uploadIdleMsMax) {
      throw new CollectiveError("conflict", "the upload took too long to be confirmed", {
        hint: "run the command again; what is stored already is not sent twice",
      });
    }
    return { node, chunks: opened.chunks };
  });
}

interface Homeless {
  readonly chunk: OfferedChunk;
  readonly excluded: ReadonlySet<GlobalName>;
  readonly caller: Caller;
}

function nowhereToStore(service: CoordinatorService, { chunk, excluded, caller }: Homeless): CollectiveError {
  const nodes = service.directory.list();
  const alive = nodes.filter((node) => node.state === "alive");
  if (alive.length === 0) {
    return new CollectiveError("unavailable", `none of the ${nodes.length} nodes of ${service.member} is alive`, {
      hint: "start a node, or see: collective status",
    });
  }
  const roomy = alive.filter((node) => node.freeBytes >= chunk.storedBytes);
  if (roomy.length > 0 && roomy.every((node) => excluded.has(node.name))) {
    return new CollectiveError("unavailable", `none of the ${alive.length} nodes alive took the data`, { hint: "see: collective status" });
  }
  // As with `status`, how full the nodes are is for people of the own site.
  if (siteOf(caller.name) !== siteOf(service.member)) {
    return new CollectiveError("no_space", `no node of ${service.member} has room for ${chunk.storedBytes} bytes`);
  }
  const freeBytes = Math.max(...alive.map((node) => node.freeBytes));
  return new CollectiveError(
    "no_space",
    `no node has room for ${chunk.storedBytes} bytes: the roomiest of ${alive.length} has ${freeBytes} bytes free`,
    {
      hint: "remove files, raise a node's --capacity, or add a node",
      details: { freeBytes, neededBytes: chunk.storedBytes },
    },
  );
}
