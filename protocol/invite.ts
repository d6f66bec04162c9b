/**
 * Invite codes: all that a joiner needs, in one text. Byte by byte:
 *
 *   version (4 bits) · kind (2 bits) · number of addresses less one (2 bits)
 *   authority    16 bytes, the beginning of the SHA-256 of the authority's public key (SubjectPublicKeyInfo, DER)
 *   secret       16 bytes
 *   addresses    a tag, the host, the port (2 bytes, big-endian). Tag 0: IPv4, 4 bytes. Tag 1: IPv6, 16 bytes.
 *                Any other tag: a name of that many bytes less one
 *
 * 128 bits of the hash are enough: whoever wants to pass for the authority needs another key with the same
 * beginning, a second preimage, which takes 2^128 attempts. Pairs of equal beginnings are found with 2^64,
 * but the member has not chosen its key to be half of one.
 *
 * Every version ends in the same check (code-text.ts), so a code of a newer version is told from a typing mistake.
 */
import { decodeCodeText, encodeCodeText, groupCodeText, symbolsMax, tidyCodeText } from "./code-text.ts";
import { CollectiveError } from "./errors.ts";

/** What an invite is for. The position is the number in the code, so append only. */
export const inviteKinds = ["person", "node", "member"] as const;
export type InviteKind = (typeof inviteKinds)[number];

