/**
 * Nodes by their names, whosever they are: the own ones, and those of other members that keep copies for this one. What is the
 * same for both stands here; that another member's node is another's shows in the authority that certifies it.
 *
 * A node of another member is as well as that member's coordinator says it is, and no better than gossip finds that one:
 * nobody else here speaks with its nodes.
 */
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { nodeDeadAfterMs } from "../../protocol/limits.ts";
import type { NodeState, NodeSummary } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import type { HostNode, MetadataStore } from "../meta/store.ts";
import type { NodeDirectory } from "./directory.ts";
import type { Federation } from "./federation.ts";
import type { Peers, TrustedPeer } from "./peers.ts";

export interface KnownAnywhere {
  readonly name: GlobalName;
  readonly address: string;
  readonly state: NodeState;
  readonly publicKeyRaw: Uint8Array;
  /** Of a node of another member: the authority of that one's site. */
  readonly authorityPem?: string;
}

/** A node of another member that is trusted. */
export interface ForeignNode {
  readonly name: GlobalName;
  readonly peer: TrustedPeer;
  readonly address: string;
  readonly state: NodeState;
  readonly freeBytes: number;
  /** When its figures were told. */
  readonly lastSeenMs: number;
}

export interface AllNodes {
  /** Undefined for a node that was revoked, or whose member is no peer any more. */
  get(name: GlobalName): KnownAnywhere | undefined;
  /** Whether what it signed counts for nothing now. */
  isRevoked(name: GlobalName): boolean;
  /** Whose copies do not count. */
  dead(): GlobalName[];
  /** Of all peers: those that they tell of, and those that keep copies. */
  foreign(): ForeignNode[];
  /** Keys and addresses, as a host has told them. Known durably (but for a power failure) on return. */
  remember(nodes: readonly HostNode[]): Promise<void>;
}

export interface AllNodesOptions {
  readonly metadata: Pick<MetadataStore, "listHostNodes" | "saveHostNodes">;
  readonly directory: Pick<NodeDirectory, "list" | "get" | "isRevoked">;
  readonly peers: Pick<Peers, "list">;
  readonly federation: { readonly agent: Pick<Federation["agent"], "record"> } & Pick<Federation, "states">;
  readonly clock: Clock;
}

type Told = Pick<NodeSummary, "name" | "address" | "state" | "freeBytes">;

export async function createAllNodes(options: AllNodesOptions): Promise<AllNodes> {
  const { metadata, directory, peers, federation, clock } = options;
  const startedMs = clock.monotonicMs();
  const hosts = new Map<GlobalName, HostNode>((await metadata.listHostNodes()).map((node) => [node.name, node]));
  /** What was told of a node, and since when it is that. */
  const figures = new Map<GlobalName, { readonly freeBytes: number; readonly sinceMs: number }>();

  const figuresOf = ({ name, freeBytes }: Told): { freeBytes: number; lastSeenMs: number } => {
    const known = figures.get(name);
    const current = known?.freeBytes === freeBytes ? known : { freeBytes, sinceMs: clock.monotonicMs() };
    figures.set(name, current);
    return { freeBytes, lastSeenMs: current.sinceMs };
  };
  const foreignOf = (peer: TrustedPeer, opinion: NodeState): ForeignNode[] => {
    const told = federation.agent.record(peer.member, "nodes")?.nodes.filter(({ name }) => siteOf(name) === siteOf(peer.member)) ?? [];
    const names = new Set(told.map(({ name }) => name));
    const silent = [...hosts.values()].filter(({ name, member }) => member === peer.member && !names.has(name));
    return [
      ...told.map((node) => ({ ...node, peer, state: worseOf(opinion, node.state), ...figuresOf(node) })),
      ...silent.map(({ name, address }) => ({ name, address, peer, state: worseOf(opinion, "suspect"), freeBytes: 0, lastSeenMs: 0 })),
    ];
  };
  /** After a start nobody has been reached yet; who is really gone shows within seconds. */
  const opinions = (): ((member: GlobalName) => NodeState) => {
    const states = federation.states();
    const unknown = clock.monotonicMs() - startedMs < nodeDeadAfterMs ? "suspect" : "dead";
    const ofState = { alive: "alive", suspect: "suspect", dead: "dead", left: "dead", unknown } as const;
    return (member) => ofState[states.get(member) ?? "unknown"];
  };
  const foreign = (): ForeignNode[] => {
    const opinionOf = opinions();
    return peers.list().flatMap((peer) => foreignOf(peer, opinionOf(peer.member)));
  };
  const peerAt = (site: Site): TrustedPeer | undefined => peers.list().find(({ member }) => siteOf(member) === site);
  return {
    get: (name) => {
      const own = directory.get(name);
      if (own) return own;
      const host = hosts.get(name);
      const peer = host && peerAt(siteOf(name));
      if (!host || !peer) return undefined;
      const now = foreignOf(peer, opinions()(peer.member)).find((node) => node.name === name);
      return { ...host, address: now?.address ?? host.address, state: now?.state ?? "dead", authorityPem: peer.authorityPem };
    },
    isRevoked: (name) => directory.isRevoked(name) || (hosts.has(name) && peerAt(siteOf(name)) === undefined),
    dead: () => {
      const own = directory.list().flatMap(({ name, state }) => (state === "dead" ? [name] : []));
      if (hosts.size === 0) return own;
      const there = new Map(foreign().map(({ name, state }) => [name, state]));
      return [...own, ...[...hosts.keys()].filter((name) => (there.get(name) ?? "dead") === "dead")];
    },
    foreign,
    remember: async (nodes) => {
      const fresh = nodes.filter((node) => {
        const known = hosts.get(node.name);
        return !known || known.address !== node.address || Buffer.compare(known.publicKeyRaw, node.publicKeyRaw) !== 0;
      });
      if (fresh.length === 0) return;
      await metadata.saveHostNodes(fresh);
      for (const node of fresh) hosts.set(node.name, node);
    },
  };
}

const badness: Readonly<Record<NodeState, number>> = { alive: 0, draining: 1, suspect: 2, dead: 3 };

function worseOf(one: NodeState, other: NodeState): NodeState {
  return badness[one] >= badness[other] ? one : other;
}
