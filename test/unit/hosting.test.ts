/** The host's end: what another member's coordinator gets, whatever it says of itself. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type GlobalName, parseGlobalName, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax, guestTicketLifetimeMs, mebibyte } from "../../protocol/limits.ts";
import { type RouteOutput, routes } from "../../protocol/routes.ts";
import type { ControlClient } from "../../src/net/control-client.ts";
import { createTicketVerifier } from "../../src/pki/ticket.ts";
import { until } from "../support/e2e-commands.ts";
import { nameAt, startTestMember, type TestMember, type TestNode } from "../support/member.ts";
import { chunkId } from "../support/metadata.ts";
import { alice, bob } from "../support/pki.ts";

const carol = parseGlobalName("carol@office.collective.local");
const dora = parseGlobalName("dora@garage.collective.local");

/** Alice is the host, bob the owner who asks. All three see each other. */
let [host, owner, third]: TestMember[] = [];
let node: TestNode;
let asOwner: ControlClient;
let chunks = 0;

function members(): readonly [TestMember, TestMember, TestMember] {
  if (!host || !owner || !third) throw new Error("the members have not started");
  return [host, owner, third];
}

beforeAll(async () => {
  [host, owner, third] = await Promise.all([startTestMember(), startTestMember({ member: bob }), startTestMember({ member: carol })]);
  const [atAlice, ...others] = members();
  for (const other of others) {
    const invite = { kind: "member" as const, grants: [], usesMax: 1, validityMs: 3_600_000, description: "" };
    const { code } = await atAlice.client().call(routes.createInvite, invite);
    await other.client().call(routes.addPeer, { code });
  }
  for (const member of members()) member.service.federation.start();
  node = await atAlice.startNode("node-01");
  await members()[1].startNode("node-01");
  await until(
    () => capacityAt(atAlice, bob),
    (bytes) => bytes > 0,
  );
  asOwner = atAlice.client(members()[1].service.credentials());
}, 30_000);
afterAll(async () => {
  await Promise.all(members().map((member) => member[Symbol.asyncDispose]()));
});
/** Promises of earlier tests have run out. */
beforeEach(async () => {
  for (const member of members()) member.clock.nowMs += guestTicketLifetimeMs + clockSkewMsMax;
  await node.register();
});

function capacityAt(member: TestMember, of: GlobalName): number {
  return (member.service.federation.agent.record(of, "nodes")?.nodes ?? []).reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
}

async function pledge(member: TestMember, pledgedBytes: number): Promise<void> {
  await member.client().call(routes.setPledge, { pledgedBytes });
  const others = members().filter((other) => other !== member);
  await until(
    () => others.map((other) => toldAt(other, member.member)),
    (told) => told.every((bytes) => bytes === pledgedBytes),
  );
}

function toldAt(member: TestMember, of: GlobalName): number | undefined {
  return member.service.federation.agent.record(of, "pledge")?.pledgedBytes;
}

function ask(sizes: readonly number[], { at = nameAt("node-01"), client = asOwner } = {}): Promise<RouteOutput<typeof routes.host>> {
  const wanted = sizes.map((storedBytes) => ({ id: chunkId(`chunk ${++chunks}`), storedBytes }));
  return client.call(routes.host, { holder: dora, nodes: [{ node: at, chunks: wanted }] });
}

const refusalOf = ({ refused }: RouteOutput<typeof routes.host>): string =>
  refused.map(({ code, message }) => `${code}: ${message}`).join();

