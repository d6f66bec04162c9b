/** Transfers whose rights change under them: who still has the right goes on, who has not is told so, and nothing half-written shows. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { openEnvelope } from "../../protocol/envelope.ts";
import type { Inode } from "../../protocol/ids.ts";
import { clockSkewMsMax, mebibyte } from "../../protocol/limits.ts";
import { parseSubjectPattern, type Right } from "../../protocol/rights.ts";
import { routes } from "../../protocol/routes.ts";
import { defaultStorePolicy, type Store } from "../../protocol/schema.ts";
import { decodeTicket } from "../../protocol/ticket.ts";
import { readRange } from "../../src/client/download.ts";
import type { ContentSource } from "../../src/client/pieces.ts";
import { readMany } from "../../src/client/read-many.ts";
import type { Remote } from "../../src/client/remote.ts";
import { bytesSource } from "../../src/client/sources.ts";
import { verifyPath } from "../../src/client/verify.ts";
import { startMaintenance } from "../../src/coordinator/maintenance.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createLog } from "../../src/core/log.ts";
import { content, ingestFile, ingestFiles, readContent, until } from "../support/content.ts";
import { nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { expectCode, failureOf, owner } from "../support/metadata.ts";

const dora = nameAt("dora");
const minuteMs = 60_000;
/** Of more chunks than are fetched at once. */
const plain = content(7 * mebibyte, 1);
/** What dora may do comes twice, so that one of them can be taken away. */
const twice = ["dora@home.collective.local", "*@home.collective.local"].map(parseSubjectPattern);

let member: TestMember;
let store: Store;
let remote: Remote;
const warnings: string[] = [];
/** What happens after the coordinator has answered and before the caller goes on. */
let afterAnswer: (route: "allocate" | "locate" | "verifyTickets") => Promise<void> = async () => undefined;
let reports = 0;

beforeAll(async () => {
  member = await startTestMember({
    wrapHandlers: (handlers) => {
      const followed =
        <I, C, O>(route: Parameters<typeof afterAnswer>[0], handler: (input: I, context: C) => Promise<O>) =>
        async (input: I, context: C): Promise<O> => {
          const answer = await handler(input, context);
          await afterAnswer(route);
          return answer;
        };
      return {
        ...handlers,
        allocate: followed("allocate", handlers.allocate),
        locate: followed("locate", handlers.locate),
        verifyTickets: followed("verifyTickets", handlers.verifyTickets),
        reportCopies: (input, context) => {
          reports++;
          return handlers.reportCopies(input, context);
        },
      };
    },
  });
  for (const node of ["node-01", "node-02"]) await member.startNode(node);
  store = await member.metadata.createStore({ name: "media", policy: { ...defaultStorePolicy, replicas: 2 }, owner });
  const log = createLog({ level: "warn", format: "text", write: (line) => void warnings.push(line), wallMs: () => 0 });
  remote = member.remote({ credentials: await member.credentialsOf({ kind: "user", name: dora }), log });
});
afterAll(() => member[Symbol.asyncDispose]());

beforeEach(async () => {
  afterAnswer = async () => undefined;
  reports = 0;
  warnings.length = 0;
  for (const { inode, subject } of await member.metadata.listGrants()) await member.metadata.revokeGrant({ inode, subject, by: owner });
  await pass(1);
});

/** The nodes are still there afterwards, and know what was withdrawn. */
async function pass(durationMs: number): Promise<void> {
  member.clock.nowMs += durationMs;
  for (const node of member.nodes()) await node.register();
}

async function grantTo(subjects: typeof twice, rights: readonly Right[], validityMs?: number): Promise<void> {
  const expiresMs = validityMs === undefined ? null : member.clock.nowMs + validityMs;
  for (const subject of subjects) await member.metadata.grant({ inode: store.inode, subject, rights, grantedBy: owner, expiresMs });
}

/** Voids the tickets there are; time goes on, so that new ones are newer. */
async function revoke(subjects: typeof twice): Promise<void> {
  for (const subject of subjects) await member.metadata.revokeGrant({ inode: store.inode, subject, by: owner });
  await pass(1);
}

/** Once, after the next answer of that kind. */
function next(route: Parameters<typeof afterAnswer>[0], act: () => Promise<void>): void {
  afterAnswer = async (answered) => {
    if (answered !== route) return;
    afterAnswer = async () => undefined;
    await act();
  };
}

async function stored(name: string, source: Uint8Array = plain): Promise<Inode> {
  return (await ingestFile(member.remote(), store, { name, source })).attr.inode;
}

async function namesThere(): Promise<string[]> {
  return (await member.metadata.list(store.inode, { limit: 100 })).entries.map(({ name }) => name);
}

/** Reads on after something has happened behind the first piece. */
async function readThrough(inode: Inode, behindFirst: () => Promise<void>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of readRange(remote, { inode, offset: 0, lengthBytes: plain.length })) {
    pieces.push(Uint8Array.from(piece));
    if (pieces.length === 1) await behindFirst();
  }
  return Buffer.concat(pieces);
}

/** Whose pieces take a while: something happens before the one in the middle. */
function slowSource(inTheMiddle: () => Promise<void>): ContentSource {
  const bytes = bytesSource(content(plain.length, 3));
  let reads = 0;
  return {
    sizeBytes: bytes.sizeBytes,
    read: async (into) => {
      if (++reads === 4) await inTheMiddle();
      return await bytes.read(into);
    },
  };
}

function expectNothingBlamed(): void {
  expect(warnings).toEqual([]);
  expect(reports).toBe(0);
  expect(remote.failedLately()).toEqual([]);
}

