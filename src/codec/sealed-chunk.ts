/**
 * The stored form of a chunk: header, payload, tag.
 *
 *   0  4  "CCHK"
 *   4  1  format version, 1
 *   5  1  codec: 0 none, 1 zstd
 *   6  1  cipher: 0 none, 1 AES-256-GCM
 *   7  1  0
 *   8  4  plain bytes, big-endian
 *  12  4  payload bytes, big-endian
 *  16 32  synthetic IV (zero without cipher)
 *  48  n  payload, then 16 bytes of GCM tag when encrypted
 *
 * Encryption is convergent inside one datastore and nowhere else, built like SIV (RFC 5297):
 *   siv = HMAC-SHA-256(macKey, header[0..16) || SHA-256(payload before encryption))
 *   key = HMAC-SHA-256(encKey, siv), nonce = 0, additional data = header[0..48)
 * macKey and encKey are derived from the datastore's key. The IV depends on what is really
 * encrypted, compression included, so one key never meets two payloads even when another version
 * of zstd packs the same plaintext differently. Without the datastore's key, equal chunks of two
 * datastores look unrelated and a guessed plaintext cannot be confirmed.
 *
 * A chunk's id is the SHA-256 of all of this. Chunk and datastore key suffice to read it.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdFromBytes } from "../../protocol/ids.ts";
import { chunkHeaderBytes, chunkOverheadBytesMax, kibibyte, largeChunkBytes } from "../../protocol/limits.ts";
import type { ChunkCodec } from "../../protocol/schema.ts";
import { releaseMemory } from "../core/buffers.ts";
import { compress, decompress } from "./compression.ts";
import { type Digest, digest, hashBytes } from "./digest.ts";

const magic = Buffer.from("CCHK");
const formatVersion = 1;
const codecNone = 0;
const codecZstd = 1;
const cipherNone = 0;
const cipherAesGcm = 1;
const tagBytes = 16;
const zeroNonce = new Uint8Array(12);
/** Encrypting and hashing alternate on pieces of this size, while they are in the processor's cache. */
const pieceBytes = 64 * kibibyte;

export interface ChunkKeys {
  readonly mac: Uint8Array;
  readonly encryption: Uint8Array;
}

export function deriveChunkKeys(storeKey: Uint8Array): ChunkKeys {
  const derive = (label: string) => new Uint8Array(hkdfSync("sha256", storeKey, "", `collective chunk ${label} v1`, 32));
  return { mac: derive("mac"), encryption: derive("encryption") };
}

export interface SealedChunk {
  readonly id: ChunkId;
  /** A view into the buffer that was passed in. */
  readonly stored: Uint8Array;
  readonly codec: CodecName;
}

export type CodecName = ChunkCodec;

/** Bytes a buffer must have to seal a chunk of this size into it. */
export function sealedBytesMax(plainBytes: number): number {
  return plainBytes + chunkOverheadBytesMax;
}

/** A chunk on its way: compressed if that pays, and its payload's hash begun. The plaintext must stay as it is until it is sealed. */
export interface PreparedSeal {
  readonly plainBytes: number;
  readonly payload: Uint8Array;
  readonly codec: CodecName;
  /** Undefined without keys: nothing is derived from it then. */
  readonly payloadHash: Digest | undefined;
}

/** Begins to seal. Of large chunks the hash is computed beside the calling thread, which may prepare the next or seal the last meanwhile. */
export function prepareSeal(plain: Uint8Array, keys: ChunkKeys | undefined): PreparedSeal {
  const packed = compress(plain);
  const payload = packed ?? plain;
  return { plainBytes: plain.length, payload, codec: packed ? "zstd" : "none", payloadHash: keys && digest(payload) };
}

export interface SealOptions {
  readonly keys: ChunkKeys | undefined;
  readonly out: Uint8Array;
}

/** Writes the stored form into `out`. Without keys the chunk stays in the clear. */
export async function finishSeal(prepared: PreparedSeal, options: SealOptions): Promise<SealedChunk> {
  return writeStored(prepared, await prepared.payloadHash, options);
}

/** Both steps at once, on the calling thread. */
export function sealChunk(plain: Uint8Array, options: SealOptions): SealedChunk {
  const packed = compress(plain);
  const payload = packed ?? plain;
  const payloadHash = options.keys && hashBytes(payload);
  return writeStored({ plainBytes: plain.length, payload, codec: packed ? "zstd" : "none" }, payloadHash, options);
}

function writeStored(
  { plainBytes, payload, codec }: Omit<PreparedSeal, "payloadHash">,
  payloadHash: Uint8Array | undefined,
  { keys, out }: SealOptions,
): SealedChunk {
  const header = Buffer.from(out.buffer, out.byteOffset, chunkHeaderBytes);
  header.fill(0);
  magic.copy(header);
  header[4] = formatVersion;
  header[5] = codec === "zstd" ? codecZstd : codecNone;
  header[6] = keys ? cipherAesGcm : cipherNone;
  header.writeUInt32BE(plainBytes, 8);
  header.writeUInt32BE(payload.length, 12);
  const hash = new Bun.CryptoHasher("sha256");
  let end = chunkHeaderBytes;
  if (keys && payloadHash) {
    header.set(syntheticIv(keys, header, payloadHash), 16);
    hash.update(header);
    const cipher = createCipheriv("aes-256-gcm", chunkKey(keys, header), zeroNonce);
    cipher.setAAD(header);
    for (let at = 0; at < payload.length; at += pieceBytes) {
      const piece = cipher.update(payload.subarray(at, at + pieceBytes));
      hash.update(piece);
      out.set(piece, end);
      end += piece.length;
      releaseMemory(piece);
    }
    cipher.final();
    const tag = cipher.getAuthTag();
    hash.update(tag);
    out.set(tag, end);
    end += tagBytes;
  } else {
    hash.update(header).update(payload);
    out.set(payload, end);
    end += payload.length;
  }
  return { id: chunkIdFromBytes(hash.digest()), stored: out.subarray(0, end), codec };
}

