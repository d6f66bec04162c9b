import { describe, expect, test } from "bun:test";
import { encodeCodeText, tidyCodeText } from "../../protocol/code-text.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { formatInviteCode, type InviteCode, parseInviteCode } from "../../protocol/invite.ts";
import { createSeededRandom } from "../../src/core/random.ts";

const random = createSeededRandom(7);
const code: InviteCode = {
  kind: "person",
  authorityPin: random.bytes(16),
  secret: random.bytes(16),
  addresses: [{ host: "192.168.1.5", port: 9001 }],
};
const text = formatInviteCode(code);
const bare = text.replaceAll("-", "");

/** `invalid_argument: …`, or `read` for text that passes for a code. */
function verdict(typed: string): string {
  try {
    parseInviteCode(typed);
    return "read";
  } catch (error) {
    if (!(error instanceof CollectiveError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

const mistyped = "invalid_argument: the invite code was mistyped, or a part of it is missing";

test("a code with one IPv4 address has 70 characters, in groups of five that nobody confuses", () => {
  expect(bare).toHaveLength(70);
  expect(text).toMatch(/^([0-9A-HJKMNP-TV-Z]{5}-){13}[0-9A-HJKMNP-TV-Z]{5}$/);
});

test.each<readonly [string, InviteCode["addresses"]]>([
  ["an IPv4 address", [{ host: "0.0.0.1", port: 1 }]],
  ["an IPv6 address", [{ host: "fd00::5", port: 65_535 }]],
  ["an IPv6 address without a gap", [{ host: "1:2:3:4:5:6:7:8", port: 9001 }]],
  ["an IPv6 address of zeros", [{ host: "::", port: 9001 }]],
  ["a name", [{ host: "nas.home", port: 9001 }]],
  [
    "a short and a long name",
    [
      { host: "a", port: 9001 },
      { host: "x".repeat(60).concat(".example.org"), port: 443 },
    ],
  ],
  ["four addresses", ["10.0.0.1", "fd00::1", "nas", "nas.example.org"].map((host) => ({ host, port: 9001 }))],
])("%s comes back as it went in", (_, addresses) => {
  for (const kind of ["person", "node", "member"] as const) {
    const given = { ...code, kind, addresses };
    expect(parseInviteCode(formatInviteCode(given))).toEqual(given);
  }
});

test("addresses that no code can carry are refused when it is made", () => {
  for (const host of ["", "a b", "ÄÖ.example", "x".repeat(254), "300.1.1.1", "fe80::1%eth0", "a/b", "1::2::3"])
    expect(() => formatInviteCode({ ...code, addresses: [{ host, port: 1 }] })).toThrow(CollectiveError);
  expect(() => formatInviteCode({ ...code, addresses: [] })).toThrow("1 to 4 addresses");
  const long = Array.from({ length: 4 }, () => ({ host: "x".repeat(253), port: 1 }));
  expect(() => formatInviteCode({ ...code, addresses: long })).toThrow("too long");
});

test("case, blanks, hyphens and letters that look like digits do not matter", () => {
  const spoken = bare.toLowerCase().replaceAll("0", "o").replaceAll("1", "l");
  for (const typed of [
    bare,
    text.toLowerCase(),
    text.replaceAll("-", " "),
    ` ${text}\n`,
    spoken,
    bare.replaceAll("1", "I"),
    text.replaceAll("-", "\n"),
  ])
    expect(parseInviteCode(typed)).toEqual(code);
});

describe("a mistake is found:", () => {
  const longText = formatInviteCode({ ...code, addresses: [{ host: `${"n".repeat(200)}.example.org`, port: 9001 }] }).replaceAll("-", "");

  test("every single character, whatever it was taken for", () => {
    for (const right of [bare, longText]) {
      for (let at = 0; at < right.length; at++) {
        for (const wrong of "0123456789ABCDEFGHJKMNPQRSTVWXYZU$") {
          const typed = right.slice(0, at) + wrong + right.slice(at + 1);
          if (typed !== right && verdict(typed) !== mistyped) throw new Error(`${typed} passes at ${at}`);
        }
      }
    }
  });

  test("every swap of neighbours", () => {
    for (const right of [bare, longText]) {
      for (let at = 0; at + 1 < right.length; at++) {
        const typed = right.slice(0, at) + right[at + 1] + right[at] + right.slice(at + 2);
        if (typed !== right && verdict(typed) !== mistyped) throw new Error(`${typed} passes at ${at}`);
      }
    }
  });

  test("a character or a group that is missing or doubled", () => {
    for (let at = 0; at < bare.length; at++) {
      expect(verdict(bare.slice(0, at) + bare.slice(at + 1))).toBe(mistyped);
      expect(verdict(bare.slice(0, at) + bare[at] + bare.slice(at))).toBe(mistyped);
    }
    for (let at = 0; at < bare.length; at += 5) expect(verdict(bare.slice(0, at) + bare.slice(at + 5))).toBe(mistyped);
  });
});

test("what is no code at all is told from a code that was mistyped, and never quoted", () => {
  const none = "invalid_argument: this is not an invite code";
  for (const typed of ["", "-", "hello", "k7m2q9xa", "/home/dora/code.txt", "https://a.b/?q=1&x=2#y", "A".repeat(5_000), "ß".repeat(70)])
    expect({ typed: typed.slice(0, 30), verdict: verdict(typed) }).toEqual({ typed: typed.slice(0, 30), verdict: none });
});

test("a code of a newer version says so", () => {
  const bytes = new Uint8Array(50).fill(3);
  bytes[0] = 0x20;
  expect(verdict(encodeCodeText(bytes))).toBe("unsupported: the invite code is of version 2, this program knows 1");
});

test("bytes that the check accepts and no version ever made are refused", () => {
  for (const first of [0x10, 0x13, 0x1c])
    for (const length of [1, 20, 33, 36, 41]) {
      const bytes = new Uint8Array(length).fill(0xff);
      bytes[0] = first;
      expect(verdict(encodeCodeText(bytes))).toStartWith("invalid_argument: ");
    }
});

test("100,000 spoiled codes and random texts: only errors with a code come out, and nothing wrong passes", () => {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcxyzUOIL -_/\n\0é";
  for (let round = 0; round < 100_000; round++) {
    const characters = round % 4 === 0 ? [] : [...text];
    for (let change = 1 + random.int(6); change > 0; change--) {
      const at = random.int(characters.length + 1);
      const piece = Array.from({ length: random.int(4) }, () => alphabet[random.int(alphabet.length)] ?? "");
      characters.splice(at, random.int(3), ...piece);
    }
    const typed = characters.join("");
    if (verdict(typed) === "read" && tidyCodeText(typed) !== bare) throw new Error(`${JSON.stringify(typed)} passes for a code`);
  }
});
