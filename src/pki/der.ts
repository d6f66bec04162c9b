/**
 * The few parts of DER (X.690) that certificates need. Reading is strict, so that nothing can mean
 * one thing here and another to the TLS library: definite lengths in their shortest form, no
 * trailing bytes, every element inside its parent. Only `CollectiveError` comes out.
 */
import { CollectiveError } from "../../protocol/errors.ts";

export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
} as const;

/** `content` and `raw` (the whole element, header included) are views into the input. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

/** The one element that `bytes` consist of. */
export function readDer(bytes: Uint8Array, tag: number): DerElement {
  const element = readElement(bytes, 0);
  if (element.raw.length !== bytes.length) throw malformed("trailing bytes");
  if (element.tag !== tag) throw malformed(`tag ${element.tag} where ${tag} belongs`);
  return element;
}

/** The elements that follow each other in `content`. */
export function readDerList(content: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let offset = 0; offset < content.length; ) {
    const element = readElement(content, offset);
    elements.push(element);
    offset += element.raw.length;
  }
  return elements;
}

/** The children of the one SEQUENCE that `bytes` consist of. */
export function readDerSequence(bytes: Uint8Array): DerElement[] {
  return readDerList(readDer(bytes, derTags.sequence).content);
}

/** IA5String without blanks and control characters: a name with a NUL or a line break in it is a trick. */
export function readDerAscii(content: Uint8Array): string {
  for (const byte of content) {
    if (byte < 0x21 || byte > 0x7e) throw malformed("a name contains other than visible ASCII characters");
  }
  return Buffer.from(content).toString("latin1");
}

export function writeDer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  if (content.length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, content.length), content]);
  if (content.length < 0x10000) return Buffer.concat([Buffer.of(tag, 0x82, content.length >> 8, content.length & 0xff), content]);
  throw new CollectiveError("too_large", "a certificate extension has more than 64 KiB");
}

function readElement(bytes: Uint8Array, start: number): DerElement {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined) throw malformed("truncated");
  if ((tag & 0x1f) === 0x1f) throw malformed("a tag of several bytes");
  let length = first;
  let contentStart = start + 2;
  if (first >= 0x80) {
    const lengthBytes = first & 0x7f;
    if (lengthBytes < 1 || lengthBytes > 3) throw malformed("a length that is indefinite or too long");
    length = 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[contentStart + i] ?? 0);
    contentStart += lengthBytes;
    if (length < 0x80 || length < 256 ** (lengthBytes - 1)) throw malformed("a length that is not in its shortest form");
  }
  const end = contentStart + length;
  if (end > bytes.length) throw malformed("truncated");
  return { tag, content: bytes.subarray(contentStart, end), raw: bytes.subarray(start, end) };
}

function malformed(reason: string): CollectiveError {
  return new CollectiveError("invalid_argument", `the certificate is malformed: ${reason}`);
}
