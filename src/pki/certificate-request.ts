/**
 * Whose key a certificate request (PKCS #10, RFC 2986) is for. The process that listens on the network has
 * to know before it lets the authority sign, and the certificate library is not loaded there.
 */
import { createPublicKey, verify } from "node:crypto";
import { CollectiveError } from "../../protocol/errors.ts";
import { csrCharactersMax } from "./authority.ts";
import { derTags, readDerSequence } from "./der.ts";
import { rawFromSpki } from "./keys.ts";

const pemPattern = /^-----BEGIN CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE REQUEST-----\s*$/;

/** The AlgorithmIdentifier of Ed25519 (RFC 8410, section 3). */
const ed25519Algorithm = Buffer.from("300506032b6570", "hex");

/** The raw Ed25519 key, whose holder has signed the request. Throws `invalid_argument`. */
export function requestedKeyOf(csrPem: string): Uint8Array {
  const body = csrPem.length <= csrCharactersMax ? pemPattern.exec(csrPem)?.[1] : undefined;
  if (body === undefined) throw new CollectiveError("invalid_argument", "not a certificate request");
  try {
    const [info, algorithm, signature] = readDerSequence(new Uint8Array(Buffer.from(body, "base64")));
    const [, , spki] = readDerSequence(info?.raw ?? new Uint8Array());
    const raw = spki && rawFromSpki(spki.raw);
    if (!info || !spki || !raw) throw new CollectiveError("invalid_argument", "it is not for an Ed25519 key");
    // The first byte of a bit string counts unused bits.
    const isSigned =
      ed25519Algorithm.equals(algorithm?.raw ?? new Uint8Array()) &&
      signature?.tag === derTags.bitString &&
      signature.content[0] === 0 &&
      verify(null, info.raw, createPublicKey({ key: Buffer.from(spki.raw), format: "der", type: "spki" }), signature.content.subarray(1));
    if (!isSigned) throw new CollectiveError("invalid_argument", "it is not signed with its own key");
    return raw;
  } catch (error) {
    const reason = error instanceof CollectiveError ? error.message : "it does not parse";
    throw new CollectiveError("invalid_argument", `the certificate request cannot be used: ${reason}`, { cause: error });
  }
}
