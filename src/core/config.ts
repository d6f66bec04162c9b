/**
 * The configuration of `serve` from a file, the environment and flags: flag > environment > file > default.
 * Pure: the caller reads the file. Relative paths stay as they are, so they start at the working directory.
 *
 * All mistakes are reported at once. A file is checked as a whole, also the sections that this role does
 * not use; of flags and environment only the one that wins counts. A flag that this role does not have is
 * a mistake; an environment variable that it does not have is none, for environments are shared, and an
 * empty one is as good as unset.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import type { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type LocalName, localNameOf, parseGlobalName, parseLocalName } from "../../protocol/ids.ts";
import { type FileConfig, readConfigFile } from "./config-file.ts";
import { configurationError, createReader, type OutsideSources, parseFrom, type Reader, readEnvironment } from "./config-reader.ts";
import {
  defaultBootstrapPort,
  defaultCertValidityMs,
  defaultCoordinatorPort,
  defaultMetricsPort,
  defaultNodePort,
  isAnyHost,
  parseAdvertised,
  parseBoolean,
  parseCapacity,
  parseFormat,
  parseLevel,
  parseListen,
  parseMetrics,
  parseOneOf,
  parseRatio,
  parseTargetText,
  parseText,
  parseValidity,
} from "./config-values.ts";
import type { Mistake } from "./json-file.ts";
import type { LogFormat, LogLevel } from "./log.ts";
import { type GossipProfileName, gossipProfileNames, type ServeRole, serveRoles, type TrustPolicy, trustPolicies } from "./serve-flags.ts";
import { anyHost, type HostPort, oneLine } from "./units.ts";

export { type ServeFlag, type ServeRole, serveFlags, serveRoles, type TrustPolicy } from "./serve-flags.ts";

export interface BootstrapPeer {
  readonly member: GlobalName;
  readonly address: HostPort;
}

export interface CoordinatorConfig {
  readonly address: HostPort;
  readonly bootstrapAddress: HostPort;
  readonly advertise?: string | undefined;
  readonly dataDir: string;
  readonly certValidityMs: number;
  readonly bootstrapPeers: readonly BootstrapPeer[];
  readonly trust: TrustPolicy;
  /** What another member may use here and elsewhere for each byte that it pledges. */
  readonly giveToGet: number;
  /** File with what a federation root has signed for this member. */
  readonly federationRoot?: string | undefined;
  readonly gossipProfile: GossipProfileName;
  /** Whether to write the administrator's context. */
  readonly context: boolean;
}

export interface NodeConfig {
  readonly nodeId: LocalName;
  readonly address: HostPort;
  readonly advertise?: string | undefined;
  readonly coordinatorAddress?: string | undefined;
  /** Undefined is whatever the disk has. */
  readonly capacityBytes: number | undefined;
  readonly dataDir: string;
  /** A secret: an invite code. */
  readonly join?: string | undefined;
  /** Data directory of a coordinator on this machine. */
  readonly enrolFrom?: string | undefined;
}

export interface ServeConfig {
  readonly role: ServeRole;
  /** Undefined for a node that has it from its invite. */
  readonly member: GlobalName | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Undefined when turned off. */
  readonly metricsAddress: HostPort | undefined;
  /** Nobody asked for the address: if it is taken, the process does without. */
  readonly isMetricsAddressDefault: boolean;
  readonly autoTls: boolean;
  readonly certDir?: string | undefined;
  /** Set for the roles coordinator and all. */
  readonly coordinator: CoordinatorConfig | undefined;
  /** Set for the roles node and all. */
  readonly node: NodeConfig | undefined;
}

/** Flags by names in kebab-case; names that are not in `serveFlags` are not looked at. */
export interface ServeSources extends OutsideSources {
  /** One of `serveRoles`; left out, the environment's `COLLECTIVE_ROLE` or the file's `mode` decides. */
  readonly role?: string | undefined;
  readonly configFile?: { readonly path: string; readonly text: string } | undefined;
}

/** `$COLLECTIVE_HOME`, or `~/.collective`. */
export function collectiveHome(environment: Readonly<Record<string, string | undefined>>): string {
  return environment.COLLECTIVE_HOME || join(environment.HOME || homedir(), ".collective");
}

