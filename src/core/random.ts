/** Randomness comes in through this interface, so that a seed reproduces a run. */
import { randomFillSync } from "node:crypto";

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, maxExclusive). */
  int(maxExclusive: number): number;
  bytes(count: number): Uint8Array;
}

/** Cryptographically secure; the only source for keys, ids and secrets. */
export const systemRandom: Random = {
  next: () => {
    const word = new Uint32Array(1);
    randomFillSync(word);
    return (word[0] ?? 0) / 2 ** 32;
  },
  int: (maxExclusive) => Math.floor(systemRandom.next() * maxExclusive),
  bytes: (count) => randomFillSync(new Uint8Array(count)),
};

/** xoshiro128** by Blackman and Vigna, seeded by splitmix32: fast, reproducible, never for secrets. */
export function createSeededRandom(seed: number): Random {
  let mix = seed >>> 0;
  const word = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  let [a, b, c, d] = [word(), word(), word(), word()];
  const rotate = (x: number, k: number) => ((x << k) | (x >>> (32 - k))) >>> 0;
  const next32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return result;
  };
  const random: Random = {
    next: () => next32() / 2 ** 32,
    int: (maxExclusive) => Math.floor(random.next() * maxExclusive),
    bytes: (count) => {
      const out = new Uint8Array(count);
      for (let i = 0; i < count; i++) out[i] = next32();
      return out;
    },
  };
  return random;
}
