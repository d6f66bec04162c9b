/**
 * Looks over a msgpack value before it is decoded. The decoder makes room for whatever an array or a
 * map claims to hold, so that five bytes could ask for gigabytes; here every claim has to be borne
 * out by bytes that are really there, and depth and number of values have a limit.
 *
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */

export const messageDepthMax = 32;
/** The largest message, a commit of `extentsPerCommitMax` extents, has about a third of this. */
export const messageValuesMax = 1 << 20;

/** Why these bytes are not one msgpack value within the limits; undefined when they are. */
export function structureFault(bytes: Uint8Array): string | undefined {
  /** How many values each open array or map still lacks, outermost first. */
  const lacking: number[] = [];
  let values = 0;
  let at = 0;
  do {
    const head = headAt(bytes, at);
    if (head === undefined) return "it breaks off or names an unknown type";
    at += head.bytes;
    if (at > bytes.length || head.values > bytes.length - at) return "it claims more than it holds";
    values++;
    if (values > messageValuesMax) return `it holds more than ${messageValuesMax} values`;
    if (lacking.length > 0) lacking.push((lacking.pop() ?? 0) - 1);
    if (head.values > 0) lacking.push(head.values);
    if (lacking.length > messageDepthMax) return `it is deeper than ${messageDepthMax} levels`;
    while (lacking.at(-1) === 0) lacking.pop();
  } while (lacking.length > 0);
  return at === bytes.length ? undefined : "something follows it";
}

interface Head {
  /** Of the value itself, without what an array or a map holds. */
  readonly bytes: number;
  /** That an array or a map holds. */
  readonly values: number;
}

/** Bytes after the type byte, for types whose length is fixed: 0xc0 to 0xdf. */
const fixedBytes: Readonly<Record<number, number>> = {
  ...{ 192: 0, 194: 0, 195: 0, 202: 4, 203: 8, 204: 1, 205: 2, 206: 4, 207: 8, 208: 1, 209: 2, 210: 4, 211: 8 },
  ...{ 212: 2, 213: 3, 214: 5, 215: 9, 216: 17 },
};
/** Types that say how long they are: size of that number, and what comes on top of it. */
const countedBytes: Readonly<Record<number, { readonly size: 1 | 2 | 4; readonly extra: number; readonly perItem: 0 | 1 | 2 }>> = {
  ...{ 196: counted(1), 197: counted(2), 198: counted(4), 217: counted(1), 218: counted(2), 219: counted(4) },
  ...{ 199: counted(1, 1), 200: counted(2, 1), 201: counted(4, 1) },
  ...{ 220: items(2, 1), 221: items(4, 1), 222: items(2, 2), 223: items(4, 2) },
};

function counted(size: 1 | 2 | 4, extra = 0) {
  return { size, extra, perItem: 0 as const };
}

function items(size: 2 | 4, perItem: 1 | 2) {
  return { size, extra: 0, perItem };
}

const scalar: Head = { bytes: 1, values: 0 };

function headAt(bytes: Uint8Array, at: number): Head | undefined {
  const type = bytes[at];
  if (type === undefined) return undefined;
  if (type < 0x80 || type >= 0xe0) return scalar;
  if (type < 0x90) return { bytes: 1, values: 2 * (type & 0x0f) };
  if (type < 0xa0) return { bytes: 1, values: type & 0x0f };
  if (type < 0xc0) return { bytes: 1 + (type & 0x1f), values: 0 };
  const fixed = fixedBytes[type];
  if (fixed !== undefined) return { bytes: 1 + fixed, values: 0 };
  const known = countedBytes[type];
  if (!known || at + 1 + known.size > bytes.length) return undefined;
  const count = readCount(bytes, at + 1, known.size);
  return known.perItem > 0
    ? { bytes: 1 + known.size, values: count * known.perItem }
    : { bytes: 1 + known.size + known.extra + count, values: 0 };
}

function readCount(bytes: Uint8Array, at: number, size: 1 | 2 | 4): number {
  let count = 0;
  for (let i = 0; i < size; i++) count = count * 256 + (bytes[at + i] ?? 0);
  return count;
}