/** Throws one `configuration` whose message tells every mistake; `details.mistakes` lists them as texts. */
export function loadServeConfig(sources: ServeSources): ServeConfig {
  const file = readConfigFile(sources.configFile?.text);
  const mistakes: Mistake[] = [];
  const fail = (): CollectiveError =>
    configurationError({ outside: mistakes, inFile: file.mistakes, path: oneLine(sources.configFile?.path ?? "") });
  const role = readRole(sources, mistakes) ?? file.value.mode;
  if (role === undefined) {
    if (mistakes.length === 0 && !file.mentions("mode"))
      mistakes.push({ key: "role", why: "missing, set --role to coordinator, node or all" });
    throw fail();
  }
  const reader = createReader({ sources, role, mistakes, file });
  reader.refuseFlagsOfOtherRoles();
  const { member, common } = readCommon(reader, file.value);
  const coordinator = role === "node" ? undefined : readCoordinator(reader, file.value);
  const node = role === "coordinator" ? undefined : readNode(reader, file.value);
  if (mistakes.length + file.mistakes.length === 0) mistakes.push(...clashingListeners({ common, coordinator, node }));
  if (mistakes.length + file.mistakes.length > 0) throw fail();

  const dataRoot = join(collectiveHome(sources.environment), "data");
  const owner = member === undefined ? "" : localNameOf(member);
  return {
    role,
    member,
    ...common,
    coordinator: coordinator && { ...coordinator, dataDir: coordinator.dataDir ?? join(dataRoot, owner) },
    node: node && { ...node, dataDir: node.dataDir ?? join(dataRoot, owner === "" ? node.nodeId : `${owner}-${node.nodeId}`) },
  };
}

function readRole(sources: ServeSources, mistakes: Mistake[]): ServeRole | undefined {
  const parse = (text: string): ServeRole => parseOneOf(serveRoles, text);
  if (sources.role !== undefined) return parseFrom("--role", sources.role, parse, mistakes);
  return readEnvironment(sources, ["COLLECTIVE_ROLE"], parse, mistakes);
}

type Common = Pick<ServeConfig, "logLevel" | "logFormat" | "metricsAddress" | "isMetricsAddressDefault" | "autoTls" | "certDir">;
type WithoutDataDir<T> = Omit<T, "dataDir"> & { readonly dataDir: string | undefined };

function readCommon(reader: Reader, file: FileConfig): { member: GlobalName | undefined; common: Common } {
  const member = reader.outside("member", parseGlobalName) ?? file.member_id;
  // A node may learn it by joining, and has it from there later on.
  if (member === undefined && reader.role !== "node") reader.missing("member", "member_id");
  const metrics = firstDefined(reader.outside("metrics-address", parseMetrics), file.metrics_address);
  const metricsAddress = metrics === undefined ? { host: "127.0.0.1", port: defaultMetricsPort } : (metrics ?? undefined);
  const autoTls = reader.outside("auto-tls", parseBoolean) ?? file.auto_tls ?? true;
  const certDir = reader.outside("cert-dir", parseText) ?? file.cert_dir;
  if (!autoTls && certDir === undefined) reader.missing("cert-dir", "cert_dir");
  const logLevel = reader.outside("log-level", parseLevel) ?? file.log_level ?? "info";
  const logFormat = reader.outside("log-format", parseFormat) ?? file.log_format ?? "text";
  return { member, common: { logLevel, logFormat, metricsAddress, isMetricsAddressDefault: metrics === undefined, autoTls, certDir } };
}

/** Like `??`, but null is a value. */
function firstDefined<T>(...values: (T | undefined)[]): T | undefined {
  return values.find((value) => value !== undefined);
}

