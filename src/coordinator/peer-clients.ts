/**
 * Carries gossip to other members' coordinators: one pooled connection for each address, verified by the member's name.
 * A member may have several addresses. The one that answered last is remembered beyond a restart; the one that failed least is tried
 * first, so that an address which swallows what is sent to it does not take the time of the others.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { gossipMessageBytesMax } from "../../protocol/gossip.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { kibibyte } from "../../protocol/limits.ts";
import { type Route, type RouteInput, type RouteOutput, routes } from "../../protocol/routes.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { GossipTransport } from "../gossip/agent.ts";
import type { MetadataStore } from "../meta/store.ts";
import { type CallOptions, type ControlClient, createControlClient } from "../net/control-client.ts";
import type { Credentials } from "../pki/credentials.ts";
import type { Peers, TrustedPeer } from "./peers.ts";

export interface PeerClients extends GossipTransport {
  /** Of a message and its answer, smoothed; undefined before the first. */
  latencyMs(member: GlobalName): number | undefined;
  /** Asks a peer's coordinator once, where it answered last. Throws as `ControlClient.call`, and `permission_denied` for one that is no peer. */
  call<R extends Route>(member: GlobalName, route: R, input: RouteInput<R>, options: CallOptions): Promise<RouteOutput<R>>;
  /** A further address of a member, whether it is a peer already or not. */
  hint(member: GlobalName, address: string): void;
  /** Closes what leads to a member that is no peer any more. */
  forget(member: GlobalName): void;
}

export interface PeerClientsOptions {
  readonly peers: Peers;
  readonly metadata: Pick<MetadataStore, "updatePeer">;
  readonly credentials: () => Credentials;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Connection {
  readonly clients: Map<string, ControlClient>;
  /** How often each address has failed since it answered last. */
  readonly failures: Map<string, number>;
  latencyMs: number | undefined;
}

/** Of calls; gossip has its own way of finding out who is there, and never waits for it. */
const circuit = { failuresMax: 3, firstPauseMs: 1_000, pauseMsMax: 30_000 };
/** Gossip tries again by itself. */
const retryPolicy = { attemptsMax: 1, firstDelayMs: 0, delayMsMax: 0 };
const answerBytesMax = gossipMessageBytesMax + kibibyte;
/** How much of the latency that is shown is the last one measured. */
const newestShare = 0.2;

export function createPeerClients({ peers, metadata, credentials, clock, random, log }: PeerClientsOptions): PeerClients {
  const connections = new Map<GlobalName, Connection>();
  const peerOf = (member: GlobalName): TrustedPeer => {
    const peer = peers.get(member);
    if (!peer) throw new CollectiveError("permission_denied", `${member} is no peer`);
    return peer;
  };
  const hints = new Map<GlobalName, string>();
  const connectionTo = (member: GlobalName): Connection => {
    const known = connections.get(member) ?? { clients: new Map(), failures: new Map(), latencyMs: undefined };
    connections.set(member, known);
    return known;
  };
  const clientAt = (member: GlobalName, address: string): ControlClient => {
    const { clients } = connectionTo(member);
    const server = { kind: "coordinator", name: member } as const;
    const client = clients.get(address) ?? createControlClient({ address, server, credentials, clock, random, retryPolicy, circuit });
    clients.set(address, client);
    return client;
  };
  const remember = async (member: GlobalName, address: string): Promise<void> => {
    try {
      await metadata.updatePeer(member, { address });
      await peers.refresh();
    } catch (error) {
      log.warn("a peer's address was not kept", { member, address, reason: toCollectiveError(error).message });
    }
  };
  return {
    send: async ({ to, addresses, bytes, signal }) => {
      const peer = peerOf(to);
      let failure: unknown;
      const { failures } = connectionTo(to);
      const hint = hints.get(to);
      const places = new Set([peer.address, ...(hint === undefined ? [] : [hint]), ...addresses]);
      for (const old of failures.keys()) if (!places.has(old)) failures.delete(old);
      for (const address of [...places].sort((a, b) => (failures.get(a) ?? 0) - (failures.get(b) ?? 0))) {
        const startedMs = clock.monotonicMs();
        try {
          const { message } = await clientAt(to, address).call(routes.gossip, { message: bytes }, { signal, answerBytesMax, probe: true });
          const tookMs = clock.monotonicMs() - startedMs;
          const connection = connectionTo(to);
          connection.latencyMs = tookMs * newestShare + (connection.latencyMs ?? tookMs) * (1 - newestShare);
          failures.delete(address);
          if (address !== peer.address) void remember(to, address);
          return message;
        } catch (error) {
          failure ??= error;
          failures.set(address, (failures.get(address) ?? 0) + 1);
          if (signal.aborted) break;
        }
      }
      throw failure;
    },
    call: async (member, route, input, options) => await clientAt(member, peerOf(member).address).call(route, input, options),
    latencyMs: (member) => connections.get(member)?.latencyMs,
    hint: (member, address) => void hints.set(member, address),
    forget: (member) => void connections.delete(member),
  };
}
