import { describe, expect, test } from "bun:test";
import {
  chunkIdFromBytes,
  chunkIdToBytes,
  dnsNameOf,
  globalName,
  identityKinds,
  identityUri,
  localNameOf,
  parseChunkId,
  parseGlobalName,
  parseIdentityUri,
  parseInode,
  parseLocalName,
  parseSite,
  siteOf,
} from "../../protocol/ids.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { expectCode } from "../support/metadata.ts";

describe("chunk ids", () => {
  test("are 32 bytes or 64 digits, and nothing else", async () => {
    const random = createSeededRandom(1);
    for (let round = 0; round < 100; round++) {
      const bytes = random.bytes(32);
      const id = chunkIdFromBytes(bytes);
      expect(parseChunkId(id)).toBe(id);
      expect(chunkIdToBytes(id)).toEqual(bytes);
      // A view into a larger buffer is read from where it begins.
      const framed = new Uint8Array(64);
      framed.set(bytes, 7);
      expect(chunkIdFromBytes(framed.subarray(7, 39))).toBe(id);
    }
    for (const text of ["", "ab", "g".repeat(64), "A".repeat(64), `${"a".repeat(64)}\n`, "a".repeat(65), "../".repeat(21)]) {
      await expectCode("invalid_argument", () => parseChunkId(text));
    }
    for (const length of [0, 31, 33]) await expectCode("invalid_argument", () => chunkIdFromBytes(new Uint8Array(length)));
  });
});

test("inode numbers are whole and count from 1", async () => {
  for (const value of [1, 2, Number.MAX_SAFE_INTEGER]) expect(Number(parseInode(value))).toBe(value);
  for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])
    await expectCode("invalid_argument", () => parseInode(value));
});

describe("names", () => {
  test("of members are name@site, and a bare name has a site of its own", () => {
    expect(String(parseGlobalName("alice@home.collective.local"))).toBe("alice@home.collective.local");
    expect(String(parseGlobalName("alice"))).toBe("alice@alice.collective.local");
    const name = parseGlobalName("node-01@a.b.c.d");
    expect(String(siteOf(name))).toBe("a.b.c.d");
    expect(String(localNameOf(name))).toBe("node-01");
    expect(globalName(localNameOf(name), siteOf(name))).toBe(name);
  });

  test("that no certificate should carry are refused", async () => {
    const locals = ["", "Alice", "a b", "a.b", "-a", "a-", "a_b", "ä", "x".repeat(64), "coordinator", "user", "a\n", "a@b", "*"];
    for (const text of locals) await expectCode("invalid_argument", () => parseLocalName(text));
    const sites = [
      "",
      "home",
      "home.",
      ".home.x",
      "home..x",
      "Home.x",
      "-a.b",
      "a.b-",
      "a.*",
      "a b.c",
      `${"x.".repeat(99)}toolong`,
      `a.${"b".repeat(64)}`,
    ];
    for (const text of sites) await expectCode("invalid_argument", () => parseSite(text));
    for (const text of ["@", "a@", "@b.c", "a@b", "a@b.c@d.e", "a@b.c "]) await expectCode("invalid_argument", () => parseGlobalName(text));
  });
});

describe("identities", () => {
  test("are read from their URI and from nothing like it", async () => {
    for (const kind of identityKinds) {
      const identity = { kind, name: parseGlobalName("dora@home.collective.local") };
      expect(parseIdentityUri(identityUri(identity))).toEqual(identity);
    }
    const uris = [
      "",
      "http://home.collective.local/user/dora",
      "collective://home.collective.local/user/dora/x",
      "collective://home.collective.local/user/",
      "collective://home.collective.local/admin/dora",
      "collective:///user/dora",
      "collective://home.collective.local/user/dora?x",
      "collective://home.collective.local/user/coordinator",
      "collective://home.collective.local:1/user/dora",
      " collective://home.collective.local/user/dora",
      "COLLECTIVE://home.collective.local/user/dora",
    ];
    for (const uri of uris) {
      const error = await expectCode(
        uri.includes("?x") || uri.includes("coordinator") || uri.includes(":1/") ? "invalid_argument" : "not_authenticated",
        () => parseIdentityUri(uri),
      );
      expect(error.code).not.toBe("internal");
    }
  });

  test("of different kinds never share a DNS name", () => {
    const site = parseSite("home.collective.local");
    const names = ["alice", "node-01", "dora"].map((name) => globalName(parseLocalName(name), site));
    const dns = names.flatMap((name) => identityKinds.filter((kind) => kind !== "coordinator").map((kind) => dnsNameOf({ kind, name })));
    const coordinator = dnsNameOf({ kind: "coordinator", name: names[0] ?? globalName(parseLocalName("x"), site) });
    expect(new Set([...dns, coordinator]).size).toBe(dns.length + 1);
    expect([...dns, coordinator].every((name) => name.endsWith(`.${site}`))).toBe(true);
  });
});
