/**
 * A persistent map from names to values, which is also a Merkle tree: a trie over the hash of the key
 * with 16 children a branch, where each part knows how many entries it holds and the exclusive or of
 * their digests.
 *
 * That one structure gives the pure step function what it needs: a changed map shares all but a few
 * branches with the one before; `entryAt` picks by number in a few steps; two members compare
 * fingerprints part by part and so find what differs without listing what does not.
 *
 * Invariant: digest and count depend on the entries alone, not on the order in which they came.
 */

export interface Digest {
  readonly high: number;
  readonly low: number;
}

/** What is kept in a map: it says itself what it is called, and its digest says what it is. */
export interface Keyed {
  readonly key: string;
  /** Where it is kept: `slotOf(key)`. */
  readonly slot: Slot;
  readonly digest: Digest;
}

export type Place = Pick<Keyed, "key" | "slot">;

export interface Trie<V extends Keyed> {
  readonly count: number;
  readonly digest: Digest;
  /** Either entries or 16 children. */
  readonly entries: readonly V[];
  readonly children: readonly Trie<V>[] | undefined;
}

/**
 * The path of a key in hexadecimal digits: 32 bits of hash of its owner, which is all up to the first
 * space, then 32 bits of hash of the rest. So nobody can crowd the place where another's records are:
 * keys that are chosen to collide do so among those of the one who chose them.
 */
export interface Slot {
  readonly owner: number;
  readonly rest: number;
}

/** A part with more entries is divided, unless the path has no digits left. */
export const partEntriesMax = 32;
export const pathDigitsMax = 16;

export const zeroDigest: Digest = { high: 0, low: 0 };
const empty: Trie<never> = { count: 0, digest: zeroDigest, entries: [], children: undefined };

export function emptyTrie<V extends Keyed>(): Trie<V> {
  return empty;
}

export function sameDigest(a: Digest, b: Digest): boolean {
  return a.high === b.high && a.low === b.low;
}

export function lookUp<V extends Keyed>(trie: Trie<V>, key: string): V | undefined {
  return trie.count === 0 ? undefined : counterpartOf(trie, { key, slot: slotOf(key) });
}

/** What is kept under the same key, looked for in its place at once. */
export function counterpartOf<V extends Keyed>(trie: Trie<V>, place: Place): V | undefined {
  let node = trie;
  for (let depth = 0; node.children; depth++) node = node.children[digitAt(place.slot, depth)] ?? empty;
  return node.entries[indexIn(node, place)];
}

export function withEntry<V extends Keyed>(trie: Trie<V>, entry: V): Trie<V> {
  return insert(trie, entry, 0);
}

export function withoutKey<V extends Keyed>(trie: Trie<V>, key: string): Trie<V> {
  return trie.count === 0 ? trie : remove(trie, { key, slot: slotOf(key) }, 0);
}

/** The entry of a number from 0 to `count - 1`. Numbers shift when the map changes. */
export function entryAt<V extends Keyed>(trie: Trie<V>, index: number): V | undefined {
  if (!trie.children) return trie.entries[index];
  let before = 0;
  for (const child of trie.children) {
    if (index < before + child.count) return entryAt(child, index - before);
    before += child.count;
  }
  return undefined;
}

export function* entriesOf<V extends Keyed>(trie: Trie<V>): Generator<V> {
  const open = [trie];
  for (let node = open.pop(); node; node = open.pop()) {
    yield* node.entries;
    if (node.children) open.push(...node.children.toReversed());
  }
}

/** Without the entries that are not to be kept. */
export function kept<V extends Keyed>(trie: Trie<V>, isKept: (entry: V) => boolean): Trie<V> {
  if (!trie.children) return bucketOf(trie.entries.filter(isKept));
  const children = trie.children.map((child) => kept(child, isKept));
  const count = children.reduce((sum, child) => sum + child.count, 0);
  return count === 0 ? empty : { count, digest: children.map((child) => child.digest).reduce(combine), entries: empty.entries, children };
}

/** The part whose keys' hashes start with these hexadecimal digits. */
export function partAt<V extends Keyed>(trie: Trie<V>, path: string): Trie<V> {
  let node = trie;
  for (let depth = 0; depth < path.length; depth++) {
    const digit = Number.parseInt(path.charAt(depth), 16);
    node = node.children ? (node.children[digit] ?? empty) : bucketOf(node.entries.filter((entry) => digitAt(entry.slot, depth) === digit));
  }
  return node;
}

