/**
 * Every decoder against 100,000 spoiled inputs: what comes out is a value or a `CollectiveError`,
 * never another exception, and never much memory. `SEED=7` repeats a run.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import {
  authorizationOf,
  chunkIdsSchema,
  deletedManySchema,
  fetchedManySchema,
  replicatedSchema,
  replicateSchema,
  storeManySchema,
  ticketFromAuthorization,
  verifiedManySchema,
} from "../../protocol/data.ts";
import { openEnvelope } from "../../protocol/envelope.ts";
import { errorBodySchema } from "../../protocol/error-body.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { parseChunkId, parseGlobalName, parseIdentityUri, parseInode, parseSite } from "../../protocol/ids.ts";
import { extentsPerCommitMax } from "../../protocol/limits.ts";
import { messageDepthMax, messageValuesMax, structureFault } from "../../protocol/message-structure.ts";
import { parseName, parsePath } from "../../protocol/path.ts";
import { type RouteName, routes } from "../../protocol/routes.ts";
import { decodeReceipt, decodeTicket } from "../../protocol/ticket.ts";
import { openContexts } from "../../src/client/context-file.ts";
import { deriveChunkKeys, openChunk, readChunkHeader, sealChunk, sealedBytesMax } from "../../src/codec/sealed-chunk.ts";
import { loadServeConfig } from "../../src/core/config.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { createTicketVerifier, openReceipt, signReceipt, signTicket } from "../../src/pki/ticket.ts";
import { goldenReceipt, goldenSigner, goldenTicket, goldenTimeMs } from "../golden/write.ts";
import { sampleBatches, sampleInputs, sampleOutputs } from "../support/messages.ts";
import { chunkId } from "../support/metadata.ts";
import { mutateBytes, mutateText } from "../support/mutate.ts";
import { handClock, testFolder } from "../support/pki.ts";

const seed = Number(process.env.SEED ?? Date.now() & 0xffff);
const random = createSeededRandom(seed);
let inputs = 0;

/** Runs a decoder on many inputs; anything but a CollectiveError fails the test and shows the input. */
async function survive(count: number, next: () => Uint8Array | string, decode: (input: never) => unknown): Promise<{ accepted: number }> {
  let accepted = 0;
  for (let i = 0; i < count; i++) {
    const input = next();
    inputs++;
    try {
      await decode(input as never);
      accepted++;
    } catch (error) {
      if (error instanceof CollectiveError && error.code !== "internal") continue;
      const shown = typeof input === "string" ? JSON.stringify(input) : Buffer.from(input).toString("hex");
      throw new Error(`SEED=${seed}: ${error instanceof Error ? `${error.name}: ${error.message}` : error} for ${shown.slice(0, 2_000)}`, {
        cause: error,
      });
    }
  }
  return { accepted };
}

const routeNames = Object.keys(routes) as RouteName[];
const schemas: readonly (readonly [string, z.ZodType, unknown])[] = [
  ...routeNames.map((name) => [`${name} input`, routes[name].input, sampleInputs[name]] as const),
  ...routeNames.map((name) => [`${name} output`, routes[name].output, sampleOutputs[name]] as const),
  ["storeMany", storeManySchema, sampleBatches.storeMany],
  ["chunkIds", chunkIdsSchema, sampleBatches.chunkIds],
  ["fetchedMany", fetchedManySchema, sampleBatches.fetchedMany],
  ["verifiedMany", verifiedManySchema, sampleBatches.verifiedMany],
  ["deletedMany", deletedManySchema, sampleBatches.deletedMany],
  ["replicate", replicateSchema, sampleBatches.replicate],
  ["replicated", replicatedSchema, sampleBatches.replicated],
  ["error", errorBodySchema, sampleBatches.error],
];
const encoded = schemas.map(([, , sample]) => encodeMessage(sample));

