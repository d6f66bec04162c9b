/**
 * Copies at other members, from the side of whose data it is: which of their nodes come into question, what they consent to, and
 * why they keep no more.
 *
 * A host is asked only for what the limits leave, as far as they are known here; it decides itself. Who refuses or does not
 * answer is left out for a while, so that a host that is gone holds up no more than the first few who need it.
 */
import { CollectiveError, type ErrorCode, toCollectiveError } from "../../protocol/errors.ts";
import type { RecordBody } from "../../protocol/gossip-records.ts";
import { type ChunkId, type GlobalName, siteOf } from "../../protocol/ids.ts";
import { mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import type { StorageNode } from "../cluster/candidates.ts";
import { type Barrier, barrierTo, type Host, type Owner, pledgeBarrier, pledgeLeft, shareLeft, shareOf } from "../cluster/pledges.ts";
import type { Clock } from "../core/clock.ts";
import { formatSize } from "../core/units.ts";
import type { MetadataStore } from "../meta/store.ts";
import type { AllNodes, ForeignNode } from "./all-nodes.ts";
import type { NodeDirectory } from "./directory.ts";
import type { Federation } from "./federation.ts";
import { createFreeSpace } from "./free-space.ts";
import type { Peers } from "./peers.ts";

export interface Hosting {
  /** The nodes of all other members as they are now; none has room that was left out lately. */
  view(): Promise<HostingView>;
  /** Answers within a bounded time, whoever does not. */
  ask(request: HostingRequest): Promise<HostingAnswer>;
  /** Why others may take no more chunks of this size, in words: the limits in the way, and what was refused lately. */
  reasons(storedBytes: number): Promise<Reason[]>;
  /** What it has at others, and what it may. */
  own(): Promise<Owner>;
  /** Where limits are nearer than disks. */
  limits(): Promise<Reason[]>;
}

export interface HostingView {
  /**
   * With no more room than the limits leave: what copies take there, and what was reserved. Takes no time, so that it can be asked in the
   * transaction that `used` is from.
   */
  nodes(used: ReadonlyMap<GlobalName, number>): StorageNode[];
  /** So many bytes are to go to these nodes; they count until the reservation is disposed, when they are recorded or given up. */
  reserve(nodes: readonly GlobalName[], storedBytes: number): Disposable;
}

export interface HostingRequest {
  /** On whose behalf. */
  readonly holder: GlobalName;
  readonly wanted: ReadonlyMap<GlobalName, readonly { readonly id: ChunkId; readonly storedBytes: number }[]>;
  readonly signal: AbortSignal;
}

export interface HostingAnswer {
  readonly granted: readonly TicketedNode[];
  readonly refused: readonly GlobalName[];
}

export interface Reason {
  readonly code: ErrorCode;
  readonly limit: string;
  /** What would raise it. */
  readonly raise: string;
}

export interface HostingOptions {
  readonly member: GlobalName;
  readonly metadata: Pick<MetadataStore, "pledge" | "usedAtHosts">;
  readonly directory: Pick<NodeDirectory, "list">;
  readonly allNodes: AllNodes;
  readonly peers: Pick<Peers, "get" | "list">;
  readonly federation: { readonly agent: Pick<Federation["agent"], "record"> } & Pick<Federation, "latencyMs" | "call">;
  readonly giveToGet: number;
  readonly clock: Clock;
}

/** For all hosts side by side. */
const consentMsMax = 2_000;
const leftOutMs = 10_000;
const answerBytesMax = 4 * mebibyte;
/** Of a member that was not spoken to yet. */
const unknownLatencyMs = 100;

export function createHosting(options: HostingOptions): Hosting {
  const { member, metadata, directory, allNodes, peers, federation, giveToGet, clock } = options;
  /** By node, or by member for all its nodes. */
  const leftOut = new Map<GlobalName, { readonly untilMs: number; readonly reason: Reason }>();
  const space = createFreeSpace<ForeignNode>({
    list: allNodes.foreign,
    get: (name) => allNodes.foreign().find((node) => node.name === name),
  });
  const leaveOut = (name: GlobalName, error: CollectiveError): void => {
    const reason = { code: error.code, limit: error.message, raise: error.hint ?? "see: collective federation status" };
    leftOut.set(name, { untilMs: clock.monotonicMs() + leftOutMs, reason });
  };
  const reasonToLeaveOut = (name: GlobalName): Reason | undefined => {
    const known = leftOut.get(name);
    return known && known.untilMs > clock.monotonicMs() ? known.reason : undefined;
  };
  const isOpen = ({ name, peer }: ForeignNode): boolean => !reasonToLeaveOut(name) && !reasonToLeaveOut(peer.member);

  /** By member. */
  const reserved = new Map<GlobalName, number>();
  const reserve = (host: GlobalName, bytes: number): void => void reserved.set(host, (reserved.get(host) ?? 0) + bytes);

  /** What is at a member that is no peer any more is as good as lost, and takes no share. */
  const ownBy = (pledgedBytes: number, used: ReadonlyMap<GlobalName, number>): Owner => ({
    member,
    pledgedBytes,
    capacityBytes: directory.list().reduce((sum, node) => sum + node.capacityBytes, 0),
    usedBytes: peers.list().reduce((sum, peer) => sum + (used.get(peer.member) ?? 0), 0),
  });
  const withReserved = (recorded: ReadonlyMap<GlobalName, number>): ReadonlyMap<GlobalName, number> =>
    new Map(peers.list().map(({ member: host }) => [host, (recorded.get(host) ?? 0) + (reserved.get(host) ?? 0)]));
  const figures = async () => {
    const used = withReserved(await metadata.usedAtHosts());
    return { used, owner: ownBy(await metadata.pledge(), used) };
  };
  const hostOf = (name: GlobalName, used: ReadonlyMap<GlobalName, number>): Host =>
    hostBy(federation.agent.record(name, "pledge"), { host: name, owner: member, ownBytes: used.get(name) ?? 0 });
  /** With the nodes that are up. */
  const lenders = (used: ReadonlyMap<GlobalName, number>): { readonly host: Host; readonly freeBytes: number }[] => {
    const alive = allNodes.foreign().filter((node) => node.state === "alive");
    return [...Map.groupBy(alive, (node) => node.peer.member)]
      .map(([name, nodes]) => ({ host: hostOf(name, used), freeBytes: nodes.reduce((sum, node) => sum + node.freeBytes, 0) }))
      .filter(({ host }) => host.pledgedBytes > 0);
  };

  const askOne = async (host: GlobalName, { holder, wanted, signal }: HostingRequest): Promise<HostingAnswer> => {
    const names = [...wanted.keys()];
    try {
      const nodes = names.map((node) => ({ node, chunks: [...(wanted.get(node) ?? [])] }));
      const limits = { signal, timeoutMs: consentMsMax, answerBytesMax };
      const answer = await federation.call(host, routes.host, { holder, nodes }, limits);
      const authorityPem = peers.get(host)?.authorityPem;
      const granted = answer.nodes.filter(({ node }) => wanted.has(node));
      for (const { node, code, message, hint } of answer.refused)
        if (wanted.has(node)) leaveOut(code === "quota_exceeded" ? host : node, new CollectiveError(code, message, { hint }));
      await allNodes.remember(granted.map(({ node, address, publicKeyRaw }) => ({ name: node, member: host, address, publicKeyRaw })));
      return {
        granted: granted.map(({ node, address, ticket }) => ({ node, address, ticket, authorityPem })),
        refused: names.filter((name) => !granted.some(({ node }) => node === name)),
      };
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const error = toCollectiveError(thrown);
      leaveOut(host, new CollectiveError(error.code, `${host} was asked to keep copies and did not: ${error.message}`));
      return { granted: [], refused: names };
    }
  };

  return {
    view: async () => {
      const pledgedBytes = await metadata.pledge();
      const foreign = space.list();
      return {
        nodes: (recorded) => {
          if (foreign.length === 0) return [];
          const used = withReserved(recorded);
          const othersFreeBytes = shareLeft(ownBy(pledgedBytes, used), giveToGet);
          return foreign.map((node) => ({
            name: node.name,
            member: node.peer.member,
            site: siteOf(node.name),
            state: node.state,
            freeBytes: isOpen(node) ? node.freeBytes : 0,
            latencyMs: federation.latencyMs(node.peer.member) ?? unknownLatencyMs,
            memberFreeBytes: pledgeLeft(hostOf(node.peer.member, used)),
            othersFreeBytes,
          }));
        },
        reserve: (nodes, storedBytes) => {
          space.noteOffer(nodes, storedBytes);
          const hosts = foreign.filter(({ name }) => nodes.includes(name)).map(({ peer }) => peer.member);
          for (const host of hosts) reserve(host, storedBytes);
          return {
            [Symbol.dispose]: () => {
              for (const host of hosts) reserve(host, -storedBytes);
            },
          };
        },
      };
    },
    ask: async ({ holder, wanted, signal }) => {
      const byHost = Map.groupBy([...wanted], ([node]) => allNodes.foreign().find(({ name }) => name === node)?.peer.member);
      const answers = await Promise.all(
        [...byHost].map(async ([host, nodes]) =>
          host === undefined
            ? { granted: [], refused: nodes.map(([node]) => node) }
            : await askOne(host, { holder, wanted: new Map(nodes), signal }),
        ),
      );
      return { granted: answers.flatMap(({ granted }) => granted), refused: answers.flatMap(({ refused }) => refused) };
    },
    reasons: async (storedBytes) => {
      const { used, owner } = await figures();
      const barriers = lenders(used).flatMap(({ host }) => barrierTo(storedBytes, { host, owner, giveToGet }) ?? []);
      const refusals = [...leftOut.keys()].flatMap((name) => reasonToLeaveOut(name) ?? []);
      return distinct([...barriers.map(reasonFor), ...refusals]);
    },
    own: async () => (await figures()).owner,
    limits: async () => {
      const { used, owner } = await figures();
      return limitsOf(lenders(used), owner, giveToGet);
    },
  };
}

/** The own copies there count by the own books, which are the newer ones. */
function hostBy(
  told: RecordBody<"pledge"> | undefined,
  { host, owner, ownBytes }: { readonly host: GlobalName; readonly owner: GlobalName; readonly ownBytes: number },
): Host {
  const others = told?.hosted.filter(({ site }) => site !== siteOf(owner)) ?? [];
  const ownTold = told?.hosted.find(({ site }) => site === siteOf(owner))?.bytes ?? 0;
  const hostedBytes = others.reduce((sum, { bytes }) => sum + bytes, Math.max(ownBytes, ownTold));
  return { member: host, pledgedBytes: told?.pledgedBytes ?? 0, hostedBytes };
}

/** Where a pledge, and not a disk, decides how much more fits. */
function limitsOf(lending: readonly { readonly host: Host; readonly freeBytes: number }[], owner: Owner, giveToGet: number): Reason[] {
  const left = shareLeft(owner, giveToGet);
  const lentBytes = lending.reduce((sum, { host, freeBytes }) => sum + Math.min(freeBytes, pledgeLeft(host)), 0);
  const hosts = lending.flatMap(({ host, freeBytes }) =>
    freeBytes > 0 && pledgeLeft(host) === 0 ? [reasonFor(pledgeBarrier(host, 1))] : [],
  );
  if (lentBytes <= left) return distinct(hosts);
  const more = `${owner.member} could use ${formatSize(lentBytes - left)} more at others if it pledged more: collective federation pledge SIZE`;
  const used = `${formatSize(owner.usedBytes)} used of the ${formatSize(shareOf(owner, giveToGet))} that ${owner.member} may have at others`;
  return distinct([...hosts, { code: "quota_exceeded", limit: used, raise: more }]);
}

function reasonFor({ limit, raise }: Barrier): Reason {
  return { code: "quota_exceeded", limit, raise };
}

function distinct(reasons: readonly Reason[]): Reason[] {
  return [...new Map(reasons.map((reason) => [reason.limit, reason])).values()];
}
