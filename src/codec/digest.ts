/**
 * SHA-256, beside the calling thread where that pays. Hashing is the larger part of what a chunk
 * costs; on the thread pool it overlaps with encrypting the chunk before and sending the one before
 * that. The pool copies its input: for small ones that costs more than hashing them here, and a
 * reader, which has several large ones in memory already, hashes on its own thread to stay small.
 */

const besideBytesMin = 512 * 1024;

export type Digest = Uint8Array | Promise<Uint8Array>;

export function digest(bytes: Uint8Array): Digest {
  if (bytes.length < besideBytesMin) return hashBytes(bytes);
  return crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>).then((hash) => new Uint8Array(hash));
}

/** On the calling thread. */
export function hashBytes(bytes: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(bytes).digest();
}
