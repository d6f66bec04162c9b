/**
 * The outside of everything that is signed and sent.
 *
 * A signed message is `version 1 | kind | 64 bytes of Ed25519 signature | msgpack body`. The
 * signature is over the ASCII text `collective <kind> v1`, a NUL and the body, so that bytes signed
 * as a receipt can never pass for a ticket. Nothing here signs or verifies: see src/pki/ticket.ts,
 * src/pki/peering.ts and src/gossip/seal.ts.
 */
import { CollectiveError } from "./errors.ts";
import { kibibyte } from "./limits.ts";

const signatureBytes = 64;
export const envelopeHeaderBytes = 2 + signatureBytes;
const envelopeVersion = 1;

/** A kind's number on the wire, append only, and the longest message of that kind. */
const kinds = {
  /** For `chunksPerTicketMax` chunks with the longest names; its base64 fits the headers of HTTP servers. */
  ticket: { number: 1, bytesMax: 6 * kibibyte },
  receipt: { number: 2, bytesMax: 6 * kibibyte },
  alive: { number: 3, bytesMax: 2 * kibibyte },
  suspect: { number: 4, bytesMax: 1 * kibibyte },
  record: { number: 5, bytesMax: 18 * kibibyte },
  presence: { number: 6, bytesMax: 1 * kibibyte },
  peering: { number: 7, bytesMax: 2 * kibibyte },
} as const satisfies Record<string, { readonly number: number; readonly bytesMax: number }>;
export type SignedKind = keyof typeof kinds;

export function signedBytesMax(kind: SignedKind): number {
  return kinds[kind].bytesMax;
}

/** What an envelope says it is; nothing about it is verified. */
export function kindOfEnvelope(bytes: Uint8Array): SignedKind | undefined {
  return kindByNumber.get(bytes[1] ?? 0);
}

const kindByNumber: ReadonlyMap<number, SignedKind> = new Map(
  Object.entries(kinds).map(([kind, { number }]) => [number, kind as SignedKind] as const),
);

/** The bytes that are signed for a body of this kind. */
export function signedInput(kind: SignedKind, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`collective ${kind} v1\0`, "latin1"), body]);
}

export function sealEnvelope(
  kind: SignedKind,
  parts: { readonly signature: Uint8Array; readonly body: Uint8Array },
): Uint8Array<ArrayBuffer> {
  if (parts.signature.length !== signatureBytes) throw new CollectiveError("internal", "a signature has the wrong length");
  const bytes = new Uint8Array(envelopeHeaderBytes + parts.body.length);
  const { number, bytesMax } = kinds[kind];
  if (bytes.length > bytesMax) throw new CollectiveError("too_large", `a ${kind} of ${bytes.length} bytes is more than ${bytesMax}`);
  bytes[0] = envelopeVersion;
  bytes[1] = number;
  bytes.set(parts.signature, 2);
  bytes.set(parts.body, envelopeHeaderBytes);
  return bytes;
}

/** The parts as views; nothing about them is verified. Throws `not_authenticated` for another version or kind. */
export function openEnvelope(kind: SignedKind, bytes: Uint8Array): { readonly signature: Uint8Array; readonly body: Uint8Array } {
  const refuse = (reason: string) => new CollectiveError("not_authenticated", `the ${kind} ${reason}`);
  const { number, bytesMax } = kinds[kind];
  if (bytes.length <= envelopeHeaderBytes) throw refuse("is too short");
  if (bytes.length > bytesMax) throw refuse(`is longer than ${bytesMax} bytes`);
  if (bytes[0] !== envelopeVersion) throw refuse(`has version ${bytes[0]}, this program knows ${envelopeVersion}`);
  if (bytes[1] !== number) throw refuse("is a message of another kind");
  return { signature: bytes.subarray(2, envelopeHeaderBytes), body: bytes.subarray(envelopeHeaderBytes) };
}