const [first, second] = [twice.slice(0, 1), twice.slice(1)];

test("a reader whose tickets were withdrawn goes on when it still has the right, and blames nobody", async () => {
  const inode = await stored("read-on");
  await grantTo(twice, ["read"]);
  expect(Buffer.compare(await readThrough(inode, () => revoke(first)), plain)).toBe(0);
  expectNothingBlamed();

  const attrs = (
    await ingestFiles(
      member.remote(),
      store,
      Array.from({ length: 5 }, (_, at) => ({ name: `s${at}`, source: content(90, at) })),
    )
  ).attrs;
  await grantTo(first, ["read"]);
  member.clock.nowMs++;
  next("locate", () => revoke(first));
  const contents = await readMany(remote, attrs);
  for (const [at, bytes] of contents.entries()) expect(Buffer.compare(bytes, content(90, at))).toBe(0);
  expectNothingBlamed();
});

test("a writer whose tickets were withdrawn sends again to the same nodes", async () => {
  await grantTo(twice, ["write"]);
  next("allocate", () => revoke(first));
  const { totals } = await ingestFile(remote, store, { name: "written", source: plain });
  expect(totals.degradedChunks).toBe(0);
  expectNothingBlamed();
  expect(
    Buffer.compare(
      await readContent(member.remote(), (await member.metadata.resolve(["media", "written"])).attr?.inode ?? store.inode),
      plain,
    ),
  ).toBe(0);
});

test("a check of copies whose tickets were withdrawn calls no node unreachable", async () => {
  const inode = await stored("verified");
  await grantTo(twice, ["read"]);
  next("verifyTickets", () => revoke(first));
  const report = await verifyPath(remote, { components: ["media", "verified"], attr: await member.metadata.getAttr(inode) });
  expect(report).toMatchObject({ bad: 0, missing: 0, unreachable: 0 });
  expectNothingBlamed();
});

test("who has lost the right in the middle is told so, and no node is blamed", async () => {
  const inode = await stored("lost");
  await grantTo(twice, ["read", "write"]);
  const error = await failureOf(readThrough(inode, () => revoke(twice)));
  expect([error.code, error.message]).toEqual([
    "permission_denied",
    expect.stringMatching(/taken away meanwhile: the ticket was withdrawn/),
  ]);
  await grantTo(twice, ["read", "write"]);
  next("allocate", () => revoke(twice));
  await expectCode("permission_denied", ingestFile(remote, store, { name: "half", source: content(plain.length, 2) }));
  expect(await namesThere()).not.toContain("half");
  await grantTo(twice, ["read", "write"]);
  next("verifyTickets", () => revoke(twice));
  const attr = await member.metadata.getAttr(inode);
  await expectCode("permission_denied", verifyPath(remote, { components: ["media", "lost"], attr }));
  expectNothingBlamed();
});

test("a ticket ends with the grant it rests on, and is as old as the look at the grant", async () => {
  const inode = await stored("ticket");
  await grantTo(first, ["read"], minuteMs);
  const checkedMs = member.clock.nowMs;
  const ticketOf = async () => {
    const { nodes } = await remote.control.call(routes.locate, { files: [{ inode, offset: 0, lengthBytes: 1 }] });
    return decodeTicket(openEnvelope("ticket", nodes[0]?.ticket ?? new Uint8Array(0)).body);
  };
  expect(await ticketOf()).toMatchObject({ holder: dora, notBeforeMs: checkedMs, expiresMs: checkedMs + minuteMs });
  await grantTo(second, ["read"]);
  expect((await ticketOf()).expiresMs).toBeGreaterThan(checkedMs + minuteMs);
});

test("a grant that ends during a long download ends it within a minute, by name", async () => {
  const inode = await stored("long");
  await grantTo(first, ["read"], minuteMs);
  const error = await failureOf(
    readThrough(inode, async () => {
      await pass(minuteMs);
      const maintenance = startMaintenance({ ...member.service, clock: { ...systemClock, wallMs: member.clock.wallMs } });
      await until(
        async () => (await member.metadata.listWithdrawals()).some(({ untilMs }) => untilMs === member.clock.nowMs),
        "the withdrawal",
      );
      await maintenance.stop();
      await pass(0);
    }),
  );
  expect([error.code, error.message]).toEqual([
    "permission_denied",
    `what ${dora} was granted ended on ${new Date(member.clock.nowMs).toISOString()}`,
  ]);
  expectNothingBlamed();
});

test("a ticket that a node finds expired is answered the same way", async () => {
  const inode = await stored("old");
  await grantTo(first, ["read"], minuteMs);
  expect((await failureOf(readThrough(inode, () => pass(minuteMs + clockSkewMsMax + 1)))).message).toMatch(/^what dora.* ended on /);
  await grantTo(second, ["read"]);
  next("locate", () => pass(30 * minuteMs));
  expect(Buffer.compare(await readThrough(inode, async () => undefined), plain)).toBe(0);
  expectNothingBlamed();
});

test("a grant that ends during a long upload ends it, and nothing of the file shows", async () => {
  await grantTo(first, ["read", "write"], minuteMs);
  const source = slowSource(() => pass(minuteMs));
  const error = await failureOf(ingestFile(remote, store, { name: "never", source }));
  expect([error.code, error.message]).toEqual(["permission_denied", expect.stringMatching(/^what dora.* was granted ended on /)]);
  expect(await namesThere()).not.toContain("never");
  expectNothingBlamed();
});
