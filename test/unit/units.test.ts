import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { editDistance, nearestName } from "../../src/core/suggest.ts";
import {
  formatDuration,
  formatHostPort,
  formatRate,
  formatSize,
  type HostPort,
  parseDuration,
  parseHostPort,
  parseSize,
} from "../../src/core/units.ts";

function failure(run: () => unknown): CollectiveError {
  try {
    run();
  } catch (error) {
    if (error instanceof CollectiveError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

function expectRefused(parse: (text: string) => unknown, text: string): void {
  const error = failure(() => parse(text));
  expect({ text, code: error.code, hinted: (error.hint ?? "") !== "" }).toEqual({ text, code: "invalid_argument", hinted: true });
  expect(error.message).not.toMatch(/[\n\r]/);
  expect(error.message.length).toBeLessThan(200);
}

describe("sizes", () => {
  test.each<[string, number]>([
    ["0", 0],
    ["1234", 1234],
    ["12B", 12],
    ["500GB", 500e9],
    ["500gb", 500e9],
    ["1.5TiB", 1.5 * 2 ** 40],
    ["1.5tib", 1.5 * 2 ** 40],
    ["1.5 TIB", 1.5 * 2 ** 40],
    ["100MiB", 100 * 2 ** 20],
    ["1kB", 1000],
    ["1KB", 1000],
    ["1KiB", 1024],
    ["1.1GB", 1_100_000_000],
    ["2PB", 2e15],
    [" 64KiB ", 65536],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("%s is %d bytes", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each([
    "",
    "GB",
    "-1",
    "+1",
    "1,5GB",
    "1.5",
    "1.5B",
    "500G",
    "500Gb",
    "1Mib",
    "1 2",
    "1e9",
    "0x10",
    "9007199254740992",
    "99EiB",
    "1XB",
    "∞",
    "1\n2",
  ])("%j is refused with a hint", (text) => expectRefused(parseSize, text));

  test.each<[number, string]>([
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1.5 * 2 ** 30, "1.5 GiB"],
    [99.94 * 2 ** 20, "99.9 MiB"],
    [99.96 * 2 ** 20, "100 MiB"],
    [1023.4 * 1024, "1023 KiB"],
    [1023.9 * 1024, "1.0 MiB"],
    [2 ** 60, "1.0 EiB"],
    [Number.MAX_VALUE, expect.stringContaining("EiB") as unknown as string],
    [-2048, "-2.0 KiB"],
    [Number.NaN, "?"],
  ])("%d reads %s", (bytes, text) => expect(formatSize(bytes)).toEqual(text));

  test("decimal sizes", () => {
    expect([formatSize(500e9, "si"), formatSize(1500, "si"), formatSize(999_960, "si")]).toEqual(["500 GB", "1.5 kB", "1.0 MB"]);
  });

  test("what is written is read back within the digits that were shown, and exactly as plain bytes", () => {
    const random = createSeededRandom(1);
    for (let i = 0; i < 2000; i++) {
      const bytes = Math.floor(2 ** (random.next() * 53));
      expect(parseSize(String(bytes))).toBe(bytes);
      for (const style of ["iec", "si"] as const) {
        const back = parseSize(formatSize(bytes, style));
        expect(Math.abs(back - bytes)).toBeLessThanOrEqual(bytes * 0.051);
        expect(formatSize(back, style)).toBe(formatSize(bytes, style));
      }
    }
  });

  test("rates", () => expect(formatRate(85.31 * 2 ** 20)).toBe("85.3 MiB/s"));
});

describe("durations", () => {
  test.each<[string, number]>([
    ["30s", 30_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
    ["5m", 300_000],
    ["500ms", 500],
    ["2w", 1_209_600_000],
    ["1.5h", 5_400_000],
    ["1h30m", 5_400_000],
    ["2m 05s", 125_000],
    ["0s", 0],
  ])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(["", "30", "s", "-5s", "5M", "5 minutes", "30m1h", "5m5m", "1y", "1..5s", "5s,", "999999999999999w"])(
    "%j is refused with a hint",
    (text) => expectRefused(parseDuration, text),
  );

  test.each<[number, string]>([
    [0, "0s"],
    [0.2, "0s"],
    [450, "450ms"],
    [999.7, "1s"],
    [4_200, "4.2s"],
    [9_980, "10s"],
    [59_600, "1m"],
    [125_000, "2m 05s"],
    [300_000, "5m"],
    [3_599_800, "1h"],
    [11_220_000, "3h 07m"],
    [86_399_000, "1d"],
    [273_600_000, "3d 4h"],
    [-125_000, "-2m 05s"],
    [Number.POSITIVE_INFINITY, "?"],
  ])("%d ms reads %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

  test("what is written is read back within the units that were shown", () => {
    const random = createSeededRandom(2);
    for (let i = 0; i < 2000; i++) {
      const ms = Math.floor(2 ** (random.next() * 45));
      expect(parseDuration(`${ms}ms`)).toBe(ms);
      const back = parseDuration(formatDuration(ms));
      expect(Math.abs(back - ms)).toBeLessThanOrEqual(Math.max(0.5, ms * 0.051));
      expect(formatDuration(back)).toBe(formatDuration(ms));
    }
  });
});

describe("addresses", () => {
  test.each<[string, HostPort]>([
    [":8001", { host: "0.0.0.0", port: 8001 }],
    ["localhost:8002", { host: "localhost", port: 8002 }],
    ["NAS.Home:1", { host: "nas.home", port: 1 }],
    ["192.168.1.5:0", { host: "192.168.1.5", port: 0 }],
    ["[::1]:8001", { host: "::1", port: 8001 }],
    ["[::]:65535", { host: "::", port: 65535 }],
    ["docker_service:7001", { host: "docker_service", port: 7001 }],
  ])("%s", (text, address) => expect(parseHostPort(text)).toEqual(address));

  test("a default port stands in for none", () => {
    expect(parseHostPort("nas", 8001)).toEqual({ host: "nas", port: 8001 });
    expect(parseHostPort("[fd00::5]", 8001)).toEqual({ host: "fd00::5", port: 8001 });
    expect(parseHostPort("nas:1", 8001).port).toBe(1);
  });

  test.each([
    "",
    ":",
    "nas",
    "nas:",
    "8001",
    "nas:65536",
    "nas:-1",
    "nas:1:2",
    "::1",
    "fd00::5:8001",
    "[::1",
    "[zz]:1",
    "a b:1",
    "256.1.1.1:1",
    "1.2.3:1",
    "1.2.3.4.:1",
    "http://nas:1",
    "-a:1",
    "a\n:1",
  ])("%j is refused with a hint", (text) => expectRefused(parseHostPort, text));

  test("every address survives being written and read", () => {
    const random = createSeededRandom(3);
    const hex = () => random.int(65536).toString(16);
    const hosts = [
      () => Array.from({ length: 4 }, () => random.int(256)).join("."),
      () => Array.from({ length: 8 }, hex).join(":"),
      () => `${hex()}::${hex()}`,
      () => `n${hex()}.home-${hex()}.example`,
    ];
    for (let i = 0; i < 1000; i++) {
      const address = { host: hosts[random.int(hosts.length)]?.() ?? "", port: random.int(65536) };
      expect(parseHostPort(formatHostPort(address))).toEqual(address);
    }
  });
});

test("very long input is refused in a short message", () => {
  for (const parse of [parseSize, parseDuration, parseHostPort])
    for (const text of ["9".repeat(5000), "5s".repeat(5000), "a.".repeat(5000)]) expectRefused(parse, text);
  expect(nearestName("x".repeat(5000), ["x"])).toBeUndefined();
});

test("no parser lets anything but a CollectiveError out, nor takes long", () => {
  const random = createSeededRandom(4);
  const alphabet = [..."0123456789.:[]-+ kKmMgGtTiIbBsShdw\n\0é𝕏\ud800"];
  for (let i = 0; i < 5000; i++) {
    const text = Array.from({ length: random.int(24) }, () => alphabet[random.int(alphabet.length)]).join("");
    for (const parse of [parseSize, parseDuration, parseHostPort]) {
      try {
        parse(text);
      } catch (error) {
        expect(error).toBeInstanceOf(CollectiveError);
      }
    }
  }
});

describe("did you mean", () => {
  test("distance counts a swap of neighbours once", () => {
    expect([editDistance("adress", "address"), editDistance("ndoe", "node"), editDistance("", "abc"), editDistance("abc", "abc")]).toEqual([
      1, 1, 3, 0,
    ]);
  });

  test.each<[string, string | undefined]>([
    ["adress", "address"],
    ["bootstrapAddress", "bootstrap_address"],
    ["data-dir", "data_dir"],
    ["member", "member_id"],
    ["capacity", "storage_capacity"],
    ["colour", undefined],
    ["", undefined],
  ])("%s: %s", (name, expected) => {
    expect(nearestName(name, ["address", "bootstrap_address", "data_dir", "member_id", "storage_capacity", "mode"])).toBe(
      expected as string,
    );
  });
});
