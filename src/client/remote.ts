/**
 * A connection to one member, as every face uses it: its coordinator, its nodes, the keys of its
 * stores, and what this process has noticed about nodes that do not answer.
 */
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { type ChunkKeys, deriveChunkKeys } from "../codec/sealed-chunk.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { type ControlClient, type ControlClientOptions, createControlClient } from "../net/control-client.ts";
import { createDataClient, type DataClient } from "../net/data-client.ts";
import type { Credentials } from "../pki/credentials.ts";
import { createNodeLatencies, type NodeLatencies } from "./node-latency.ts";

export interface Remote {
  readonly control: ControlClient;
  readonly data: DataClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Undefined for a store that is not encrypted. Fetched once. */
  keysOf(store: Inode): Promise<ChunkKeys | undefined>;
  /** A node that has just failed is tried last for a while. */
  noteFailure(node: GlobalName): void;
  hasFailedLately(node: GlobalName): boolean;
  failedLately(): GlobalName[];
  readonly latencies: NodeLatencies;
}

export interface RemoteOptions {
  readonly member: GlobalName;
  /** `host:port` of the coordinator. */
  readonly address: string;
  /** Asked at every request, so that renewed certificates are used at once. */
  readonly credentials: () => Credentials;
  /** See `ControlClientOptions.beforeCall`. */
  readonly beforeCall?: () => Promise<void>;
  /** With a coordinator that may well not be there. */
  readonly patience?: Pick<ControlClientOptions, "circuit" | "firstAnswerTimeoutMs">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const failureRememberedMs = 10_000;

export function createRemote(options: RemoteOptions): Remote {
  const { clock, random, log } = options;
  const control = createControlClient({
    address: options.address,
    server: { kind: "coordinator", name: options.member },
    credentials: options.credentials,
    beforeCall: options.beforeCall,
    clock,
    random,
    ...options.patience,
  });
  const keys = new Map<Inode, Promise<ChunkKeys | undefined>>();
  const failedUntilMs = new Map<GlobalName, number>();
  const fetchKeys = async (store: Inode): Promise<ChunkKeys | undefined> => {
    const { key, encrypt } = await control.call(routes.storeKey, { store });
    return encrypt ? deriveChunkKeys(key) : undefined;
  };
  const remote: Remote = {
    control,
    data: createDataClient(options.credentials),
    clock,
    random,
    log,
    keysOf: (store) => {
      const known = keys.get(store);
      if (known) return known;
      const asked = fetchKeys(store);
      keys.set(store, asked);
      asked.catch(() => keys.delete(store));
      return asked;
    },
    noteFailure: (node) => void failedUntilMs.set(node, clock.monotonicMs() + failureRememberedMs),
    hasFailedLately: (node) => (failedUntilMs.get(node) ?? 0) > clock.monotonicMs(),
    latencies: createNodeLatencies(clock),
    failedLately: () => [...failedUntilMs.keys()].filter((node) => remote.hasFailedLately(node)),
  };
  return remote;
}
