/** The configuration file of `serve`: its shape, strict, with every mistake found in it. */
import { z } from "zod";
import { parseGlobalName, parseLocalName } from "../../protocol/ids.ts";
import {
  defaultBootstrapPort,
  defaultCoordinatorPort,
  defaultNodePort,
  parseAdvertised,
  parseCapacity,
  parseFormat,
  parseLevel,
  parseListen,
  parseMetrics,
  parseRatio,
  parseTarget,
  parseTargetText,
  parseText,
  parseValidity,
} from "./config-values.ts";
import { checkJson, type Mistake, parsedText } from "./json-file.ts";
import { gossipProfileNames, serveRoles, trustPolicies } from "./serve-flags.ts";

const bootstrapPeersMax = 1000;

const coordinatorSchema = z.strictObject({
  address: parsedText(parseListen(defaultCoordinatorPort)).optional(),
  bootstrap_address: parsedText(parseListen(defaultBootstrapPort)).optional(),
  advertise: parsedText(parseAdvertised).optional(),
  data_dir: parsedText(parseText).optional(),
  cert_validity: parsedText(parseValidity).optional(),
  trust: z.enum(trustPolicies).optional(),
  /** A number, or one in quotes. */
  give_to_get: z.preprocess((value) => (typeof value === "number" ? String(value) : value), parsedText(parseRatio)).optional(),
  federation_root: parsedText(parseText).optional(),
  gossip_profile: z.enum(gossipProfileNames).optional(),
  no_context: z.boolean().optional(),
  bootstrap_peers: z
    .array(z.strictObject({ member_id: parsedText(parseGlobalName), address: parsedText(parseTarget) }))
    .max(bootstrapPeersMax, `must have at most ${bootstrapPeersMax} entries`)
    .optional(),
});

const nodeSchema = z.strictObject({
  node_id: parsedText(parseLocalName).optional(),
  address: parsedText(parseListen(defaultNodePort)).optional(),
  advertise: parsedText(parseAdvertised).optional(),
  coordinator_address: parsedText(parseTargetText).optional(),
  /** Plain bytes may be a number. */
  storage_capacity: z.preprocess((value) => (typeof value === "number" ? String(value) : value), parsedText(parseCapacity)).optional(),
  data_dir: parsedText(parseText).optional(),
  join: parsedText(parseText).optional(),
  enrol_from: parsedText(parseText).optional(),
});

const fileSchema = z.strictObject({
  mode: z.enum(serveRoles).optional(),
  member_id: parsedText(parseGlobalName).optional(),
  data_dir: parsedText(parseText).optional(),
  metrics_address: parsedText(parseMetrics).optional(),
  log_level: parsedText(parseLevel).optional(),
  log_format: parsedText(parseFormat).optional(),
  auto_tls: z.boolean().optional(),
  cert_dir: parsedText(parseText).optional(),
  coordinator: coordinatorSchema.optional(),
  node: nodeSchema.optional(),
});
export type FileConfig = z.output<typeof fileSchema>;

export interface ReadConfigFile {
  /** When there are mistakes, nothing but the mode, so that the rest can be checked all the same. */
  readonly value: FileConfig;
  readonly mistakes: readonly Mistake[];
  /** Whether the file means to set this key, rightly or wrongly; true for all keys of what is no object. */
  mentions(key: string): boolean;
}

export function readConfigFile(text: string | undefined): ReadConfigFile {
  if (text === undefined) return { value: {}, mistakes: [], mentions: () => false };
  const checked = checkJson(text, fileSchema);
  if (checked.ok) return { value: checked.value, mistakes: repeatedPeers(checked.value), mentions: () => false };
  const { raw, mistakes } = checked;
  const mode = isObject(raw) ? serveRoles.find((role) => role === raw.mode) : undefined;
  return { value: { mode }, mistakes, mentions: (key) => mentioned(raw, key.split(".")) };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mentioned(raw: unknown, path: readonly string[]): boolean {
  const [first, ...rest] = path;
  if (first === undefined || !isObject(raw)) return true;
  return Object.hasOwn(raw, first) && mentioned(raw[first], rest);
}

function repeatedPeers(file: FileConfig): Mistake[] {
  const seen = new Set<string>();
  const mistakes: Mistake[] = [];
  for (const [index, peer] of (file.coordinator?.bootstrap_peers ?? []).entries()) {
    if (seen.has(peer.member_id))
      mistakes.push({ key: `coordinator.bootstrap_peers[${index}].member_id`, why: `${peer.member_id} is in the list already` });
    seen.add(peer.member_id);
  }
  return mistakes;
}