describe("messages", () => {
  test("are read as they were written", () => {
    for (const name of routeNames)
      expect(decodeMessage(routes[name].output, encodeMessage(sampleOutputs[name]), "it")).toEqual(sampleOutputs[name] as never);
    for (const [what, schema, sample] of schemas) expect(() => decodeMessage(schema, encodeMessage(sample), what)).not.toThrow();
    const { mtimeNs, replaces } = decodeMessage(routes.commit.input, encodeMessage(sampleInputs.commit), "it").files[0] ?? {};
    expect({ mtimeNs, replaces }).toEqual({ mtimeNs: 1_700_000_000_123_456_789n, replaces: { inode: parseInode(7), version: 3 } });
  });

  test("keep every character of a name, a mark at its start too", () => {
    for (const start of ["\ufeff", "\ufeff\ufeff", "x\ufeff"]) {
      for (const length of [1, 66, 67, 190, 200, 249]) {
        const name = `${start}${"n".repeat(length)}`;
        const move = { from: { parent: 7, name }, to: { parent: 8, name: "b" }, replace: true };
        expect(decodeMessage(routes.rename.input, encodeMessage(move), "it")).toEqual(move as never);
        const entry = { name, attr: sampleOutputs.getAttr };
        expect(decodeMessage(routes.list.output, encodeMessage({ entries: [entry, entry], more: true }), "it").entries).toEqual([
          entry,
          entry,
        ]);
      }
    }
    // By chance in what is no text at all.
    const data = Uint8Array.of(0xef, 0xbb, 0xbf, ...new Uint8Array(300));
    const chunks = [{ ...sampleBatches.storeMany.chunks[0], data }];
    expect(decodeMessage(storeManySchema, encodeMessage({ chunks }), "it").chunks[0]?.data).toEqual(data);
  });

  test("may say more than this version knows", () => {
    const message = encodeMessage({ ...sampleInputs.locate, fromTheFuture: { a: [1, 2] } });
    expect(decodeMessage(routes.locate.input, message, "it")).toEqual(
      decodeMessage(routes.locate.input, encodeMessage(sampleInputs.locate), "it"),
    );
  });

  test("that are spoiled are refused", async () => {
    for (const [index, [what, schema]] of schemas.entries()) {
      const original = encoded[index] ?? new Uint8Array(0);
      await survive(
        1_000,
        () => mutateBytes(random, original, encoded[random.int(encoded.length)]),
        (bytes: Uint8Array) => decodeMessage(schema, bytes, what),
      );
    }
  });

  test("that only claim to be large cost nothing", () => {
    const repeated = (count: number, unit: readonly number[]) => new Uint8Array(Buffer.alloc(count * unit.length, Uint8Array.from(unit)));
    const claims: Readonly<Record<string, Uint8Array>> = {
      "an array of 100 million": Uint8Array.of(0xdd, 0x05, 0xf5, 0xe1, 0x00),
      "a map of 4 thousand million": Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff),
      "bytes that are not there": Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff, 0x01),
      "arrays of 65,536 in one another": repeated(3_000, [0xdd, 0, 1, 0, 0]),
      "sixteen million arrays in one another": repeated(1 << 24, [0x91]),
      "two million values": Buffer.concat([Uint8Array.of(0xdd, 0, 0x1e, 0x84, 0x80), repeated(2_000_000, [0xc0])]),
    };
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    for (const [what, bytes] of Object.entries(claims)) {
      expect(() => decodeMessage(routes.getAttr.input, bytes, what)).toThrow(CollectiveError);
    }
    // Believed, the first of them alone would take 760 MiB.
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 2 ** 20);
  });

  test("within the limits are let through, up to the largest", () => {
    const nested = (depth: number) => Uint8Array.from([...Array<number>(depth).fill(0x91), 0xc0]);
    expect(structureFault(nested(messageDepthMax))).toBeUndefined();
    expect(structureFault(nested(messageDepthMax + 1))).toContain("deeper");
    for (const value of [
      null,
      true,
      5,
      -5,
      300,
      70_000,
      2 ** 40,
      1.5,
      "",
      "x".repeat(300),
      new Uint8Array(70_000),
      [],
      {},
      [[], {}],
      { a: { b: [1n, -1n] } },
    ]) {
      expect(structureFault(encodeMessage(value))).toBeUndefined();
    }
    const extents = Array.from({ length: extentsPerCommitMax }, () => ({ chunk: chunkId("a"), plainBytes: 1 }));
    const largest = encodeMessage({
      ...sampleInputs.commit,
      files: [{ ...sampleInputs.commit.files[0], extents, sizeBytes: extentsPerCommitMax }],
    });
    expect(structureFault(largest)).toBeUndefined();
    expect(extentsPerCommitMax * 5).toBeLessThan(messageValuesMax);
    expect(decodeMessage(routes.commit.input, largest, "it").files[0]?.extents).toHaveLength(extentsPerCommitMax);
  });

  test("that are followed by something, or by nothing, are refused", () => {
    const message = encodeMessage(sampleInputs.rename);
    for (let length = 0; length < message.length; length++) expect(structureFault(message.subarray(0, length))).toBeDefined();
    expect(structureFault(Uint8Array.from([...message, 0xc0]))).toBe("something follows it");
    expect(structureFault(Uint8Array.from([0xc1]))).toBeDefined();
  });
});

describe("chunks", () => {
  test("that are spoiled are refused", async () => {
    const keys = deriveChunkKeys(new Uint8Array(32).fill(1));
    const text = Buffer.alloc(600, "some text ");
    const originals = [keys, undefined].flatMap((one) =>
      [text, random.bytes(100)].map((plain) =>
        Uint8Array.from(sealChunk(plain, { keys: one, out: new Uint8Array(sealedBytesMax(plain.length)) }).stored),
      ),
    );
    const out = new Uint8Array(4 * 2 ** 20);
    const next = () => mutateBytes(random, originals[random.int(originals.length)] ?? text, originals[random.int(originals.length)]);
    await survive(12_000, next, (bytes: Uint8Array) => openChunk(bytes, { keys, out }));
    await survive(3_000, next, (bytes: Uint8Array) => readChunkHeader(bytes));
  });
});

