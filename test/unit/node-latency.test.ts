/** Which nodes are near, as the coordinator and as a client see it. */
import { describe, expect, test } from "bun:test";
import type { GlobalName } from "../../protocol/ids.ts";
import { mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { createNodeLatencies, type NodeLatencies } from "../../src/client/node-latency.ts";
import { createRemote } from "../../src/client/remote.ts";
import { latencyOf } from "../../src/cluster/latency.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { systemRandom } from "../../src/core/random.ts";
import { content, ingestFile, readContent } from "../support/content.ts";
import { startTestMember } from "../support/member.ts";
import { nodeNames, owner } from "../support/metadata.ts";
import { handClock } from "../support/pki.ts";

const [n1, n2, n3] = nodeNames as [GlobalName, GlobalName, GlobalName];

describe("a coordinator", () => {
  test("believes the shortest round trip of some, and nothing before there are some", () => {
    expect(latencyOf([])).toBeUndefined();
    expect(latencyOf([30, 30, 30])).toBeUndefined();
    expect(latencyOf([30, 300, 31, 90])).toBe(30);
  });

  test("knows a node's latency by its heartbeats, of the latest ones alone", async () => {
    await using member = await startTestMember();
    const node = await member.startNode("node-01");
    const { directory } = member.service;
    const [known] = directory.list();
    if (!known) throw new Error("no node");
    const beat = (roundTripMs?: number) =>
      directory.record({ name: node.name, publicKeyRaw: node.signer.publicKeyRaw }, known, roundTripMs);
    for (let i = 0; i < 4; i++) await beat(1);
    expect(directory.latencyMs(node.name)).toBe(1);
    await beat();
    expect(directory.latencyMs(node.name)).toBe(1);
    for (let i = 0; i < 16; i++) await beat(40 + i);
    expect(directory.latencyMs(node.name)).toBe(40);
    expect(directory.latencyMs(n2)).toBe(0);
  });

  test("sends readers to the near copy first, and to the far one when that is gone", async () => {
    await using member = await startTestMember();
    for (const local of ["node-01", "node-02"]) await member.startNode(local);
    const store = await member.metadata.createStore({ name: "films", policy: { ...defaultStorePolicy, strategy: "media" }, owner });
    const plain = content(3 * mebibyte, 1);
    const { attr } = await ingestFile(member.remote(), store, { name: "film", source: plain });
    for (const node of member.nodes()) {
      const [known] = member.service.directory.list().filter(({ name }) => name === node.name);
      const caller = { name: node.name, publicKeyRaw: node.signer.publicKeyRaw };
      if (known) for (let i = 0; i < 4; i++) await member.service.directory.record(caller, known, node.name === n1 ? 60 : 1);
    }
    const range = { inode: attr.inode, offset: 0, lengthBytes: plain.length };
    const { files, nodes } = await member.client().call(routes.locate, { files: [range] });
    for (const { nodes: order } of files[0]?.extents ?? []) expect(order.map((index) => nodes[index]?.node)).toEqual([n2, n1]);
    await member
      .nodes()
      .find(({ name }) => name === n2)
      ?.kill();
    expect(Buffer.compare(await readContent(member.remote(), attr.inode), plain)).toBe(0);
  });
});

describe("a client", () => {
  const order = (latencies: NodeLatencies) => latencies.inOrder([n1, n2, n3].map((node) => ({ node }))).map(({ node }) => node);

  const measure = (latencies: NodeLatencies, node: GlobalName, latencyMs: number): void => {
    for (let i = 0; i < 4; i++) latencies.note(node, latencyMs);
  };

  test("keeps the coordinator's order but for nodes it has found clearly slower than others", () => {
    const clock = handClock();
    const latencies = createNodeLatencies(clock);
    expect(order(latencies)).toEqual([n1, n2, n3]);
    measure(latencies, n1, 200);
    expect(order(latencies)).toEqual([n1, n2, n3]);
    measure(latencies, n3, 150);
    expect(order(latencies)).toEqual([n1, n2, n3]);
    measure(latencies, n2, 1);
    expect(order(latencies)).toEqual([n2, n1, n3]);
    expect(latencies.inOrder([])).toEqual([]);
  });

  test("forgives slow answers beside quick ones, and a node that was slow some time ago", () => {
    const clock = handClock();
    const latencies = createNodeLatencies(clock);
    for (const node of [n1, n2, n3]) measure(latencies, node, 2);
    for (let i = 0; i < 3; i++) measure(latencies, n1, 60);
    expect(order(latencies)).toEqual([n1, n2, n3]);
    measure(latencies, n1, 60);
    expect(order(latencies)).toEqual([n2, n3, n1]);
    clock.nowMs += 30_001;
    expect(order(latencies)).toEqual([n1, n2, n3]);
  });

  test("reads from the node that answers quickly, once it knows", async () => {
    await using member = await startTestMember();
    const asked: string[] = [];
    for (const local of ["node-01", "node-02"]) {
      await member.startNode(local, {
        intercept: async (request) => {
          if (request.method !== "GET") return undefined;
          asked.push(local);
          if (local === "node-01") await systemClock.sleep(150);
          return undefined;
        },
      });
    }
    const store = await member.metadata.createStore({ name: "films", policy: { ...defaultStorePolicy, strategy: "media" }, owner });
    // So many chunks that some of them are asked of each node first.
    const plain = content(mebibyte, 1);
    const { attr } = await ingestFile(member.remote(), store, { name: "film", source: plain });
    const credentials = await member.credentialsOf({ kind: "user", name: member.member });
    const around = { clock: systemClock, random: systemRandom, log: silentLog };
    const remote = createRemote({ member: member.member, address: member.address, credentials: () => credentials, ...around });
    for (let i = 0; i < 5; i++) await readContent(remote, attr.inode);
    asked.length = 0;
    for (let i = 0; i < 3; i++) expect(Buffer.compare(await readContent(remote, attr.inode), plain)).toBe(0);
    expect(new Set(asked)).toEqual(new Set(["node-02"]));
  });
});
