/**
 * What a certificate says in its extensions (RFC 5280), read from its bytes.
 *
 * The text form of a subjectAltName that TLS libraries offer joins values with commas, and one
 * value can be made to look like two. Names are therefore taken from the DER itself.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Site } from "../../protocol/ids.ts";
import { parseSite } from "../../protocol/ids.ts";
import { type DerElement, derTags, readDer, readDerAscii, readDerList, readDerSequence, writeDer } from "./der.ts";

/** Contents of object identifiers, in hexadecimal. */
const oids = {
  subjectKeyIdentifier: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  nameConstraints: "551d1e",
  authorityKeyIdentifier: "551d23",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
} as const;

export const nameConstraintsOid = "2.5.29.30";

/** A critical extension outside this list means something that is not checked here. */
const understood: ReadonlySet<string> = new Set([
  oids.subjectKeyIdentifier,
  oids.keyUsage,
  oids.subjectAltName,
  oids.basicConstraints,
  oids.nameConstraints,
  oids.authorityKeyIdentifier,
  oids.extendedKeyUsage,
]);

/** Context tags of GeneralName. */
const generalName = { dns: 0x82, uri: 0x86 } as const;
/** First byte of the keyUsage bit string. */
const keyCertSignBit = 0x04;

export interface CertificateFields {
  readonly issuerRaw: Uint8Array;
  readonly subjectRaw: Uint8Array;
  readonly spkiRaw: Uint8Array;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** There are subject alternative names that are neither URI nor DNS name. */
  readonly hasOtherNames: boolean;
  readonly isAuthority: boolean;
  /** `undefined` when the extension is missing, which RFC 5280 reads as "any use". */
  readonly mayCertify: boolean | undefined;
  readonly purposes: readonly ("server" | "client" | "other")[] | undefined;
  /** The one site that critical name constraints permit, if they permit exactly one and nothing else. */
  readonly constrainedTo: Site | undefined;
  readonly hasUnknownCritical: boolean;
}

interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** Throws `invalid_argument` for anything that is not a well-formed version 3 certificate. */
export function readCertificateFields(raw: Uint8Array): CertificateFields {
  const parts = readDerSequence(raw);
  const tbs = readDerList(expect(parts[0], derTags.sequence).content);
  expect(tbs[0], 0xa0);
  const extensions = readExtensions(tbs);
  const names = readAlternativeNames(extensions.get(oids.subjectAltName)?.value);
  const keyUsage = extensions.get(oids.keyUsage)?.value;
  return {
    issuerRaw: expect(tbs[3], derTags.sequence).raw,
    subjectRaw: expect(tbs[5], derTags.sequence).raw,
    spkiRaw: expect(tbs[6], derTags.sequence).raw,
    ...names,
    isAuthority: readIsAuthority(extensions.get(oids.basicConstraints)?.value),
    mayCertify: keyUsage === undefined ? undefined : ((readDer(keyUsage, derTags.bitString).content[1] ?? 0) & keyCertSignBit) !== 0,
    purposes: readPurposes(extensions.get(oids.extendedKeyUsage)?.value),
    constrainedTo: readConstrainedSite(extensions.get(oids.nameConstraints)),
    hasUnknownCritical: [...extensions].some(([oid, extension]) => extension.critical && !understood.has(oid)),
  };
}

/** Value of a name constraints extension that permits names below `site` and `collective://<site>/…`, and no other. */
export function encodeNameConstraints(site: Site): Uint8Array {
  const host = Buffer.from(site, "latin1");
  const subtree = (tag: number) => writeDer(derTags.sequence, writeDer(tag, host));
  return writeDer(derTags.sequence, writeDer(0xa0, subtree(generalName.dns), subtree(generalName.uri)));
}

/**
 * Value of a subjectAltName extension. Written here rather than by a library, so that what is
 * issued and what is read back cannot drift apart.
 */
export function encodeAlternativeNames(names: { readonly uri: string; readonly dns: string }): Uint8Array {
  const value = (tag: number, text: string) => writeDer(tag, Buffer.from(text, "latin1"));
  return writeDer(derTags.sequence, value(generalName.uri, names.uri), value(generalName.dns, names.dns));
}

function readExtensions(tbs: readonly DerElement[]): Map<string, Extension> {
  const found = new Map<string, Extension>();
  const wrapper = tbs.slice(7).find((element) => element.tag === 0xa3);
  if (!wrapper) return found;
  for (const element of readDerSequence(wrapper.content)) {
    const fields = readDerList(expect(element, derTags.sequence).content);
    const oid = hex(expect(fields[0], derTags.objectIdentifier).content);
    const critical = fields.length === 3 && expect(fields[1], derTags.boolean).content[0] === 0xff;
    const value = expect(fields.at(-1), derTags.octetString).content;
    if (fields.length > 3 || found.has(oid)) throw malformed("an extension is repeated or has extra fields");
    found.set(oid, { critical, value });
  }
  return found;
}

function readAlternativeNames(value: Uint8Array | undefined): { uris: string[]; dnsNames: string[]; hasOtherNames: boolean } {
  const names = value === undefined ? [] : readDerSequence(value);
  const texts = (tag: number) => names.filter((name) => name.tag === tag).map((name) => readDerAscii(name.content));
  return {
    uris: texts(generalName.uri),
    dnsNames: texts(generalName.dns),
    hasOtherNames: names.some((name) => name.tag !== generalName.uri && name.tag !== generalName.dns),
  };
}

function readIsAuthority(value: Uint8Array | undefined): boolean {
  if (value === undefined) return false;
  const flag = readDerSequence(value)[0];
  return flag?.tag === derTags.boolean && flag.content[0] !== 0;
}

function readPurposes(value: Uint8Array | undefined): ("server" | "client" | "other")[] | undefined {
  if (value === undefined) return undefined;
  return readDerSequence(value).map((element) => {
    const oid = hex(expect(element, derTags.objectIdentifier).content);
    if (oid === oids.serverAuth) return "server";
    return oid === oids.clientAuth ? "client" : "other";
  });
}

function readConstrainedSite(extension: Extension | undefined): Site | undefined {
  if (!extension?.critical) return undefined;
  const lists = readDerSequence(extension.value);
  const permitted = lists[0];
  if (lists.length !== 1 || permitted?.tag !== 0xa0) return undefined;
  const bases = readDerList(permitted.content).map((subtree) => readDerList(expect(subtree, derTags.sequence).content));
  if (bases.length !== 2 || bases.some((base) => base.length !== 1)) return undefined;
  const textOf = (tag: number): string | undefined => {
    const base = bases.find((candidate) => candidate[0]?.tag === tag)?.[0];
    return base === undefined ? undefined : readDerAscii(base.content);
  };
  const dns = textOf(generalName.dns);
  return dns !== undefined && dns === textOf(generalName.uri) ? siteOrUndefined(dns) : undefined;
}

function siteOrUndefined(text: string): Site | undefined {
  try {
    return parseSite(text);
  } catch {
    return undefined;
  }
}

function expect(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag !== tag) throw malformed("a field is missing or of the wrong type");
  return element;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function malformed(reason: string): CollectiveError {
  return new CollectiveError("invalid_argument", `the certificate is malformed: ${reason}`);
}
