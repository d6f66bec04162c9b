/** zstd, only where it pays: a few samples decide, so incompressible chunks cost next to nothing. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { CollectiveError } from "../../protocol/errors.ts";
import { kibibyte } from "../../protocol/limits.ts";

const sampleBytes = 4 * kibibyte;
const sampleCount = 3;
/** Below this nothing is gained that a disk block would show. */
const compressBytesMin = 128;
/** Compressed by less than this part it is kept as it is, which is faster to read. */
const gainMin = 0.05;
const level = 1;

const options = { params: { [constants.ZSTD_c_compressionLevel]: level } };

/** The compressed form, or undefined when it would not be worthwhile. */
export function compress(plain: Uint8Array): Uint8Array | undefined {
  if (plain.length < compressBytesMin || !looksCompressible(plain)) return undefined;
  const packed = zstdCompressSync(plain, options);
  return packed.length <= plain.length * (1 - gainMin) ? packed : undefined;
}

function looksCompressible(plain: Uint8Array): boolean {
  if (plain.length <= sampleBytes * sampleCount * 2) return true;
  const sample = new Uint8Array(sampleBytes * sampleCount);
  const stride = Math.floor((plain.length - sampleBytes) / (sampleCount - 1));
  for (let i = 0; i < sampleCount; i++) sample.set(plain.subarray(i * stride, i * stride + sampleBytes), i * sampleBytes);
  return zstdCompressSync(sample, options).length < sample.length * (1 - gainMin);
}

/** Exactly `plainBytes` bytes or `corrupt`; never allocates more, whatever the input claims. */
export function decompress(packed: Uint8Array, plainBytes: number): Uint8Array {
  let plain: Uint8Array;
  try {
    plain = zstdDecompressSync(packed, { maxOutputLength: plainBytes });
  } catch (error) {
    throw new CollectiveError("corrupt", "the chunk's payload does not decompress", { cause: error });
  }
  if (plain.length !== plainBytes) throw new CollectiveError("corrupt", `the chunk holds ${plain.length} bytes and promised ${plainBytes}`);
  return plain;
}
