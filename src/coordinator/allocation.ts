/**
 * Where the chunks of an upload go: own nodes at once, those of other members when these have consented.
 *
 * What a host refuses is offered to others. A chunk keeps the nodes that it was granted; nobody is asked twice for it. The
 * number of rounds and the time of each are bounded, and a chunk for which nobody elsewhere is needed waits for nobody.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, type GlobalName, type Inode, siteOf } from "../../protocol/ids.ts";
import type { CopyState, OfferedChunk, StorePolicy, TicketedNode } from "../../protocol/schema.ts";
import { ownNodes } from "../cluster/candidates.ts";
import { chooseNodes } from "../cluster/placement.ts";
import type { ConfirmedCopies } from "../meta/store.ts";
import type { Caller, ControlHandlers } from "../net/control-app.ts";
import { createAccess } from "./access.ts";
import { withLatency } from "./directory.ts";
import { confirmedBy } from "./receipts.ts";
import type { CoordinatorService } from "./service.ts";

/** Each leaves out at least one node that refused; more would hold a write up for longer than its copies are worth. */
const roundsMax = 3;

export function createAllocation(service: CoordinatorService): ControlHandlers["allocate"] {
  const { metadata, tickets } = service;
  const access = createAccess(service);
  return async ({ upload, store, chunks, exclude, receipts }, { caller, signal }) => {
    const permission = await access.of(caller).needSomewhere(["write"], store);
    const policy = await metadata.policyOf(store);
    const request = { upload, store, policy, excluded: new Set(exclude), holder: caller.name, signal };
    const assertPlaced = async (isPlaced: (id: ChunkId) => boolean): Promise<void> => {
      const homeless = chunks.find(({ id }) => !isPlaced(id));
      if (homeless) throw await nowhereToStore(service, { chunk: homeless, excluded: request.excluded, caller });
    };
    const confirmed = confirmedBy(service, receipts);
    const { own, others, stored, granted } = await place(service, { ...request, chunks, confirmed, assertPlaced });
    await assertPlaced((id) => [own, others].some((targets) => targets.has(id)) || (stored.get(id) ?? 0) > 0);
    const issued = tickets.issue({
      holder: caller.name,
      permission,
      operation: "put",
      chunks: chunks.map(({ id }) => ({ id, nodes: own.get(id) ?? [] })),
    });
    return {
      targets: chunks.map(({ id }, index) => [
        ...(issued.indexes[index] ?? []),
        ...(others.get(id) ?? []).map((ticketed) => issued.nodes.length + granted.indexOf(ticketed)),
      ]),
      stored: chunks.map(({ id }) => stored.get(id) ?? 0),
      nodes: [...issued.nodes, ...granted],
    };
  };
}

interface Placing {
  readonly upload: string;
  readonly store: Inode;
  readonly policy: StorePolicy;
  readonly chunks: readonly OfferedChunk[];
  readonly confirmed: readonly ConfirmedCopies[];
  readonly excluded: ReadonlySet<GlobalName>;
  readonly holder: GlobalName;
  readonly signal: AbortSignal;
  /** Called when nodes are chosen and before anybody else is asked; what it throws, ends it. */
  readonly assertPlaced: (isPlaced: (id: ChunkId) => boolean) => Promise<void>;
}

interface Placed {
  /** Where each chunk is to be sent, at home. */
  readonly own: ReadonlyMap<ChunkId, readonly GlobalName[]>;
  /** And at other members, with the one ticket that is for it: a node that was asked twice has given two. */
  readonly others: ReadonlyMap<ChunkId, readonly TicketedNode[]>;
  readonly granted: readonly TicketedNode[];
  /** How many copies there are already. */
  readonly stored: ReadonlyMap<ChunkId, number>;
}

