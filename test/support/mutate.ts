/** Spoils bytes and texts in the ways that find faults in decoders. */
import type { Random } from "../../src/core/random.ts";

/** Numbers that lengths, counts and types like to be wrong by. */
const tellingBytes = [
  0x00, 0x01, 0x7f, 0x80, 0x81, 0x90, 0x9f, 0xa0, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xcb, 0xcf, 0xd3, 0xd6, 0xdb, 0xdd, 0xdf, 0xe0, 0xff,
];

export function mutateBytes(random: Random, original: Uint8Array, other: Uint8Array = original): Uint8Array {
  let bytes = Uint8Array.from(original);
  for (let changes = 1 + random.int(4); changes > 0; changes--) bytes = mutateOnce(random, bytes, other);
  return bytes;
}

function mutateOnce(random: Random, bytes: Uint8Array<ArrayBuffer>, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = random.int(bytes.length + 1);
  switch (random.int(8)) {
    case 0:
      if (bytes.length > 0) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << random.int(8));
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at % bytes.length] = tellingBytes[random.int(tellingBytes.length)] ?? 0;
      return bytes;
    case 2:
      return bytes.slice(0, at);
    case 3:
      return join(bytes.subarray(0, at), random.bytes(1 + random.int(9)), bytes.subarray(at));
    case 4:
      return join(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random.int(9))));
    case 5:
      return join(bytes.subarray(0, at), other.subarray(random.int(other.length + 1)));
    case 6: {
      const value = random.int(2) === 0 ? 2 ** 32 - 1 - random.int(3) : random.int(2 ** 24);
      if (bytes.length >= 4) new DataView(bytes.buffer).setUint32(at % (bytes.length - 3), value);
      return bytes;
    }
    default:
      return random.int(20) === 0 ? new Uint8Array(random.bytes(random.int(200))) : join(bytes, bytes.subarray(0, at));
  }
}

const tellingTexts = [
  "",
  "0",
  "-1",
  "1e999",
  "NaN",
  "null",
  "{",
  "}",
  "[",
  "]",
  '"',
  ",",
  ":",
  "\\",
  "\0",
  "\u2028",
  "\ud800",
  "\ufeff",
  "__proto__",
  "..",
  "//",
  "@",
  "/@",
  "9".repeat(40),
  "💾",
  "\n",
  "99999TB",
];

export function mutateText(random: Random, original: string): string {
  let text = original;
  for (let changes = 1 + random.int(4); changes > 0; changes--) {
    const at = random.int(text.length + 1);
    const to = Math.min(text.length, at + random.int(8));
    const piece =
      random.int(2) === 0
        ? (tellingTexts[random.int(tellingTexts.length)] ?? "")
        : String.fromCharCode(random.int(random.int(2) === 0 ? 128 : 65_536));
    const kind = random.int(5);
    if (kind === 0) text = text.slice(0, at) + piece + text.slice(at);
    else if (kind === 1) text = text.slice(0, at) + piece + text.slice(to);
    else if (kind === 2) text = text.slice(0, at) + text.slice(to);
    else if (kind === 3) text = text.slice(0, at) + text.slice(random.int(text.length + 1));
    else text = text.slice(0, at);
  }
  return text;
}

function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
