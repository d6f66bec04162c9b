import { expect, test } from "bun:test";
import { createGuessLimits, sourceOf } from "../../src/coordinator/guess-limits.ts";
import { createTokenBucket, createTokenBuckets } from "../../src/core/token-bucket.ts";
import { handClock } from "../support/pki.ts";

test("a bucket gives its burst at once, then as many as its rate, and a debt is waited for", () => {
  const clock = handClock(0);
  const bucket = createTokenBucket({ burst: 3, perMinute: 60 }, clock);
  for (let taken = 0; taken < 3; taken++) {
    expect(bucket.waitMs()).toBe(0);
    bucket.take();
  }
  expect(bucket.waitMs()).toBe(1_000);
  bucket.take();
  bucket.take();
  expect(bucket.waitMs()).toBe(3_000);
  clock.nowMs += 3_000;
  expect(bucket.waitMs()).toBe(0);
  clock.nowMs += 3_600_000;
  for (let taken = 0; taken < 3; taken++) bucket.take();
  expect(bucket.waitMs()).toBe(1_000);
});

test("of many keys only so many are remembered, full ones forgotten first, then those used longest ago", () => {
  const clock = handClock(0);
  const buckets = createTokenBuckets({ burst: 2, perMinute: 60, keysMax: 3 }, clock);
  for (let key = 0; key < 10_000; key++) buckets.take(`early ${key}`);
  expect(buckets.size).toBe(3);
  clock.nowMs += 60_000;
  for (const key of ["a", "b", "c"]) for (let taken = 0; taken < 3; taken++) buckets.take(key);
  buckets.take("a");
  buckets.take("d");
  expect(["a", "b", "c", "d"].map((key) => buckets.waitMs(key) > 0)).toEqual([true, false, true, false]);
});

test("an address may guess ten times, then ten times a minute; others are not kept waiting", () => {
  const clock = handClock(0);
  const limits = createGuessLimits(clock);
  for (let guess = 0; guess < 10; guess++) {
    limits.assertMayTry("10.0.0.1");
    limits.wrong("10.0.0.1");
  }
  expect(() => limits.assertMayTry("10.0.0.1")).toThrow("too many wrong invite codes were tried");
  expect(() => limits.assertMayTry("::ffff:10.0.0.1")).toThrow();
  limits.assertMayTry("10.0.0.2");
  clock.nowMs += 6_000;
  limits.assertMayTry("10.0.0.1");
});

test("guesses from everywhere together are limited too", () => {
  const limits = createGuessLimits(handClock(0));
  for (let guess = 0; guess < 1_000; guess++) limits.wrong(`10.0.${guess >> 8}.${guess & 255}`);
  expect(() => limits.assertMayTry("192.168.0.1")).toThrow("too many wrong invite codes were tried");
});

test.each([
  ["10.0.0.1", "10.0.0.1"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["fd00:1:2:3::1", "fd00:1:2:3"],
  ["fd00:1:2:3:ffff:ffff:ffff:ffff", "fd00:1:2:3"],
  ["FD00:0001:2:03::7%eth0", "fd00:1:2:3"],
  ["::1", "0:0:0:0"],
  ["unknown", "unknown"],
])("%s counts as %s", (address, source) => {
  expect(sourceOf(address)).toBe(source);
});
