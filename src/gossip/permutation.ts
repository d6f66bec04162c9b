/**
 * An order of the numbers below `count` that looks random, computed number by number: a Feistel
 * network over the next even power of two, walked until it lands inside. A round over all members
 * needs no list of them, whatever their number.
 */

const rounds = 4;

export function permuted(index: number, count: number, key: number): number {
  const halfBits = Math.max(1, Math.ceil(Math.log2(Math.max(2, count)) / 2));
  const mask = (1 << halfBits) - 1;
  let value = index;
  // On average fewer than four walks: the domain is less than four times the count, and each walk is a bijection.
  do {
    let left = value >>> halfBits;
    let right = value & mask;
    for (let round = 0; round < rounds; round++) [left, right] = [right, left ^ (mixed(right, key + round) & mask)];
    value = (left << halfBits) | right;
  } while (value >= count);
  return value;
}

function mixed(value: number, key: number): number {
  let hash = Math.imul(value ^ key, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