async function place(service: CoordinatorService, request: Placing): Promise<Placed> {
  const own = new Map<ChunkId, GlobalName[]>();
  const others = new Map<ChunkId, TicketedNode[]>();
  const granted: TicketedNode[] = [];
  const stored = new Map<ChunkId, number>();
  let open = new Map(request.chunks.map((chunk) => [chunk.id, chunk]));
  const placedAt = (id: ChunkId): GlobalName[] => [...(own.get(id) ?? []), ...(others.get(id) ?? []).map(({ node }) => node)];
  // Also without any chunk it is a sign of life of the upload.
  for (let round = 0; round === 0 || (round < roundsMax && open.size > 0); round++) {
    using reservations = new DisposableStack();
    const offer = await offerOnce(service, { ...request, chunks: [...open.values()] }, { placedAt, reservations });
    for (const [id, copies] of offer.stored) stored.set(id, copies);
    if (round === 0) await request.assertPlaced((id) => (offer.chosen.get(id) ?? []).length > 0 || (stored.get(id) ?? 0) > 0);
    const wanted = new Map<GlobalName, OfferedChunk[]>();
    for (const chunk of open.values()) {
      for (const node of offer.chosen.get(chunk.id) ?? []) {
        if (isOwn(service, node)) append(own, chunk.id, node);
        else append(wanted, node, chunk);
      }
    }
    if (wanted.size === 0) break;
    const answer = await service.hosting.ask({ holder: request.holder, wanted, signal: request.signal });
    const consented = answer.granted.map(({ node }) => ({ node, chunks: (wanted.get(node) ?? []).map(({ id }) => id) }));
    const standing = await service.metadata.offerAlso(request.store, consented);
    for (const [index, ticketed] of answer.granted.entries()) {
      granted.push(ticketed);
      for (const id of standing[index]?.chunks ?? []) append(others, id, ticketed);
    }
    open = new Map(answer.refused.flatMap((node) => wanted.get(node) ?? []).map((chunk) => [chunk.id, chunk]));
  }
  return { own, others, granted, stored };
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

interface Offer {
  /** Further nodes for each chunk. */
  readonly chosen: ReadonlyMap<ChunkId, readonly GlobalName[]>;
  readonly stored: ReadonlyMap<ChunkId, number>;
}

interface Standing {
  /** Where a chunk goes already. */
  readonly placedAt: (id: ChunkId) => readonly GlobalName[];
  /** Takes what is reserved at other members. */
  readonly reservations: DisposableStack;
}

/** Copies that are about to be deleted are waited for: sent before, new ones could vanish with them. */
async function offerOnce(service: CoordinatorService, request: Placing, standing: Standing): Promise<Offer> {
  let beingDeleted: readonly ChunkId[];
  {
    using reservations = new DisposableStack();
    const first = await offer(service, request, { ...standing, reservations });
    beingDeleted = first.beingDeleted;
    if (beingDeleted.length === 0) {
      standing.reservations.use(reservations.move());
      return first;
    }
  }
  await deletionsDone(service, { store: request.store, chunks: beingDeleted, signal: request.signal });
  return await offer(service, request, standing);
}

async function offer(
  service: CoordinatorService,
  request: Placing,
  { placedAt, reservations }: Standing,
): Promise<Offer & { readonly beingDeleted: readonly ChunkId[] }> {
  const { metadata, member, directory, freeSpace } = service;
  const { upload, store, chunks, confirmed, policy, excluded } = request;
  // Others see ciphertext or nothing.
  const others = policy.encrypt ? await service.hosting.view() : undefined;
  const beingDeleted: ChunkId[] = [];
  const chosen = new Map<ChunkId, readonly GlobalName[]>();
  const { stored } = await metadata.offer({ upload, store, chunks, confirmed }, ({ id, storedBytes }, copies, usedAtHosts) => {
    const nodes = [...ownNodes(member, withLatency(directory, freeSpace.list())), ...(others?.nodes(usedAtHosts) ?? [])];
    const known = [...copies, ...placedAt(id).map((node) => ({ node, state: "stored" as const }))];
    const placement = chooseNodes({ chunk: id, storedBytes, policy, home: member, nodes, copies: known, exclude: excluded });
    const found = placement.nodes.length + known.filter((copy) => copy.state === "stored").length;
    if (found < policy.replicas && hasDeletions(service, copies)) beingDeleted.push(id);
    if (placement.unmet.length > 0)
      service.log.debug("a chunk is placed short of its policy", { chunk: id, unmet: placement.unmet.join(", ") });
    chosen.set(id, placement.nodes);
    const [own, foreign] = [
      placement.nodes.filter((node) => isOwn(service, node)),
      placement.nodes.filter((node) => !isOwn(service, node)),
    ];
    freeSpace.noteOffer(own, storedBytes);
    if (others && foreign.length > 0) reservations.use(others.reserve(foreign, storedBytes));
    return own;
  });
  return { chosen, stored: new Map(chunks.map(({ id }, index) => [id, stored[index] ?? 0])), beingDeleted };
}

function isOwn({ member }: CoordinatorService, node: GlobalName): boolean {
  return siteOf(node) === siteOf(member);
}

type Copies = readonly { readonly node: GlobalName; readonly state: CopyState }[];

/** A node that does not answer deletes nothing, so it is not worth waiting for. */
function hasDeletions({ allNodes }: CoordinatorService, copies: Copies): boolean {
  return copies.some((copy) => copy.state === "deleting" && allNodes.get(copy.node)?.state === "alive");
}

const deletionPollMs = 50;
const deletionPollsMax = 100;

/** Until garbage collection has deleted what it is about to delete of these chunks. Gives up after a while; they then get fewer nodes. */
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

interface Homeless {
  readonly chunk: OfferedChunk;
  readonly excluded: ReadonlySet<GlobalName>;
  readonly caller: Caller;
}

async function nowhereToStore(service: CoordinatorService, { chunk, excluded, caller }: Homeless): Promise<CollectiveError> {
  const nodes = service.directory.list();
  const alive = nodes.filter((node) => node.state === "alive");
  // As with `status`, how full the nodes are, and what others lend, is for people of the own site.
  const isOfSite = siteOf(caller.name) === siteOf(service.member);
  const [elsewhere] = isOfSite ? await service.hosting.reasons(chunk.storedBytes) : [];
  const also = elsewhere ? `; ${elsewhere.limit}` : "";
  if (alive.length === 0) {
    return new CollectiveError(elsewhere?.code ?? "unavailable", `none of the ${nodes.length} nodes of ${service.member} is alive${also}`, {
      hint: elsewhere?.raise ?? "start a node, or see: collective status",
    });
  }
  const roomy = alive.filter((node) => node.freeBytes >= chunk.storedBytes);
  if (roomy.length > 0 && roomy.every((node) => excluded.has(node.name))) {
    return new CollectiveError("unavailable", `none of the ${alive.length} nodes alive took the data${also}`, {
      hint: "see: collective status",
    });
  }
  if (!isOfSite) return new CollectiveError("no_space", `no node of ${service.member} has room for ${chunk.storedBytes} bytes`);
  const freeBytes = Math.max(...alive.map((node) => node.freeBytes));
  return new CollectiveError(
    "no_space",
    `no node has room for ${chunk.storedBytes} bytes: the roomiest of ${alive.length} has ${freeBytes} bytes free${also}`,
    {
      hint: elsewhere?.raise ?? "remove files, raise a node's --capacity, or add a node",
      details: { freeBytes, neededBytes: chunk.storedBytes },
    },
  );
}
