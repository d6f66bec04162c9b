/** Transfers that take longer than tickets and announcements live, because somebody at their other end takes a break. */
import { expect, test } from "bun:test";
import { randomFillSync } from "node:crypto";
import { rootInode } from "../../protocol/ids.ts";
import { largeChunkBytes, ticketLifetimeMs, uploadIdleMsMax } from "../../protocol/limits.ts";
import type { Attr } from "../../protocol/schema.ts";
import { nextTurn } from "../../src/chunk/checks.ts";
import { readRange } from "../../src/client/download.ts";
import { createIngest } from "../../src/client/ingest.ts";
import type { ContentSource } from "../../src/client/pieces.ts";
import { bytesSource } from "../../src/client/sources.ts";
import { startTestMember, type TestMember } from "../support/member.ts";

const contentBytes = 9 * largeChunkBytes + 17;

const chunksAhead = 4;
let allocations = 0;
let fetches = 0;

async function memberWithStore(): Promise<{ member: TestMember; store: Attr }> {
  const member = await startTestMember({
    wrapHandlers: (handlers) => ({
      ...handlers,
      allocate: async (input, context) => {
        const answer = await handlers.allocate(input, context);
        allocations++;
        return answer;
      },
    }),
  });
  await member.startNode("node-01", {
    intercept: (request) => {
      if (request.method === "GET") fetches++;
      return undefined;
    },
  });
  const [store] = await member.metadata.makeDirectories([{ parent: rootInode, name: "s", mode: 0o755 }], {
    existing: "fail",
    owner: member.member,
  });
  if (!store) throw new Error("no store");
  return { member, store };
}

function targetIn(store: Attr) {
  return { parent: store.inode, name: "file", store: store.inode, mode: 0o644, mtimeNs: 0n };
}

test("a reader may pause for longer than its tickets live", async () => {
  const { member, store } = await memberWithStore();
  await using _ = member;
  const content = randomFillSync(new Uint8Array(contentBytes));
  const ingest = createIngest(member.remote());
  const { committed } = await ingest.add(targetIn(store), bytesSource(content));
  await ingest.finish();
  const { inode } = await committed;

  let bytes = 0;
  let pauses = 0;
  for await (const piece of readRange(member.remote(), { inode, offset: 0, lengthBytes: contentBytes })) {
    bytes += piece.length;
    // What was asked for ahead has come; then the reader goes for lunch.
    const asked = Math.min(pauses++ + chunksAhead, Math.ceil(contentBytes / largeChunkBytes));
    for (let turns = 0; turns < 10_000 && fetches < asked; turns++) await nextTurn();
    member.clock.nowMs += 3 * ticketLifetimeMs;
    await member.nodes()[0]?.register();
  }
  expect(bytes).toBe(contentBytes);
});

test("a writer may pause for longer than announcements live", async () => {
  const { member, store } = await memberWithStore();
  await using _ = member;
  const node = member.nodes()[0];
  let at = 0;
  const source: ContentSource = {
    sizeBytes: contentBytes,
    read: async (into) => {
      const bytes = Math.min(into.length, contentBytes - at);
      // Incompressible, so that a chunk fills a batch and goes its way.
      randomFillSync(into, 0, bytes);
      at += bytes;
      if (at < contentBytes || bytes === 0) return bytes;
      while ((node?.store.usage().chunkCount ?? 0) < 7) await nextTurn();
      for (let pauses = 0; pauses < 8; pauses++) {
        member.clock.nowMs += uploadIdleMsMax / 4;
        await node?.register();
        const asked = allocations;
        member.clock.tick();
        for (let turns = 0; turns < 1_000 && allocations === asked; turns++) await nextTurn();
        await member.metadata.collectGarbage(100);
      }
      return bytes;
    },
  };
  const ingest = createIngest(member.remote());
  const { committed } = await ingest.add(targetIn(store), source);
  await ingest.finish();
  expect((await committed).sizeBytes).toBe(contentBytes);
});
