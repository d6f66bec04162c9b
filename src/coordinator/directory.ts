/**
 * Which nodes there are and how they are, from their heartbeats. Kept in memory for speed and in the
 * metadata so that a restarted coordinator knows them; the clock that judges silence is monotonic.
 *
 * A name belongs to the key that registered it, until that one has been silent for so long that it is dead:
 * renewed certificates keep their key, so another key is another data directory, which holds other copies.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { nodeDeadAfterMs, nodeSuspectAfterMs } from "../../protocol/limits.ts";
import type { Heartbeat, NodeState, NodeSummary } from "../../protocol/schema.ts";
import { latencyOf, withSample } from "../cluster/latency.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { KnownNode, MetadataStore } from "../meta/store.ts";
import type { Caller } from "../net/control-app.ts";
import type { Revocations } from "./revocations.ts";

export interface NodeDirectory {
  /**
   * Registers the calling node, or renews what is known of it. Known durably (but for a power failure) on return.
   * `conflict` while another node lives under its name.
   */
  record(caller: Pick<Caller, "name" | "publicKeyRaw">, heartbeat: Heartbeat, roundTripMs?: number): Promise<void>;
  /** A node that was revoked counts as dead. */
  list(): NodeSummary[];
  /** Undefined for a node that was revoked, too. */
  get(name: GlobalName): (NodeSummary & { readonly publicKeyRaw: Uint8Array }) | undefined;
  isRevoked(name: GlobalName): boolean;
  /** By its heartbeats; 0 until enough have come. */
  latencyMs(name: GlobalName): number;
  /** Writes what heartbeats have changed. */
  persist(): Promise<void>;
}

interface Entry {
  node: KnownNode;
  seenMonotonicMs: number;
  reported: NodeState;
  readonly roundTripsMs: readonly number[];
}

/** Pure, so that a table can test it. */
export function nodeStateAfter(silenceMs: number): NodeState {
  if (silenceMs >= nodeDeadAfterMs) return "dead";
  return silenceMs >= nodeSuspectAfterMs ? "suspect" : "alive";
}

export interface NodeDirectoryOptions {
  readonly metadata: MetadataStore;
  readonly revocations: Pick<Revocations, "isRevoked">;
  readonly clock: Clock;
  readonly log: Log;
}

export async function createNodeDirectory({ metadata, revocations, clock, log }: NodeDirectoryOptions): Promise<NodeDirectory> {
  // After a restart every known node gets the benefit of the doubt; who is really gone shows within seconds.
  const started = clock.monotonicMs();
  const entries = new Map<GlobalName, Entry>();
  for (const node of await metadata.listNodes())
    entries.set(node.name, { node, seenMonotonicMs: started, reported: "alive", roundTripsMs: [] });

  const isRevoked = ({ node }: Entry): boolean => revocations.isRevoked({ kind: "node", ...node });
  const summary = (entry: Entry) => {
    const state = isRevoked(entry) ? "dead" : nodeStateAfter(clock.monotonicMs() - entry.seenMonotonicMs);
    if (state !== entry.reported) log.warn("node changed state", { node: entry.node.name, from: entry.reported, to: state });
    entry.reported = state;
    return { ...entry.node, state };
  };
  return {
    record: async (caller, heartbeat, roundTripMs) => {
      const known = entries.get(caller.name);
      if (known) assertOwnName(summary(known), caller);
      const node: KnownNode = { ...heartbeat, name: caller.name, publicKeyRaw: caller.publicKeyRaw, lastSeenMs: clock.wallMs() };
      const isNew = !known || known.node.address !== node.address || Buffer.compare(known.node.publicKeyRaw, node.publicKeyRaw) !== 0;
      if (isNew) await metadata.saveNodes([node]);
      if (known?.reported !== "alive") log.info("node is here", { node: caller.name, address: heartbeat.address });
      const before = known?.roundTripsMs ?? [];
      const roundTripsMs = roundTripMs === undefined ? before : withSample(before, roundTripMs);
      entries.set(caller.name, { node, seenMonotonicMs: clock.monotonicMs(), reported: "alive", roundTripsMs });
    },
    list: () => [...entries.values()].map(summary),
    get: (name) => {
      const entry = entries.get(name);
      return entry && !isRevoked(entry) ? summary(entry) : undefined;
    },
    isRevoked: (name) => {
      const entry = entries.get(name);
      return entry !== undefined && isRevoked(entry);
    },
    latencyMs: (name) => latencyOf(entries.get(name)?.roundTripsMs ?? []) ?? 0,
    persist: () => metadata.saveNodes([...entries.values()].map((entry) => entry.node)),
  };
}

function assertOwnName(known: KnownNode & { readonly state: NodeState }, caller: Pick<Caller, "publicKeyRaw">): void {
  if (known.state === "dead" || Buffer.compare(known.publicKeyRaw, caller.publicKeyRaw) === 0) return;
  throw new CollectiveError("conflict", `there is another ${known.name}: it is ${known.state} at ${known.address} and has another key`, {
    hint: "choose another --node-id, or start this one with the data directory it had before; a node that is gone gives its name up when it is dead",
  });
}

export function withLatency<N extends { readonly name: GlobalName }>(
  directory: Pick<NodeDirectory, "latencyMs">,
  nodes: readonly N[],
): (N & { readonly latencyMs: number })[] {
  return nodes.map((node) => ({ ...node, latencyMs: directory.latencyMs(node.name) }));
}

/** Throws `permission_denied` unless the caller is one of the own site's nodes. */
export function requireNode(caller: Caller, site: string): void {
  if (caller.kind === "node" && siteOf(caller.name) === site) return;
  throw new CollectiveError("permission_denied", `only nodes of ${site} may do this, not the ${caller.kind} ${caller.name}`);
}
