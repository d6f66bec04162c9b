/** Identifiers as distinct types: parsed once at the edge, never cast elsewhere. */
import { CollectiveError } from "./errors.ts";

type Brand<T, B extends string> = T & { readonly __brand: B };

/** SHA-256 of a chunk's stored bytes, 64 lower-case hexadecimal digits. */
export type ChunkId = Brand<string, "ChunkId">;
/** Number of an inode inside one member's namespace; the root is 1. */
export type Inode = Brand<number, "Inode">;
/** `home.collective.local`: one member's part of a federation. */
export type Site = Brand<string, "Site">;
/** `name@site`: a member, a node or a person. */
export type GlobalName = Brand<string, "GlobalName">;
/** First component of a `GlobalName`, and the id of a node inside its site: a DNS label. */
export type LocalName = Brand<string, "LocalName">;

export const rootInode = 1 as Inode;

const labelPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const chunkIdPattern = /^[0-9a-f]{64}$/;

/** Names of certificates that no node may take: `coordinator.<site>` is the coordinator's DNS name. */
const reservedNames: ReadonlySet<string> = new Set(["coordinator", "user"]);

export function parseChunkId(text: string): ChunkId {
  if (!chunkIdPattern.test(text)) throw new CollectiveError("invalid_argument", `"${text.slice(0, 80)}" is not a chunk id`);
  return text as ChunkId;
}

export function chunkIdFromBytes(digest: Uint8Array): ChunkId {
  if (digest.length !== 32) throw new CollectiveError("invalid_argument", `a chunk id has 32 bytes, not ${digest.length}`);
  return Buffer.from(digest.buffer, digest.byteOffset, 32).toString("hex") as ChunkId;
}

export function chunkIdToBytes(id: ChunkId): Uint8Array {
  return new Uint8Array(Buffer.from(id, "hex"));
}

export function parseInode(value: number): Inode {
  if (!Number.isSafeInteger(value) || value < 1) throw new CollectiveError("invalid_argument", `${value} is not an inode number`);
  return value as Inode;
}

export function parseSite(text: string): Site {
  const labels = text.split(".");
  if (text.length > 200 || labels.length < 2 || !labels.every((label) => labelPattern.test(label))) {
    throw new CollectiveError("invalid_argument", `"${text}" is not a site`, {
      hint: "a site looks like home.collective.local: lower-case letters, digits and hyphens between dots",
    });
  }
  return text as Site;
}

export function parseLocalName(text: string): LocalName {
  if (!labelPattern.test(text) || reservedNames.has(text)) {
    throw new CollectiveError("invalid_argument", `"${text}" cannot be a name`, {
      hint: "names have 1 to 63 lower-case letters, digits and hyphens; coordinator and user are reserved",
    });
  }
  return text as LocalName;
}

/** Reads `name@site`. A plain `alice` means `alice@alice.collective.local`. */
export function parseGlobalName(text: string): GlobalName {
  const at = text.indexOf("@");
  const name = parseLocalName(at < 0 ? text : text.slice(0, at));
  const site = parseSite(at < 0 ? `${text}.collective.local` : text.slice(at + 1));
  return globalName(name, site);
}

export function globalName(name: LocalName, site: Site): GlobalName {
  return `${name}@${site}` as GlobalName;
}

export function siteOf(name: GlobalName): Site {
  return name.slice(name.indexOf("@") + 1) as Site;
}

export function localNameOf(name: GlobalName): LocalName {
  return name.slice(0, name.indexOf("@")) as LocalName;
}

export const identityKinds = ["coordinator", "node", "user"] as const;
export type IdentityKind = (typeof identityKinds)[number];

/** Who a certificate speaks for. Read from the `collective://` URI SAN and from nothing else. */
export interface Identity {
  readonly kind: IdentityKind;
  readonly name: GlobalName;
}

export function identityUri(identity: Identity): string {
  return `collective://${siteOf(identity.name)}/${identity.kind}/${localNameOf(identity.name)}`;
}

export function parseIdentityUri(uri: string): Identity {
  const parts = /^collective:\/\/([^/]+)\/(coordinator|node|user)\/([^/]+)$/.exec(uri);
  if (!parts) throw new CollectiveError("not_authenticated", `"${uri}" is not a collective identity`);
  return {
    kind: parts[2] as IdentityKind,
    name: globalName(parseLocalName(parts[3] ?? ""), parseSite(parts[1] ?? "")),
  };
}

/** A site has one coordinator, so its name needs no more than the site. */
export function coordinatorDnsName(site: Site): string {
  return `coordinator.${site}`;
}

/** The DNS name under which a peer is verified: by name, never by address. */
export function dnsNameOf(identity: Identity): string {
  const site = siteOf(identity.name);
  if (identity.kind === "coordinator") return coordinatorDnsName(site);
  const name = localNameOf(identity.name);
  return identity.kind === "node" ? `${name}.${site}` : `${name}.user.${site}`;
}
