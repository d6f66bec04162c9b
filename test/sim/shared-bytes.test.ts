/**
 * Two stores without encryption give equal content equal ids, so the nodes hold equal bytes once for both.
 * Whatever order uploads, removals and deletions happen in, a copy that counts as stored is there.
 */
import { expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import { ticketLifetimeMs, uploadIdleMsMax } from "../../protocol/limits.ts";
import { ownNodes } from "../../src/cluster/candidates.ts";
import { chooseNodes } from "../../src/cluster/placement.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import type { Garbage, MetadataStore } from "../../src/meta/store.ts";
import { home, policyOf } from "../support/filling.ts";
import { memoryMetadata } from "../support/member.ts";
import { createStore, fileCommit, knownNode, newUpload, nodeNames, owner, piece, reclaimAll } from "../support/metadata.ts";
import { type HandClock, handClock } from "../support/pki.ts";

const contents = ["a:1", "b:1", "c:1"];
const histories = 40;
const stepsPerHistory = 120;

interface UploadUnderWay {
  readonly token: string;
  readonly store: Inode;
  readonly content: string;
  readonly tickets: { readonly node: GlobalName; readonly untilMs: number }[];
  readonly receipts: { readonly node: GlobalName; readonly storedMs: number }[];
}

interface World {
  readonly random: Random;
  readonly clock: HandClock;
  readonly metadata: MetadataStore;
  readonly stores: readonly Inode[];
  /** What really lies there. */
  readonly held: ReadonlyMap<GlobalName, Set<ChunkId>>;
  readonly uploads: UploadUnderWay[];
  readonly deletions: { readonly garbage: Garbage; done: boolean }[];
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.int(from.length)] as T;
}

function take<T>(random: Random, from: T[]): T | undefined {
  return from.splice(random.int(Math.max(1, from.length)), 1)[0];
}

/** A part of a history. Refusals are what a client has to live with. */
const steps: readonly ((world: World) => Promise<unknown>)[] = [
  async ({ random, clock, metadata, stores, uploads }) => {
    const [store, content, token] = [pick(random, stores), pick(random, contents), newUpload()];
    const chunk = { id: piece(content).chunk, storedBytes: 65, codec: "none" as const };
    const nodes = ownNodes(
      home,
      nodeNames.map((name) => ({ ...knownNode(name), state: "alive" })),
    );
    const { targets } = await metadata.offer({ upload: token, store, chunks: [chunk], confirmed: [] }, (offered, copies) => {
      const request = { chunk: offered.id, storedBytes: 65, policy: policyOf(), home, nodes, copies, exclude: new Set<GlobalName>() };
      return chooseNodes(request).nodes;
    });
    const tickets = (targets[0] ?? []).map((node) => ({ node, untilMs: clock.nowMs + ticketLifetimeMs }));
    uploads.push({ token, store, content, tickets, receipts: [] });
  },
  async ({ random, clock, held, uploads }) => {
    if (uploads.length === 0) return;
    const { content, tickets, receipts } = pick(random, uploads);
    const ticket = take(random, tickets);
    if (!ticket || ticket.untilMs < clock.nowMs) return;
    held.get(ticket.node)?.add(piece(content).chunk);
    receipts.push({ node: ticket.node, storedMs: clock.nowMs });
  },
  async ({ random, clock, metadata, uploads }) => {
    const upload = take(random, uploads);
    if (!upload || upload.receipts.some(({ storedMs }) => storedMs < clock.nowMs - uploadIdleMsMax)) return;
    const { token, store, content } = upload;
    const files = [fileCommit({ parent: store, name: content, pieces: [content] })];
    const confirmed = upload.receipts.map(({ node }) => ({ node, chunks: [piece(content).chunk] }));
    await metadata.commit({ upload: token, files, confirmed, last: random.int(2) === 0, owner });
  },
  async ({ random, metadata, stores }) => {
    await metadata.remove({ parent: pick(random, stores), name: pick(random, contents) }, "file", { by: "dora" });
    await reclaimAll(metadata);
  },
  async ({ metadata, deletions }) => {
    // One pass at a time, as maintenance does it.
    if (deletions.length > 0) return;
    for (const garbage of await metadata.collectGarbage(10)) deletions.push({ garbage, done: false });
  },
  async ({ random, metadata, held, deletions }) => {
    const deletion = deletions.find(({ done }) => !done) ?? deletions[0];
    if (!deletion) return;
    const { node, chunks } = deletion.garbage;
    if (!deletion.done) {
      for (const chunk of chunks) held.get(node)?.delete(chunk);
      deletion.done = true;
      // The answer may be lost; the next pass asks again.
      if (random.int(4) === 0) deletions.splice(deletions.indexOf(deletion), 1);
      return;
    }
    await metadata.forgetCopies(deletion.garbage);
    deletions.splice(deletions.indexOf(deletion), 1);
  },
  async ({ random, clock }) => {
    clock.nowMs += random.int(random.int(10) === 0 ? 2 * uploadIdleMsMax : 60_000);
  },
];

async function assertHeld({ metadata, stores, held }: World, what: string): Promise<void> {
  for (const store of stores) {
    const chunks = contents.map((content) => piece(content).chunk);
    const copies = await metadata.copiesOf(store, chunks);
    for (const [index, chunk] of chunks.entries()) {
      const stored = (copies[index] ?? []).filter((copy) => copy.state === "stored").map((copy) => copy.node);
      const missing = stored.filter((node) => !held.get(node)?.has(chunk));
      if (missing.length > 0) throw new Error(`${what}: ${contents[index]} of store ${store} is not on ${missing.join(", ")}`);
    }
  }
}

test(`${histories} random histories of two stores lose no bytes that either needs`, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  console.log(`shared bytes: SEED=${seed}`);
  let published = 0;
  for (let history = 0; history < histories; history++) {
    const clock = handClock(1_700_000_000_000);
    const metadata = memoryMetadata(clock);
    await metadata.saveNodes(nodeNames.map(knownNode));
    const policy = { encrypt: false, replicas: 2 };
    const stores = [(await createStore(metadata, "one", policy)).inode, (await createStore(metadata, "two", policy)).inode];
    const held = new Map(nodeNames.map((name) => [name, new Set<ChunkId>()]));
    const world: World = { random: createSeededRandom(seed + history), clock, metadata, stores, held, uploads: [], deletions: [] };
    for (let step = 0; step < stepsPerHistory; step++) {
      await pick(
        world.random,
        steps,
      )(world).catch((error: unknown) => {
        if (!(error instanceof CollectiveError)) throw error;
      });
      await assertHeld(world, `SEED=${seed}, history ${history}, step ${step}`);
    }
    published += (await metadata.totals([])).files;
    await metadata.close();
  }
  expect(published).toBeGreaterThan(histories / 2);
});