describe("tickets and receipts", () => {
  const ticket = signTicket(goldenSigner(1), goldenTicket());
  const receipt = signReceipt(goldenSigner(2), goldenReceipt());
  const verifier = createTicketVerifier({
    isWithdrawn: () => false,
    audience: goldenTicket().audience,
    coordinatorKeyFor: () => goldenSigner1,
    clock: handClock(goldenTimeMs),
    cacheEntriesMax: 4,
  });
  const goldenSigner1 = goldenSigner(1).publicKeyRaw;
  const goldenSigner2 = goldenSigner(2).publicKeyRaw;

  test("that are spoiled are refused", async () => {
    const spoil = (original: Uint8Array, other: Uint8Array) => () => mutateBytes(random, original, other);
    // Accepted is only what mutation has left, or brought back, as it was.
    const isOriginal = (bytes: Uint8Array, original: Uint8Array) => expect(Buffer.compare(bytes, original)).toBe(0);
    await survive(3_000, spoil(ticket, receipt), (bytes: Uint8Array) => {
      verifier.verify(bytes);
      isOriginal(bytes, ticket);
    });
    await survive(3_000, spoil(receipt, ticket), (bytes: Uint8Array) => {
      openReceipt(bytes, goldenSigner2);
      isOriginal(bytes, receipt);
    });
    const ticketBody = openEnvelope("ticket", ticket).body;
    const receiptBody = openEnvelope("receipt", receipt).body;
    await survive(3_000, spoil(ticketBody, receiptBody), (bytes: Uint8Array) => decodeTicket(bytes));
    await survive(2_000, spoil(receiptBody, ticketBody), (bytes: Uint8Array) => decodeReceipt(bytes));
    const header = authorizationOf(ticket);
    await survive(
      2_000,
      () => mutateText(random, header),
      (text: string) => verifier.verify(ticketFromAuthorization(text)),
    );
  });
});

const configuration = JSON.stringify({
  mode: "all",
  member_id: "alice@home.collective.local",
  log_level: "debug",
  metrics_address: "127.0.0.1:9090",
  coordinator: {
    address: ":8001",
    bootstrap_address: "[::1]:9001",
    data_dir: "./data/alice",
    cert_validity: "24h",
    bootstrap_peers: [{ member_id: "bob@garage.collective.local", address: "localhost:8002" }],
  },
  node: { node_id: "node-01", address: ":7001", storage_capacity: "500GB", data_dir: "./data/node" },
});

describe("texts", () => {
  test("of configurations that are spoiled are refused as configuration", async () => {
    const load = (text: string) => loadServeConfig({ flags: {}, environment: {}, configFile: { path: "c.json", text } });
    expect(load(configuration)).toMatchObject({ role: "all", node: { capacityBytes: 500e9 } });
    await survive(8_000, () => mutateText(random, configuration), load);
    const flags = ["address", "capacity", "member", "metrics-address", "cert-validity", "log-level", "node-id", "advertise"];
    const loadFlag = (text: string) =>
      loadServeConfig({
        role: "all",
        flags: { [flags[random.int(flags.length)] ?? ""]: text },
        environment: { COLLECTIVE_MEMBER_ID: "alice" },
      });
    await survive(
      4_000,
      () => mutateText(random, ["10GB", "host:80", "[::1]:80", "24h", "alice@home.collective.local"][random.int(5)] ?? ""),
      loadFlag,
    );
  });

  test("of contexts that are spoiled are refused as configuration", async () => {
    await using folder = await testFolder();
    mkdirSync(folder.path, { recursive: true });
    const contexts = openContexts(folder.path);
    const entry = { member: "alice@home.collective.local", coordinator: "localhost:8001", created: "2030-01-02T03:04:05Z" };
    const original = JSON.stringify({
      version: 1,
      current: "alice",
      contexts: { alice: entry, "dora@garage": { ...entry, identity: "dora@home.collective.local" } },
    });
    await survive(
      2_000,
      () => mutateText(random, original),
      (text: string) => {
        writeFileSync(join(folder.path, "config.json"), text);
        return contexts.list();
      },
    );
  });

  test("of paths and names that are spoiled are refused", async () => {
    const paths = [
      "/media/films/a.mkv",
      "/@bob@garage.collective.local/backup/x",
      "/a/../b//c/./d",
      "node-01@home.collective.local",
      "collective://home.collective.local/node/node-01",
      chunkId("a"),
    ];
    const parsers = [
      parsePath,
      parseName,
      parseGlobalName,
      parseSite,
      parseIdentityUri,
      parseChunkId,
      (text: string) => parseInode(Number(text)),
    ];
    for (const parse of parsers) await survive(1_500, () => mutateText(random, paths[random.int(paths.length)] ?? ""), parse as never);
  });
});

afterAll(() => {
  if (inputs < 100_000) throw new Error(`only ${inputs} inputs were tried`);
  console.log(`SEED=${seed}: ${inputs} spoiled inputs`);
});
