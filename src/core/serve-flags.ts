/**
 * The flags of `serve`, as data: help, completion and the configuration loader read this one table.
 * `--role` and `--config` are not in it, for they decide what the rest means.
 *
 * Every flag has an environment name by one rule (`--cert-validity`, `COLLECTIVE_CERT_VALIDITY`);
 * names that came before the rule stand in front of it and win.
 */
import { logLevels } from "./log.ts";

/** `manual`: whoever others vouch for is trusted by the administrator's decision alone. */
export const trustPolicies = ["introduced", "manual"] as const;
export type TrustPolicy = (typeof trustPolicies)[number];

export const gossipProfileNames = ["lan", "wan"] as const;
export type GossipProfileName = (typeof gossipProfileNames)[number];

export const serveRoles = ["coordinator", "node", "all"] as const;
export type ServeRole = (typeof serveRoles)[number];

export interface ServeFlag {
  /** Without dashes. */
  readonly name: string;
  readonly description: string;
  /** As help shows it; a flag without one has no default. */
  readonly default?: string;
  readonly roles: readonly ServeRole[];
  /** What stands for the value in help; a flag without one is a switch. */
  readonly valueHint?: string;
  readonly values?: readonly string[];
  /** In order of precedence. */
  readonly environment: readonly string[];
}

/** `data-dir` is `COLLECTIVE_DATA_DIR`. */
export function environmentNameOf(flag: string): string {
  return `COLLECTIVE_${flag.toUpperCase().replaceAll("-", "_")}`;
}

function flag(
  name: string,
  roles: readonly ServeRole[],
  options: Omit<ServeFlag, "name" | "roles" | "environment"> & { also?: readonly string[] },
): ServeFlag {
  const { also = [], ...rest } = options;
  return { name, roles, environment: [...also, environmentNameOf(name)], ...rest };
}

const address = "HOST:PORT";
const everyRole: readonly ServeRole[] = serveRoles;
const coordinating: readonly ServeRole[] = ["coordinator", "all"];
const storing: readonly ServeRole[] = ["node", "all"];

export const serveFlags = [
  flag("member", everyRole, {
    description:
      "member that is served, like alice@home.collective.local; alice alone means alice@alice.collective.local; a node that joins by a code has it from there",
    valueHint: "NAME",
    also: ["COLLECTIVE_MEMBER_ID"],
  }),
  flag("address", everyRole, { description: "where to listen", default: ":8001 (coordinator), :7001 (node)", valueHint: address }),
  flag("advertise", everyRole, { description: "address that others are told to use", valueHint: address }),
  flag("data-dir", everyRole, {
    description: "where the data lives",
    default: "$COLLECTIVE_HOME/data/<member>[-<node id>]",
    valueHint: "DIR",
  }),
  flag("metrics-address", everyRole, {
    description: "where to serve metrics and health; off turns it off",
    default: "127.0.0.1:9090",
    valueHint: address,
  }),
  flag("log-level", everyRole, { description: "least important messages to log", default: "info", valueHint: "LEVEL", values: logLevels }),
  flag("log-format", everyRole, { description: "how log lines look", default: "text", valueHint: "FORMAT", values: ["text", "json"] }),
  flag("auto-tls", everyRole, { description: "make, issue and renew certificates automatically", default: "true" }),
  flag("cert-dir", everyRole, { description: "where certificates are kept", default: "inside the data directory", valueHint: "DIR" }),
  flag("bootstrap-address", coordinating, { description: "where invite codes are redeemed", default: ":9001", valueHint: address }),
  flag("cert-validity", coordinating, {
    description: "life of the certificates that are issued, 30s to 397d",
    default: "24h",
    valueHint: "DURATION",
  }),
  flag("trust", coordinating, {
    description: "whether members that a trusted member vouches for are trusted, too",
    default: "introduced",
    valueHint: "POLICY",
    values: trustPolicies,
  }),
  flag("give-to-get", coordinating, {
    description: "how much each member may store at others for each byte that it pledges",
    default: "1",
    valueHint: "RATIO",
  }),
  flag("federation-root", coordinating, {
    description:
      "what collective auth cert --root has made for this member; those that the same root has signed become peers without a code",
    valueHint: "FILE",
  }),
  flag("gossip-profile", coordinating, {
    description: "how fast other members are watched: wan sends fewer messages and has more patience; may differ among members",
    default: "lan",
    valueHint: "PROFILE",
    values: gossipProfileNames,
  }),
  flag("no-context", coordinating, { description: "write no administrator's context into $COLLECTIVE_HOME" }),
  flag("node-id", storing, {
    description: "name of the node inside its member's site",
    default: "node-01 with --role all",
    valueHint: "NAME",
  }),
  flag("coordinator", ["node"], {
    description: "address of the coordinator; a node that joins by a code has it from there",
    valueHint: address,
    also: ["COLLECTIVE_COORDINATOR_ADDRESS"],
  }),
  flag("capacity", storing, {
    description: "how much may be stored",
    default: "what the disk has free",
    valueHint: "SIZE",
    also: ["COLLECTIVE_STORAGE_CAPACITY"],
  }),
  flag("join", storing.slice(0, 1), { description: "invite code; needed on the first start and ignored later", valueHint: "CODE" }),
  flag("enrol-from", storing.slice(0, 1), {
    description: "coordinator's data directory on this machine, in place of a code",
    valueHint: "DIR",
  }),
  flag("node-address", ["all"], { description: "where the node listens", default: ":7001", valueHint: address }),
  flag("node-advertise", ["all"], { description: "address of the node that others are told to use", valueHint: address }),
] as const satisfies readonly ServeFlag[];
