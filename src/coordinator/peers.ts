/**
 * The members that are trusted now: in memory, because gossip asks at every statement. What changes the table calls
 * `refresh`, and whoever depends on it (the trust of the servers, gossip) has heard of it when that resolves.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import type { Peer } from "../meta/people.ts";
import type { MetadataStore } from "../meta/store.ts";
import { coordinatorOf } from "../pki/peering.ts";

export interface TrustedPeer extends Peer {
  /** Raw; it signs the member's statements. */
  readonly publicKeyRaw: Uint8Array;
}

export interface Peers {
  /** By name. */
  list(): readonly TrustedPeer[];
  get(member: GlobalName): TrustedPeer | undefined;
  refresh(): Promise<void>;
  onChange(listener: () => void): Disposable;
}

export async function createPeers(metadata: Pick<MetadataStore, "listPeers">): Promise<Peers> {
  let known = await read(metadata);
  const listeners = new Set<() => void>();
  return {
    list: () => [...known.values()],
    get: (member) => known.get(member),
    refresh: async () => {
      known = await read(metadata);
      for (const listener of listeners) listener();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

async function read(metadata: Pick<MetadataStore, "listPeers">): Promise<ReadonlyMap<GlobalName, TrustedPeer>> {
  const trusted = (await metadata.listPeers()).filter(({ removedMs }) => removedMs === null);
  return new Map(trusted.map((peer) => [peer.member, { ...peer, publicKeyRaw: coordinatorOf(peer.member, peer).publicKeyRaw }]));
}