function readCoordinator(reader: Reader, file: FileConfig): WithoutDataDir<CoordinatorConfig> {
  const section = file.coordinator ?? {};
  const listen = reader.outside("address", parseListen(defaultCoordinatorPort), ["COLLECTIVE_COORDINATOR_ADDRESS"]);
  const bootstrap = reader.outside("bootstrap-address", parseListen(defaultBootstrapPort));
  return {
    address: listen ?? section.address ?? { host: anyHost, port: defaultCoordinatorPort },
    bootstrapAddress: bootstrap ?? section.bootstrap_address ?? { host: anyHost, port: defaultBootstrapPort },
    advertise: reader.outside("advertise", parseAdvertised) ?? section.advertise,
    dataDir: readDataDir(reader, file, "coordinator"),
    certValidityMs: reader.outside("cert-validity", parseValidity) ?? section.cert_validity ?? defaultCertValidityMs,
    bootstrapPeers: (section.bootstrap_peers ?? []).map((peer) => ({ member: peer.member_id, address: peer.address })),
    trust: reader.outside("trust", (text) => parseOneOf(trustPolicies, text)) ?? section.trust ?? "introduced",
    giveToGet: reader.outside("give-to-get", parseRatio) ?? section.give_to_get ?? 1,
    federationRoot: reader.outside("federation-root", parseText) ?? section.federation_root,
    gossipProfile: reader.outside("gossip-profile", (text) => parseOneOf(gossipProfileNames, text)) ?? section.gossip_profile ?? "lan",
    context: !(reader.outside("no-context", parseBoolean) ?? section.no_context ?? false),
  };
}

function readNode(reader: Reader, file: FileConfig): WithoutDataDir<NodeConfig> {
  const section = file.node ?? {};
  const isAll = reader.role === "all";
  const nodeId = reader.outside("node-id", parseLocalName) ?? section.node_id;
  if (nodeId === undefined && !isAll) reader.missing("node-id", "node.node_id");
  const listen = reader.outside(isAll ? "node-address" : "address", parseListen(defaultNodePort), ["COLLECTIVE_NODE_ADDRESS"]);
  const capacity = reader.outside("capacity", parseCapacity) ?? section.storage_capacity;
  const code = isAll ? undefined : (reader.outside("join", parseText) ?? section.join);
  const enrolFrom = isAll ? undefined : (reader.outside("enrol-from", parseText) ?? section.enrol_from);
  if (code !== undefined && enrolFrom !== undefined)
    reader.refuse("--join", "not together with --enrol-from: a node joins either by a code or from a directory");
  return {
    // The default stands for role all; without it the missing id is recorded above and this value is never seen.
    nodeId: nodeId ?? parseLocalName("node-01"),
    address: listen ?? section.address ?? { host: anyHost, port: defaultNodePort },
    advertise: reader.outside(isAll ? "node-advertise" : "advertise", parseAdvertised) ?? section.advertise,
    coordinatorAddress: isAll ? undefined : (reader.outside("coordinator", parseTargetText) ?? section.coordinator_address),
    capacityBytes: capacity,
    dataDir: readDataDir(reader, file, "node"),
    join: code,
    enrolFrom,
  };
}

/** With the role all, one directory that is named for both becomes one for each. */
function readDataDir(reader: Reader, file: FileConfig, section: "coordinator" | "node"): string | undefined {
  const within = (dir: string | undefined) => (dir === undefined || reader.role !== "all" ? dir : join(dir, section));
  return within(reader.outside("data-dir", parseText)) ?? file[section]?.data_dir ?? within(file.data_dir);
}

interface Listening {
  readonly common: Common;
  readonly coordinator: Pick<CoordinatorConfig, "address" | "bootstrapAddress"> | undefined;
  readonly node: Pick<NodeConfig, "address"> | undefined;
}

function clashingListeners({ common, coordinator, node }: Listening): Mistake[] {
  const listeners = [
    { key: "coordinator.address", address: coordinator?.address },
    { key: "coordinator.bootstrap_address", address: coordinator?.bootstrapAddress },
    { key: "node.address", address: node?.address },
    { key: "metrics_address", address: common.metricsAddress },
  ];
  return listeners.flatMap(({ key, address }, index) =>
    listeners.slice(0, index).flatMap((earlier) => {
      if (!address || !earlier.address || address.port === 0 || address.port !== earlier.address.port) return [];
      if (address.host !== earlier.address.host && !isAnyHost(address) && !isAnyHost(earlier.address)) return [];
      return [{ key, why: `port ${address.port} is taken by ${earlier.key} already` }];
    }),
  );
}