function syntheticIv(keys: ChunkKeys, header: Uint8Array, payloadHash: Uint8Array): Uint8Array {
  return createHmac("sha256", keys.mac).update(header.subarray(0, 16)).update(payloadHash).digest();
}

function chunkKey(keys: ChunkKeys, header: Uint8Array): Uint8Array {
  return createHmac("sha256", keys.encryption).update(header.subarray(16, chunkHeaderBytes)).digest();
}

export interface ChunkHeader {
  readonly codec: CodecName;
  readonly encrypted: boolean;
  readonly plainBytes: number;
  readonly payloadBytes: number;
}

/** Throws `corrupt` for anything that this version did not write. */
export function readChunkHeader(stored: Uint8Array): ChunkHeader {
  if (stored.length < chunkHeaderBytes) throw new CollectiveError("corrupt", "the chunk is shorter than its header");
  const header = Buffer.from(stored.buffer, stored.byteOffset, chunkHeaderBytes);
  if (!header.subarray(0, 4).equals(magic)) throw new CollectiveError("corrupt", "the chunk does not begin as a chunk does");
  if (header[4] !== formatVersion) {
    throw new CollectiveError("unsupported", `the chunk has format version ${header[4]}, this program reads version ${formatVersion}`, {
      hint: "update the program",
    });
  }
  const [codec, cipher] = [header[5], header[6]];
  if ((codec !== codecNone && codec !== codecZstd) || (cipher !== cipherNone && cipher !== cipherAesGcm) || header[7] !== 0) {
    throw new CollectiveError("corrupt", "the chunk's header names an unknown codec or cipher");
  }
  const plainBytes = header.readUInt32BE(8);
  const payloadBytes = header.readUInt32BE(12);
  const expectedBytes = chunkHeaderBytes + payloadBytes + (cipher === cipherAesGcm ? tagBytes : 0);
  if (plainBytes > largeChunkBytes || payloadBytes > plainBytes || stored.length !== expectedBytes) {
    throw new CollectiveError("corrupt", "the chunk's lengths do not add up");
  }
  return { codec: codec === codecZstd ? "zstd" : "none", encrypted: cipher === cipherAesGcm, plainBytes, payloadBytes };
}

export interface OpenOptions {
  readonly keys: ChunkKeys | undefined;
  /** The plaintext may be written here; must not overlap `stored`. */
  readonly out: Uint8Array;
}

/**
 * The plaintext: a view into `out`, into `stored`, or fresh memory. Throws `corrupt` when the tag, a
 * length or the compression does not fit. The caller has compared the id, or does so itself.
 */
export function openChunk(stored: Uint8Array, { keys, out }: OpenOptions): Uint8Array {
  const header = readChunkHeader(stored);
  if (header.encrypted && !keys)
    throw new CollectiveError("permission_denied", "the chunk is encrypted and the datastore's key is not known");
  const body = stored.subarray(chunkHeaderBytes, chunkHeaderBytes + header.payloadBytes);
  const payload = header.encrypted && keys ? decrypt(stored, { keys, out, payloadBytes: header.payloadBytes }) : body;
  if (header.codec === "zstd") return decompress(payload, header.plainBytes);
  if (payload.length !== header.plainBytes) throw new CollectiveError("corrupt", "the chunk's lengths do not add up");
  return payload;
}

function decrypt(stored: Uint8Array, { keys, out, payloadBytes }: { keys: ChunkKeys; out: Uint8Array; payloadBytes: number }): Uint8Array {
  const header = stored.subarray(0, chunkHeaderBytes);
  const decipher = createDecipheriv("aes-256-gcm", chunkKey(keys, header), zeroNonce);
  decipher.setAAD(header);
  const payloadEnd = chunkHeaderBytes + payloadBytes;
  decipher.setAuthTag(stored.subarray(payloadEnd, payloadEnd + tagBytes));
  for (let at = 0; at < payloadBytes; at += pieceBytes) {
    const from = chunkHeaderBytes + at;
    const piece = decipher.update(stored.subarray(from, Math.min(from + pieceBytes, payloadEnd)));
    out.set(piece, at);
    releaseMemory(piece);
  }
  try {
    decipher.final();
  } catch (error) {
    throw new CollectiveError("corrupt", "the chunk does not decrypt with the datastore's key", { cause: error });
  }
  return out.subarray(0, payloadBytes);
}

/** The id of stored bytes. */
export function hashChunk(stored: Uint8Array): ChunkId {
  return chunkIdFromBytes(hashBytes(stored));
}
