/** Content that says of itself, byte by byte, whose it is: of which file, at which place, written by which write. */

/** A record says where it belongs, and everything else in it follows from that. */
export const recordBytes = 1_024;
const headerWords = 3;
const wordBytes = 4;

export interface RecordName {
  readonly file: number;
  readonly index: number;
  /** Counts the writes of whoever writes the file. */
  readonly version: number;
}

/** One record for each version, from `index` on. */
export function recordsOf(file: number, index: number, versions: readonly number[]): Buffer {
  const bytes = Buffer.alloc(versions.length * recordBytes);
  for (const [at, version] of versions.entries()) fill(bytes.subarray(at * recordBytes), { file, index: index + at, version });
  return bytes;
}

function fill(into: Buffer, { file, index, version }: RecordName): void {
  let state = (file * 2_654_435_761 + index * 40_503 + version * 69_069) >>> 0 || 1;
  for (const [word, value] of [file, index, version].entries()) into.writeUInt32LE(value, word * wordBytes);
  for (let at = headerWords * wordBytes; at < recordBytes; at += wordBytes) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    into.writeUInt32LE(state >>> 0, at);
  }
}

export interface Content {
  /** Of an empty file 0. */
  readonly file: number;
  /** Of each record. */
  readonly versions: readonly number[];
}

/** Throws with the place of the first byte that nobody has written there. */
export function readRecords(bytes: Buffer): Content {
  if (bytes.length % recordBytes !== 0) throw new Error(`${bytes.length} bytes, which nobody has written`);
  const versions: number[] = [];
  const file = bytes.length === 0 ? 0 : bytes.readUInt32LE(0);
  const expected = Buffer.alloc(recordBytes);
  for (let index = 0; index * recordBytes < bytes.length; index++) {
    const record = bytes.subarray(index * recordBytes, (index + 1) * recordBytes);
    const version = record.readUInt32LE((headerWords - 1) * wordBytes);
    fill(expected, { file, index, version });
    if (!expected.equals(record)) {
      const at = record.findIndex((byte, place) => byte !== expected[place]);
      throw new Error(
        `byte ${index * recordBytes + at} is not what was written to file ${file} there; the record begins ${record.toString("hex", 0, 16)}`,
      );
    }
    versions.push(version);
  }
  return { file, versions };
}
