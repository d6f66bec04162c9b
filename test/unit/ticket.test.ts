import { describe, expect, test } from "bun:test";
import { encodeMessage } from "../../protocol/codec.ts";
import { sealEnvelope, signedBytesMax, signedInput } from "../../protocol/envelope.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, chunkIdFromBytes, globalName, parseGlobalName, parseLocalName, parseSite, type Site } from "../../protocol/ids.ts";
import { chunksPerTicketMax, clockSkewMsMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import {
  decodeReceipt,
  decodeTicket,
  encodeReceipt,
  encodeTicket,
  ownerOf,
  type Receipt,
  receiptOwnerOf,
  type Ticket,
  ticketOperations,
} from "../../protocol/ticket.ts";
import { createSeededRandom, systemRandom } from "../../src/core/random.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { assertAllows, createSigner, createTicketVerifier, openReceipt, signReceipt, signTicket } from "../../src/pki/ticket.ts";
import { garage, handClock, home, thrownBy } from "../support/pki.ts";

const nowMs = Date.UTC(2026, 5, 1);
const node = parseGlobalName(`node-01@${home}`);
const chunkA = chunkIdFromBytes(new Uint8Array(32).fill(0xaa));
const chunkB = chunkIdFromBytes(new Uint8Array(32).fill(0xbb));
const coordinator = createSigner(generateKeyPair().privateKeyPem);
const otherCoordinator = createSigner(generateKeyPair().privateKeyPem);

function ticketOf(change: Partial<Ticket> = {}): Ticket {
  return {
    version: 1,
    id: systemRandom.bytes(16),
    issuer: home,
    audience: node,
    holder: `dora@${home}`,
    operation: "get",
    chunks: [chunkA],
    bytesMax: 4096,
    notBeforeMs: nowMs,
    expiresMs: nowMs + ticketLifetimeMs,
    ...change,
  };
}

function verifierOf(options: { keys?: (site: Site) => Uint8Array | readonly Uint8Array[] | undefined; cacheEntriesMax?: number } = {}) {
  const clock = handClock(nowMs);
  let lookups = 0;
  const keys = options.keys ?? ((site) => (site === home ? coordinator.publicKeyRaw : undefined));
  const verifier = createTicketVerifier({
    isWithdrawn: () => false,
    audience: node,
    clock,
    cacheEntriesMax: options.cacheEntriesMax ?? 100,
    coordinatorKeyFor: (site) => {
      lookups++;
      return keys(site);
    },
  });
  return { clock, verify: verifier.verify, lookups: () => lookups };
}

describe("bodies", () => {
  test("come back as they went", () => {
    for (const operation of ticketOperations) {
      const ticket = ticketOf({ operation, chunks: [chunkA, chunkB], bytesMax: 2 ** 40 });
      expect(decodeTicket(encodeTicket(ticket))).toEqual(ticket);
      const elsewhere = { ...ticket, owner: garage };
      expect(decodeTicket(encodeTicket(elsewhere))).toEqual(elsewhere);
      expect([ownerOf(ticket), ownerOf(elsewhere)]).toEqual([home, garage]);
    }
    const receipt: Receipt = { version: 1, node, chunks: [chunkB, chunkA], storedAtMs: nowMs };
    expect(decodeReceipt(encodeReceipt(receipt))).toEqual(receipt);
    const elsewhere = { ...receipt, owner: garage };
    expect(decodeReceipt(encodeReceipt(elsewhere))).toEqual(elsewhere);
    expect([receiptOwnerOf(receipt), receiptOwnerOf(elsewhere)]).toEqual([home, garage]);
  });

  test("of the largest ticket fit the limit and the headers of HTTP", () => {
    const site = parseSite(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(60)}`);
    const chunks = Array.from({ length: chunksPerTicketMax }, (_, i): ChunkId => chunkIdFromBytes(new Uint8Array(32).fill(i)));
    const audience = globalName(parseLocalName("n".repeat(63)), site);
    const bytes = signTicket(
      coordinator,
      ticketOf({
        issuer: site,
        owner: site,
        audience,
        holder: "h".repeat(300),
        operation: "replicate",
        chunks,
        bytesMax: Number.MAX_SAFE_INTEGER,
      }),
    );
    expect(bytes.length).toBeLessThanOrEqual(signedBytesMax("ticket"));
    expect(Buffer.from(bytes).toString("base64url").length).toBeLessThan(8192);
  });

  test("that make no sense are not even encoded", async () => {
    const tooMany = Array.from({ length: chunksPerTicketMax + 1 }, () => chunkA);
    for (const change of [
      { chunks: [] },
      { chunks: tooMany },
      { id: new Uint8Array(15) },
      { expiresMs: nowMs - 1 },
      { expiresMs: Number.NaN },
    ]) {
      expect(await thrownBy(() => encodeTicket(ticketOf(change)))).toMatchObject({ code: "invalid_argument" });
    }
  });

  test("with a wrong field are refused with its name", async () => {
    const raw = { ...ticketOf(), chunks: new Uint8Array(32) };
    const changes: Record<string, unknown> = {
      version: 2,
      id: new Uint8Array(17),
      issuer: "Home",
      owner: "..",
      audience: "x@y@z",
      holder: "",
      operation: "format",
      chunks: new Uint8Array(33),
      bytesMax: -1,
      notBeforeMs: 1.5,
      expiresMs: 2n ** 60n,
    };
    for (const [field, value] of Object.entries(changes)) {
      const error = await thrownBy(() => decodeTicket(encodeMessage({ ...raw, [field]: value })));
      expect(error).toMatchObject({ name: "CollectiveError", code: "invalid_argument", message: expect.stringContaining(field) });
    }
    expect(decodeTicket(encodeMessage({ ...raw, later: "a newer peer says more" }))).not.toHaveProperty("later");
  });
});

describe("a node", () => {
  test("accepts its coordinator's ticket for what it says", () => {
    const { verify } = verifierOf();
    const ticket = ticketOf({ chunks: [chunkA, chunkB] });
    const opened = verify(signTicket(coordinator, ticket));
    expect(opened).toEqual(ticket);
    assertAllows(opened, "get", chunkA);
    assertAllows(opened, "get", chunkB);
  });

  test("refuses another chunk and another operation", async () => {
    const opened = verifierOf().verify(signTicket(coordinator, ticketOf()));
    expect(await thrownBy(() => assertAllows(opened, "get", chunkB))).toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining(`not for chunk ${chunkB}`),
    });
    for (const operation of ticketOperations.filter((one) => one !== "get")) {
      expect(await thrownBy(() => assertAllows(opened, operation, chunkA))).toMatchObject({
        code: "permission_denied",
        message: `the ticket allows to get, not to ${operation}`,
      });
    }
  });

  test("refuses forgeries, of whatever part", async () => {
    const { verify } = verifierOf({ keys: (site) => (site === home ? coordinator.publicKeyRaw : otherCoordinator.publicKeyRaw) });
    const reason = { code: "not_authenticated", message: `the ticket's signature is not from ${home}'s coordinator` };
    // Garage's coordinator is trusted here, but it does not speak for home.
    expect(await thrownBy(() => verify(signTicket(otherCoordinator, ticketOf())))).toMatchObject(reason);
    verify(signTicket(otherCoordinator, ticketOf({ issuer: garage })));
    const good = signTicket(coordinator, ticketOf());
    for (let at = 0; at < good.length; at++) {
      const changed = Uint8Array.from(good);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect(await thrownBy(() => verify(changed))).toMatchObject({ name: "CollectiveError", code: "not_authenticated" });
    }
    expect(await thrownBy(() => verify(good.subarray(0, good.length - 1)))).toMatchObject({ code: "not_authenticated" });
    expect(await thrownBy(() => verify(new Uint8Array([...good, 0])))).toMatchObject({ code: "not_authenticated" });
    verify(good);
  });

  test("refuses a site whose coordinator it does not know", async () => {
    const { verify } = verifierOf();
    const error = await thrownBy(() => verify(signTicket(otherCoordinator, ticketOf({ issuer: garage }))));
    expect(error).toMatchObject({
      code: "not_authenticated",
      message: expect.stringContaining(`${garage}, whose coordinator is not known`),
    });
  });

  test("refuses a ticket for another node, also when it is seen again", async () => {
    const { verify } = verifierOf();
    const bytes = signTicket(coordinator, ticketOf({ audience: parseGlobalName(`node-02@${home}`) }));
    for (let i = 0; i < 2; i++) {
      expect(await thrownBy(() => verify(bytes))).toMatchObject({
        code: "permission_denied",
        message: expect.stringContaining(`is for node-02@${home}, this is ${node}`),
      });
    }
  });

  test("checks the dates on every use, forgiving the clocks as much as they may differ", async () => {
    const { verify, clock } = verifierOf();
    const ticket = ticketOf();
    const bytes = signTicket(coordinator, ticket);
    const at = (timeMs: number) => {
      clock.nowMs = timeMs;
      return verify(bytes);
    };
    at(ticket.notBeforeMs - clockSkewMsMax);
    at(ticket.expiresMs + clockSkewMsMax);
    expect(await thrownBy(() => at(ticket.expiresMs + clockSkewMsMax + 1))).toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining("expired"),
    });
    expect(await thrownBy(() => at(ticket.notBeforeMs - clockSkewMsMax - 1))).toMatchObject({
      code: "permission_denied",
      hint: expect.stringContaining("clock"),
    });
    at(ticket.expiresMs);
  });

  test("forgets verdicts when the coordinator's key is gone, and takes two keys while it changes", async () => {
    let keys: Uint8Array[] = [coordinator.publicKeyRaw];
    const { verify } = verifierOf({ keys: () => keys });
    const old = signTicket(coordinator, ticketOf());
    verify(old);
    keys = [otherCoordinator.publicKeyRaw, coordinator.publicKeyRaw];
    verify(old);
    verify(signTicket(otherCoordinator, ticketOf()));
    keys = [otherCoordinator.publicKeyRaw];
    expect(await thrownBy(() => verify(old))).toMatchObject({ code: "not_authenticated" });
    keys = [];
    expect(await thrownBy(() => verify(old))).toMatchObject({ code: "not_authenticated" });
  });

  test("remembers a bounded number of verdicts, the least recently used go first", () => {
    const { verify } = verifierOf({ cacheEntriesMax: 2 });
    const [a, b, c] = [signTicket(coordinator, ticketOf()), signTicket(coordinator, ticketOf()), signTicket(coordinator, ticketOf())];
    const [firstA, firstB] = [verify(a), verify(b)];
    expect(verify(a)).toBe(firstA);
    verify(c);
    expect(verify(a)).toBe(firstA);
    expect(verify(b)).not.toBe(firstB);
  });

  test("keeps nothing of the request that a ticket came in", () => {
    const { verify } = verifierOf();
    const ticket = ticketOf();
    const bytes = Uint8Array.from(signTicket(coordinator, ticket));
    const opened = verify(bytes);
    bytes.fill(0);
    expect(opened).toEqual(ticket);
  });
});

describe("receipts", () => {
  const receipt: Receipt = { version: 1, node, chunks: [chunkA, chunkB], storedAtMs: nowMs };

  test("open with the node's key only", async () => {
    const bytes = signReceipt(coordinator, receipt);
    expect(openReceipt(bytes, coordinator.publicKeyRaw)).toEqual(receipt);
    expect(await thrownBy(() => openReceipt(bytes, otherCoordinator.publicKeyRaw))).toMatchObject({ code: "not_authenticated" });
  });

  test("are no tickets and tickets are no receipts, even with the kind byte changed", async () => {
    const { verify } = verifierOf();
    const body = encodeTicket(ticketOf());
    const asReceipt = sealEnvelope("receipt", { body, signature: coordinator.sign(signedInput("receipt", body)) });
    expect(await thrownBy(() => verify(asReceipt))).toMatchObject({
      code: "not_authenticated",
      message: expect.stringContaining("another kind"),
    });
    const relabelled = Uint8Array.from(asReceipt);
    relabelled[1] = 1;
    expect(await thrownBy(() => verify(relabelled))).toMatchObject({
      code: "not_authenticated",
      message: expect.stringContaining("signature"),
    });
    expect(await thrownBy(() => openReceipt(signTicket(coordinator, ticketOf()), coordinator.publicKeyRaw))).toMatchObject({
      code: "not_authenticated",
    });
  });
});

test("100,000 mutated messages give typed errors only", () => {
  const random = createSeededRandom(11);
  const { verify } = verifierOf();
  const ticket = signTicket(coordinator, ticketOf({ chunks: [chunkA, chunkB] }));
  const receipt = signReceipt(coordinator, { version: 1, node, chunks: [chunkA], storedAtMs: nowMs });
  const bodies = [ticket.subarray(66), receipt.subarray(66)] as const;
  const attempts = [
    (bytes: Uint8Array) => decodeTicket(bytes),
    (bytes: Uint8Array) => decodeReceipt(bytes),
    (bytes: Uint8Array) => verify(bytes),
    (bytes: Uint8Array) => openReceipt(bytes, coordinator.publicKeyRaw),
  ] as const;
  let refused = 0;
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  using _restore = { [Symbol.dispose]: () => void Object.assign(Error, { stackTraceLimit }) };
  for (let round = 0; round < 100_000; round++) {
    // Signatures are slow to check, so most rounds go straight to the decoders behind them.
    const [target, source] = round % 100 === 0 ? [2, ticket] : round % 100 === 1 ? [3, receipt] : [round % 2, bodies[round % 2] ?? ticket];
    const cut = random.int(3) === 0 ? random.int(source.length) : source.length;
    const mutated = source.slice(0, cut);
    for (let i = random.int(4); i >= 0 && mutated.length > 0; i--) mutated[random.int(mutated.length)] = random.int(256);
    try {
      attempts[target as 0 | 1 | 2 | 3](mutated);
    } catch (error) {
      if (!(error instanceof CollectiveError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(50_000);
});
