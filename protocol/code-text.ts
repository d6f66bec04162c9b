/**
 * Bytes as a text that people read aloud and type: Crockford's base32 in groups of five, with six check
 * characters at the end. Reading is forgiving where nothing can be confused: case, hyphens and blanks do
 * not matter, O is read as 0, I and L as 1.
 *
 * The check is the BCH code over GF(32) of bech32m (BIP 350). Up to `symbolsMax` characters it finds every
 * mistake in up to three of them, so every mistyped character and every swap of two, and up to 89
 * characters every mistake in four; anything worse slips through once in 2^30.
 */

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const groupLength = 5;
export const checkSymbols = 6;
/** The length of the BCH code; beyond it the promise above no longer holds. */
export const symbolsMax = 1_023;

const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const checkConstant = 0x2bc830a3;

/** Without separators. */
export function encodeCodeText(bytes: Uint8Array): string {
  const data = symbolsOf(bytes);
  const check = polymod([...data, ...new Array<number>(checkSymbols).fill(0)]) ^ checkConstant;
  const checks = Array.from({ length: checkSymbols }, (_, index) => (check >> (5 * (checkSymbols - 1 - index))) & 31);
  return [...data, ...checks].map((symbol) => alphabet[symbol]).join("");
}

/** `ABCDE-FGHJK-…` */
export function groupCodeText(text: string, separator = "-"): string {
  return (text.match(new RegExp(`.{1,${groupLength}}`, "g")) ?? []).join(separator);
}

/** What was typed, without separators and in the characters that count; others stay as they are. */
export function tidyCodeText(text: string): string {
  return text.replace(/[\s-]/g, "").toUpperCase().replace(/O/g, "0").replace(/[IL]/g, "1");
}

/** Undefined for text, as `tidyCodeText` gives it, in which something is mistyped, missing or too much. */
export function decodeCodeText(text: string): Uint8Array | undefined {
  if (text.length <= checkSymbols || text.length > symbolsMax) return undefined;
  const symbols = Array.from(text, (character) => alphabet.indexOf(character));
  if (symbols.includes(-1) || polymod(symbols) !== checkConstant) return undefined;
  return bytesOf(symbols.slice(0, -checkSymbols));
}

function polymod(symbols: readonly number[]): number {
  let check = 1;
  for (const symbol of symbols) {
    const top = check >>> 25;
    check = ((check & 0x1ffffff) << 5) ^ symbol;
    for (const [bit, term] of generator.entries()) if ((top >>> bit) & 1) check ^= term;
  }
  return check;
}

function symbolsOf(bytes: Uint8Array): number[] {
  const symbols: number[] = [];
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) symbols.push((held >> (bits - 5)) & 31);
    held &= (1 << bits) - 1;
  }
  if (bits > 0) symbols.push((held << (5 - bits)) & 31);
  return symbols;
}

/** Undefined unless it is exactly what `symbolsOf` makes: one text for each sequence of bytes. */
function bytesOf(symbols: readonly number[]): Uint8Array | undefined {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const symbol of symbols) {
    held = (held << 5) | symbol;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push(held >> bits);
    held &= (1 << bits) - 1;
  }
  return bits >= 5 || held !== 0 ? undefined : Uint8Array.from(bytes);
}