export interface BootstrapAddress {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface InviteCode {
  readonly kind: InviteKind;
  /** Of the authority's public key, `authorityPinBytes` long. */
  readonly authorityPin: Uint8Array;
  /** `inviteSecretBytes` long. */
  readonly secret: Uint8Array;
  /** In the order to try them, at most `bootstrapAddressesMax`. */
  readonly addresses: readonly BootstrapAddress[];
}

export const inviteUsesMax = 10_000;
export const inviteValidityMsMin = 60_000;
export const inviteValidityMsMax = 366 * 86_400_000;
export const grantsPerInviteMax = 32;
export const inviteDescriptionCharactersMax = 200;
/** Of invites: enough to tell those of one member apart, short enough to type. */
export const inviteIdPattern = /^[0-9a-hjkmnp-tv-z]{8}$/;

const inviteCodeVersion = 1;
export const authorityPinBytes = 16;
export const inviteSecretBytes = 16;
export const bootstrapAddressesMax = 4;

const tagIPv4 = 0;
const tagIPv6 = 1;
const hostNameBytesMax = 253;
const hostNamePattern = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?$/;

/** In groups of five. Throws `invalid_argument` for an address that no code can carry. */
export function formatInviteCode(code: InviteCode): string {
  const { addresses, authorityPin, secret } = code;
  if (addresses.length < 1 || addresses.length > bootstrapAddressesMax)
    throw new CollectiveError("invalid_argument", `an invite code carries 1 to ${bootstrapAddressesMax} addresses`);
  const head = (inviteCodeVersion << 4) | (inviteKinds.indexOf(code.kind) << 2) | (addresses.length - 1);
  const parts = addresses.flatMap(({ host, port }) => [...hostBytes(host), port >> 8, port & 0xff]);
  const text = encodeCodeText(Uint8Array.from([head, ...authorityPin, ...secret, ...parts]));
  if (text.length > symbolsMax) throw new CollectiveError("invalid_argument", "the addresses are too long for an invite code");
  return groupCodeText(text);
}

/** Throws `invalid_argument` for what was mistyped or is no code at all, `unsupported` for a code of a newer version. Its message never quotes the text. */
export function parseInviteCode(text: string): InviteCode {
  if (!looksLikeCode(text)) {
    throw new CollectiveError("invalid_argument", "this is not an invite code", {
      hint: "a code is letters and digits in groups of five, as printed by: collective invite generate",
    });
  }
  const bytes = decodeCodeText(tidyCodeText(text));
  if (!bytes) {
    throw new CollectiveError("invalid_argument", "the invite code was mistyped, or a part of it is missing", {
      hint: "compare it group by group; upper and lower case are the same",
    });
  }
  const version = (bytes[0] ?? 0) >> 4;
  if (version !== inviteCodeVersion) {
    throw new CollectiveError("unsupported", `the invite code is of version ${version}, this program knows ${inviteCodeVersion}`, {
      hint: "install the newer version",
    });
  }
  const code = decode(bytes);
  if (!code) throw new CollectiveError("invalid_argument", "the invite code makes no sense", { hint: "ask for another one" });
  return code;
}

const codeCharactersMin = 20;
const codeCharactersMax = 4_000;

/** Most of it is letters and digits, and long enough for half a code: then somebody meant to type one. */
function looksLikeCode(text: string): boolean {
  if (text.length > codeCharactersMax) return false;
  const typed = text.replace(/[\s-]/g, "");
  const strange = typed.replace(/[a-z0-9]/gi, "").length;
  return typed.length >= codeCharactersMin && strange * 10 <= typed.length;
}

function decode(bytes: Uint8Array): InviteCode | undefined {
  const head = bytes[0] ?? 0;
  const kind = inviteKinds[(head >> 2) & 3];
  const authorityPin = bytes.slice(1, 1 + authorityPinBytes);
  const secret = bytes.slice(1 + authorityPinBytes, 1 + authorityPinBytes + inviteSecretBytes);
  if (kind === undefined || secret.length !== inviteSecretBytes) return undefined;
  const addresses: BootstrapAddress[] = [];
  let at = 1 + authorityPinBytes + inviteSecretBytes;
  for (let left = (head & 3) + 1; left > 0; left--) {
    const tag = bytes[at] ?? 0;
    const hostLength = tag === tagIPv4 ? 4 : tag === tagIPv6 ? 16 : tag - 1;
    const portAt = at + 1 + hostLength;
    const [high, low] = [bytes[portAt], bytes[portAt + 1]];
    const host = hostText(tag, bytes.subarray(at + 1, portAt));
    if (host === undefined || high === undefined || low === undefined) return undefined;
    addresses.push({ host, port: high * 256 + low });
    at = portAt + 2;
  }
  return at === bytes.length ? { kind, authorityPin, secret, addresses } : undefined;
}

const ipv4Pattern = /^\d{1,3}(\.\d{1,3}){3}$/;

function hostBytes(host: string): number[] {
  const refused = () =>
    new CollectiveError("invalid_argument", `${JSON.stringify(host.slice(0, 80))} cannot be an address in an invite code`);
  if (ipv4Pattern.test(host)) {
    const bytes = host.split(".").map(Number);
    if (bytes.some((byte) => byte > 255)) throw refused();
    return [tagIPv4, ...bytes];
  }
  if (host.includes(":")) {
    const bytes = ipv6Bytes(host);
    if (!bytes) throw refused();
    return [tagIPv6, ...bytes];
  }
  if (host.length > hostNameBytesMax || !hostNamePattern.test(host)) throw refused();
  return [host.length + 1, ...Buffer.from(host, "latin1")];
}

/** The parser of addresses in URLs knows every way to write one, and its own writing is the shortest. */
function ipv6Bytes(host: string): number[] | undefined {
  if (!/^[0-9a-f:.]+$/i.test(host) || !URL.canParse(`http://[${host}]`)) return undefined;
  const [before = "", after] = new URL(`http://[${host}]`).hostname.slice(1, -1).split("::");
  const groups = (text: string): number[] => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const [front, back] = [groups(before), groups(after ?? "")];
  const zeros = new Array<number>(8 - front.length - back.length).fill(0);
  return [...front, ...zeros, ...back].flatMap((group) => [group >> 8, group & 0xff]);
}

function hostText(tag: number, bytes: Uint8Array): string | undefined {
  if (tag === tagIPv4) return bytes.join(".");
  if (tag === tagIPv6) {
    const hex = Buffer.from(bytes).toString("hex");
    const groups = hex.match(/.{4}/g) ?? [];
    return groups.length === 8 ? new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1) : undefined;
  }
  const name = Buffer.from(bytes).toString("latin1");
  return hostNamePattern.test(name) ? name : undefined;
}