/** Where all is whose keys begin with this owner. */
export function pathOf(owner: string): string {
  return slotOf(owner).owner.toString(16).padStart(8, "0");
}

export function slotOf(key: string): Slot {
  const space = key.indexOf(" ");
  const ownerEnd = space < 0 ? key.length : space;
  return { owner: hashOf(key, 0, ownerEnd), rest: hashOf(key, ownerEnd, key.length) };
}

/** Of the owner alone, who has a key without a space. */
export function ownerSlot({ owner }: Slot): Slot {
  return { owner, rest: noRest };
}

/** FNV-1a with the finalizer of MurmurHash3. */
function hashOf(text: string, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const noRest = hashOf("", 0, 0);

function digitAt({ owner, rest }: Slot, depth: number): number {
  return depth < 8 ? (owner >>> (28 - 4 * depth)) & 0xf : (rest >>> (60 - 4 * depth)) & 0xf;
}

function combine(a: Digest, b: Digest): Digest {
  if (b === zeroDigest) return a;
  return { high: (a.high ^ b.high) >>> 0, low: (a.low ^ b.low) >>> 0 };
}

function bucketOf<V extends Keyed>(entries: readonly V[]): Trie<V> {
  if (entries.length === 0) return empty;
  return { count: entries.length, digest: digestOf(entries), entries, children: undefined };
}

function digestOf(entries: readonly Keyed[]): Digest {
  let [high, low] = [0, 0];
  for (const { digest } of entries) {
    high ^= digest.high;
    low ^= digest.low;
  }
  return { high: high >>> 0, low: low >>> 0 };
}

function insert<V extends Keyed>(node: Trie<V>, entry: V, depth: number): Trie<V> {
  if (node.children) return withChild(node, digitAt(entry.slot, depth), (child) => insert(child, entry, depth + 1));
  const at = indexIn(node, entry);
  const before = node.entries[at];
  const entries = before ? node.entries.with(at, entry) : [...node.entries, entry];
  if (entries.length > partEntriesMax && depth < pathDigitsMax) return split(entries, depth);
  const others = before ? combine(node.digest, before.digest) : node.digest;
  return { count: entries.length, digest: combine(others, entry.digest), entries, children: undefined };
}

/** Of an entry with this key, or -1. Numbers are compared first, which is much faster than names that begin alike. */
function indexIn({ entries }: Trie<Keyed>, { key, slot }: Place): number {
  for (let index = 0; index < entries.length; index++) {
    const entry = entries[index];
    if (entry?.slot.owner === slot.owner && entry.slot.rest === slot.rest && entry.key === key) return index;
  }
  return -1;
}

function split<V extends Keyed>(entries: readonly V[], depth: number): Trie<V> {
  const children: Trie<V>[] = Array.from({ length: 16 }, () => empty);
  for (const entry of entries) {
    const digit = digitAt(entry.slot, depth);
    children[digit] = insert(children[digit] ?? empty, entry, depth + 1);
  }
  return { count: entries.length, digest: digestOf(entries), entries: empty.entries, children };
}

function remove<V extends Keyed>(node: Trie<V>, place: Place, depth: number): Trie<V> {
  if (node.children) return withChild(node, digitAt(place.slot, depth), (child) => remove(child, place, depth + 1));
  const at = indexIn(node, place);
  const entry = node.entries[at];
  if (!entry) return node;
  if (node.count === 1) return empty;
  return { count: node.count - 1, digest: combine(node.digest, entry.digest), entries: node.entries.toSpliced(at, 1), children: undefined };
}

function withChild<V extends Keyed>(node: Trie<V>, digit: number, change: (child: Trie<V>) => Trie<V>): Trie<V> {
  const before = node.children?.[digit] ?? empty;
  const after = change(before);
  if (after === before || !node.children) return node;
  return {
    count: node.count - before.count + after.count,
    digest: combine(combine(node.digest, before.digest), after.digest),
    entries: empty.entries,
    children: node.children.with(digit, after),
  };
}
