/** Where chunks go when others keep some of them: what hosts refuse is offered elsewhere, and limits hold for uploads side by side. */
import { expect, test } from "bun:test";
import { type ChunkId, type GlobalName, parseGlobalName, siteOf } from "../../protocol/ids.ts";
import { mebibyte } from "../../protocol/limits.ts";
import type { StorePolicy } from "../../protocol/schema.ts";
import type { StorageNode } from "../../src/cluster/candidates.ts";
import { createAllocation } from "../../src/coordinator/allocation.ts";
import type { Hosting, HostingRequest } from "../../src/coordinator/hosting.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { chunkId, createStore, newUpload } from "../support/metadata.ts";
import { alice } from "../support/pki.ts";

const members = ["bob@garage", "carol@office", "dave@attic"].map((text) => parseGlobalName(`${text}.collective.local`));
const nodeOf = (member: GlobalName): GlobalName => parseGlobalName(`node-01@${siteOf(member)}`);
const [bobs, carols, daves] = members.map(nodeOf) as [GlobalName, GlobalName, GlobalName];

interface FakeHosts {
  readonly hosting: Hosting;
  readonly asked: HostingRequest[];
  /** Those that refuse now; as the real ones, they are left out from then on. */
  readonly refusing: Set<GlobalName>;
}

function fakeHosts({ othersFreeBytes = Number.MAX_SAFE_INTEGER, answers = Promise.resolve() } = {}): FakeHosts {
  const asked: HostingRequest[] = [];
  const refusing = new Set<GlobalName>();
  const leftOut = new Set<GlobalName>();
  let reservedBytes = 0;
  const nodes = (used: ReadonlyMap<GlobalName, number>): StorageNode[] => {
    const takenBytes = [...used.values()].reduce((sum, bytes) => sum + bytes, reservedBytes);
    return members.map((member) => ({
      ...{ name: nodeOf(member), member, site: siteOf(member), state: "alive", latencyMs: 1, memberFreeBytes: Number.MAX_SAFE_INTEGER },
      freeBytes: leftOut.has(nodeOf(member)) ? 0 : 2 ** 40,
      othersFreeBytes: Math.max(0, othersFreeBytes - takenBytes),
    }));
  };
  const hosting: Hosting = {
    view: async () => ({
      nodes,
      reserve: (names, storedBytes) => {
        reservedBytes += names.length * storedBytes;
        return {
          [Symbol.dispose]: () => {
            reservedBytes -= names.length * storedBytes;
          },
        };
      },
    }),
    ask: async (request) => {
      asked.push(request);
      await answers;
      const names = [...request.wanted.keys()];
      const refused = names.filter((name) => refusing.has(name));
      for (const name of refused) leftOut.add(name);
      const ticket = new TextEncoder().encode(`ticket ${asked.length}`);
      return { granted: names.filter((name) => !refusing.has(name)).map((node) => ({ node, address: "h:1", ticket })), refused };
    },
    reasons: async () => [{ code: "quota_exceeded", limit: "bob takes no more", raise: "ask bob" }],
    own: () => Promise.reject(new Error("not asked for")),
    limits: () => Promise.reject(new Error("not asked for")),
  };
  return { hosting, asked, refusing };
}

async function setUp(member: TestMember, hosts: FakeHosts, policy: Partial<StorePolicy> = {}) {
  await member.metadata.saveHostNodes(
    members.map((one) => ({ name: nodeOf(one), member: one, publicKeyRaw: new Uint8Array(32), address: "h:1" })),
  );
  const { inode } = await createStore(member.metadata, "backup", { strategy: "backup", replicas: 2, ...policy });
  const allocate = createAllocation({ ...member.service, hosting: hosts.hosting });
  const caller = { kind: "user" as const, name: alice, publicKeyRaw: new Uint8Array(), serial: "", certificatePem: "" };
  return async (chunks: readonly ChunkId[], storedBytes = mebibyte) => {
    const request = { upload: newUpload(), store: inode, exclude: [], receipts: [] };
    const offered = chunks.map((id) => ({ id, storedBytes, codec: "none" as const }));
    const answer = await allocate({ ...request, chunks: offered }, { caller, session: undefined, signal: new AbortController().signal });
    return answer.targets.map((targets) => targets.map((index) => answer.nodes[index]));
  };
}

const many = Array.from({ length: 40 }, (_, index) => chunkId(`chunk ${index}`));

test("what a host refuses is offered to others, each chunk with the ticket that is for it", async () => {
  await using member = await startTestMember();
  const hosts = fakeHosts();
  hosts.refusing.add(carols);
  const allocate = await setUp(member, hosts);
  const placed = await allocate(many);
  expect(hosts.asked.length).toBe(2);
  for (const [index, targets] of placed.entries()) {
    expect(targets.map((target) => target?.node).sort()).toEqual([bobs, daves].sort());
    for (const target of targets) {
      const round = Number(new TextDecoder().decode(target?.ticket).slice("ticket ".length)) - 1;
      const asked = target && hosts.asked[round]?.wanted.get(target.node as GlobalName);
      expect(asked?.map(({ id }) => id)).toContain(many[index] as ChunkId);
    }
  }
  // Nobody is asked for a chunk twice.
  for (const name of [bobs, daves]) {
    const ids = hosts.asked.flatMap(({ wanted }) => wanted.get(name) ?? []).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  }
});

test("who refused is not asked again, and what has no place is refused with the reason", async () => {
  await using member = await startTestMember();
  const hosts = fakeHosts();
  for (const name of [bobs, carols, daves]) hosts.refusing.add(name);
  const allocate = await setUp(member, hosts);
  await expect(allocate(many.slice(0, 2))).rejects.toMatchObject({
    code: "quota_exceeded",
    message: `none of the 0 nodes of ${alice} is alive; bob takes no more`,
    hint: "ask bob",
  });
  expect(hosts.asked.length).toBeLessThanOrEqual(3);
  const asked = hosts.asked.flatMap(({ wanted }) => [...wanted.keys()]);
  expect(new Set(asked).size).toBe(asked.length);
});

test("nobody else is asked for what is not encrypted", async () => {
  await using member = await startTestMember();
  await member.startNode("node-01");
  const hosts = fakeHosts();
  const allocate = await setUp(member, hosts, { encrypt: false });
  const placed = await allocate(many);
  expect(new Set(placed.flat().map((target) => target?.node))).toEqual(new Set([parseGlobalName("node-01@home.collective.local")]));
  expect(hosts.asked).toEqual([]);
});

test("uploads side by side do not pass the limit together while hosts are thinking", async () => {
  await using member = await startTestMember();
  await member.startNode("node-01");
  const { promise: answers, resolve } = Promise.withResolvers<void>();
  const hosts = fakeHosts({ othersFreeBytes: 10 * mebibyte, answers });
  const allocate = await setUp(member, hosts, { replicas: 3 });
  const uploads = [0, 1, 2, 3].map((part) => allocate(many.slice(part * 10, part * 10 + 10)));
  resolve();
  const placed = (await Promise.all(uploads)).flat();
  const abroad = placed.flat().filter((target) => target && siteOf(target.node as GlobalName) !== siteOf(alice));
  expect(abroad.length).toBe(10);
  expect([...(await member.metadata.usedAtHosts()).values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(10 * mebibyte);
});