describe("a host", () => {
  test("gives a ticket to write these chunks for their owner, and no more than that", async () => {
    await pledge(members()[0], 64 * mebibyte);
    await pledge(members()[1], 64 * mebibyte);
    const { nodes, refused } = await ask([1_000, 2_000]);
    expect(refused).toEqual([]);
    const [granted] = nodes;
    if (!granted) throw new Error("nothing was granted");
    expect(granted).toMatchObject({ node: node.name, address: node.address, publicKeyRaw: node.signer.publicKeyRaw });
    const { nowMs } = members()[0].clock;
    const verifier = createTicketVerifier({
      ...{ audience: node.name, isWithdrawn: () => false, clock: members()[0].clock, cacheEntriesMax: 1 },
      coordinatorKeyFor: () => members()[0].signer.publicKeyRaw,
    });
    expect(verifier.verify(granted.ticket)).toMatchObject({
      ...{ operation: "put", issuer: siteOf(alice), owner: siteOf(bob), holder: dora, bytesMax: 3_000 },
      ...{ notBeforeMs: nowMs, expiresMs: nowMs + guestTicketLifetimeMs },
      chunks: [chunkId(`chunk ${chunks - 1}`), chunkId(`chunk ${chunks}`)],
    });
  });

  test("lets an owner that asks without end, and sends nothing, no further than its share", async () => {
    await pledge(members()[0], 64 * mebibyte);
    await pledge(members()[1], 10 * mebibyte);
    let grantedBytes = 0;
    let last: RouteOutput<typeof routes.host> | undefined;
    for (let i = 0; i < 10; i++) {
      last = await ask([3 * mebibyte]);
      grantedBytes += last.nodes.length * 3 * mebibyte;
      await node.register();
    }
    expect(grantedBytes).toBe(9 * mebibyte);
    expect(last && refusalOf(last)).toBe(
      `quota_exceeded: ${bob} may store no 3.0 MiB more at others: 9.0 MiB used of the 10.0 MiB that it may (it pledged 10.0 MiB)`,
    );
    expect((await ask([mebibyte])).nodes.length).toBe(1);
  });

  test("keeps no more than it pledged, and nothing when it pledged nothing", async () => {
    await pledge(members()[0], 4 * mebibyte);
    await pledge(members()[1], 64 * mebibyte);
    expect((await ask([3 * mebibyte])).nodes.length).toBe(1);
    expect(refusalOf(await ask([2 * mebibyte]))).toBe(
      `quota_exceeded: ${alice} takes no 2.0 MiB more: 3.0 MiB used of the 4.0 MiB that it pledged to others`,
    );
    await pledge(members()[0], 0);
    expect(refusalOf(await ask([1]))).toBe(`quota_exceeded: ${alice} lends nothing to others`);
  });

  test("counts what the owner has at others, by what those have signed", async () => {
    await pledge(members()[0], 64 * mebibyte);
    await pledge(members()[1], 8 * mebibyte);
    const { hosted } = members()[2].service;
    hosted.promise({ owner: siteOf(bob), node: nameAt("node-01", carol) }, [{ id: chunkId("at carol"), storedBytes: 6 * mebibyte }]);
    await until(
      () => members()[0].service.federation.agent.record(carol, "pledge")?.hosted,
      (hostedThere) => hostedThere?.some(({ bytes }) => bytes === 6 * mebibyte) === true,
    );
    expect(refusalOf(await ask([3 * mebibyte]))).toMatch(/^quota_exceeded: bob@.* 6\.0 MiB used of the 8\.0 MiB/);
    expect((await ask([2 * mebibyte])).nodes.length).toBe(1);
  });

  test("a pledge beyond the disks of the owner counts as far as those", async () => {
    await pledge(members()[0], 2 ** 40);
    await pledge(members()[1], 2 ** 40);
    const capacity = capacityAt(members()[0], bob);
    const room = (await ask([1])).nodes.length;
    expect(room).toBe(1);
    const { service } = members()[0];
    service.hosted.promise({ owner: siteOf(bob), node: node.name }, [{ id: chunkId("much"), storedBytes: capacity }]);
    expect(refusalOf(await ask([1]))).toMatch(/pledged 1\.0 TiB, of which its nodes have 1\.0 GiB/);
  });

  test("says of each node why it keeps nothing there", async () => {
    await pledge(members()[0], 64 * mebibyte);
    await pledge(members()[1], 64 * mebibyte);
    expect(refusalOf(await ask([1], { at: nameAt("node-99") }))).toMatch(/^not_found: /);
    const small = await members()[0].startNode("small", { capacityBytes: 1_000 });
    expect(refusalOf(await ask([2_000], { at: small.name }))).toMatch(/^no_space: small@.* has no room for/);
    members()[0].clock.nowMs += 5_000;
    await node.register();
    expect(refusalOf(await ask([1], { at: small.name }))).toMatch(/^unavailable: small@.* is suspect$/);
  });

  test("answers coordinators of its peers and nobody else", async () => {
    const [atAlice, atBob] = members();
    const trusted = [atAlice.authority.certificatePem];
    atBob.clock.nowMs = Date.now();
    const person = await atBob.credentialsOf({ kind: "user", name: bob }, { trusted });
    await expect(ask([1], { client: atAlice.client(person) })).rejects.toMatchObject({ code: "permission_denied" });
    await expect(ask([1], { client: atAlice.client() })).rejects.toMatchObject({ code: "permission_denied" });
  });
});

describe("a pledge", () => {
  test("is set by the administrator, kept, and stands in the audit trail", async () => {
    const [atAlice] = members();
    await pledge(atAlice, 5 * mebibyte);
    expect(await atAlice.client().call(routes.showPledge, {})).toMatchObject({
      pledgedBytes: 5 * mebibyte,
      shareBytes: 5 * mebibyte,
      giveToGet: 1,
    });
    expect(await atAlice.metadata.pledge()).toBe(5 * mebibyte);
    const [entry] = await atAlice.metadata.listAudit({ limit: 1 });
    expect(entry).toMatchObject({ actor: alice, action: "pledge.set", details: { bytes: 5 * mebibyte } });
  });
});
