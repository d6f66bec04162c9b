/** Bytes of gossip: what comes back as it was, and what does not open. */
import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { encodeRecordBody } from "../../protocol/gossip-records.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { type Message, type News, statementsOf } from "../../src/gossip/messages.ts";
import { createSeal, decodeGossip, encodeGossip, type Opener } from "../../src/gossip/seal.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner } from "../../src/pki/ticket.ts";
import { mutateBytes } from "../support/mutate.ts";

const alice = parseGlobalName("alice@home.collective.local");
const bob = parseGlobalName("bob@garage.collective.local");
const signers = new Map([alice, bob].map((name) => [name, createSigner(generateKeyPair().privateKeyPem)]));
const sealOf = (name: GlobalName) => createSeal((input) => signers.get(name)?.sign(input) ?? expect.unreachable());
const [seal, bobsSeal] = [sealOf(alice), sealOf(bob)];
const opener: Opener = { keyOf: (member) => signers.get(member)?.publicKeyRaw, isNews: () => true };

const nonce = new Uint8Array(16).fill(9);
const alive = seal({ kind: "alive", member: alice, incarnation: 1_700_000_000_000, status: "up", addresses: ["a:1", "[::1]:2"] });
const suspect = seal({ kind: "suspect", accuser: alice, member: bob, incarnation: 3 });
const body = encodeRecordBody("pledge", { pledgedBytes: 5, hosted: [] });
const record = bobsSeal({ kind: "record", member: bob, topic: "pledge", item: "", clock: 7, body });
const presence = bobsSeal({ kind: "presence", member: bob, nonce });
const news: News[] = [alive, suspect, record];
const place = { space: "records" as const, path: "0af" };

const messages: Message[] = [
  { kind: "ping", news: [] },
  { kind: "ping", nonce, news },
  { kind: "probe", target: bob, nonce, timeoutMs: 100, news },
  { kind: "news", news },
  { kind: "nack", news: [] },
  { kind: "ack", proof: presence, news },
  {
    kind: "sync",
    ranges: [{ ...place, digest: [1, 0xffffffff] }],
    listings: [{ ...place, heads: [["key", 12, 3, 4]] }],
    wants: [{ space: "members", key: alice }],
    more: true,
    statements: news,
    news,
  },
];

test.each(messages)("a message comes back as it was: %#", (message) => {
  const { message: opened, rejections } = decodeGossip(encodeGossip(message), opener);
  expect(opened).toEqual(message);
  expect(rejections).toEqual({ unknown: 0, malformed: 0, forged: 0 });
});

describe("a statement", () => {
  const openedFrom = (sealed: Uint8Array, by: Partial<Opener> = {}) =>
    decodeGossip(encodeGossip({ kind: "news", news: [{ ...alive, sealed }] }), { ...opener, ...by });

  test("is left out when its member has another key here, or none", () => {
    const other = createSigner(generateKeyPair().privateKeyPem).publicKeyRaw;
    expect(openedFrom(alive.sealed, { keyOf: () => other }).rejections.forged).toBe(1);
    expect(openedFrom(alive.sealed, { keyOf: () => undefined }).rejections.unknown).toBe(1);
  });

  test("that is no news costs no signature check", () => {
    const { message, rejections } = openedFrom(alive.sealed, { isNews: () => false, keyOf: () => new Uint8Array(32) });
    expect(message.news).toEqual([]);
    expect(rejections).toEqual({ unknown: 0, malformed: 0, forged: 0 });
  });

  test("is left out when the body is not what its topic says", () => {
    const wrong = seal({ kind: "record", member: alice, topic: "pledge", item: "", clock: 1, body: new Uint8Array([0x80]) });
    expect(openedFrom(wrong.sealed).rejections.malformed).toBe(1);
  });

  test("keeps none of the message that it came in", () => {
    const { message } = openedFrom(alive.sealed);
    const [opened] = message.news;
    expect(opened?.sealed.buffer.byteLength).toBe(alive.sealed.length);
  });
});

test("after a few forgeries the rest of a message is not looked at", () => {
  const forged = bobsSeal({ kind: "alive", member: alice, incarnation: 9, status: "up", addresses: [] });
  const many = Array.from({ length: 50 }, () => forged);
  const { message, rejections } = decodeGossip(encodeGossip({ kind: "news", news: [...many, record] }), opener);
  expect(rejections.forged).toBe(4);
  expect(message.news).toEqual([]);
});

test("mutated messages give typed errors, or statements that were really signed", () => {
  const random = createSeededRandom(3);
  const genuine = new Set([...news, presence].map(({ sealed }) => Buffer.from(sealed).toString("hex")));
  for (let turn = 0; turn < 3_000; turn++) {
    const original = encodeGossip(messages[random.int(messages.length)] ?? expect.unreachable());
    try {
      const { message } = decodeGossip(mutateBytes(random, original), opener);
      for (const { sealed } of statementsOf(message)) expect(genuine.has(Buffer.from(sealed).toString("hex"))).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(CollectiveError);
    }
  }
});
