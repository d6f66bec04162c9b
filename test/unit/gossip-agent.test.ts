/** The agent between real keys and bytes: what reaches the others, and that every exchange ends. */
import { describe, expect, test } from "bun:test";
import type { GlobalName } from "../../protocol/ids.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { registerGossipMetrics } from "../../src/gossip/metrics.ts";
import { decodeGossip, encodeGossip } from "../../src/gossip/seal.ts";
import { createFederation, fastProfile, joined, stateOf, until } from "../support/gossip-agents.ts";

const names = ["alice@home.collective.local", "bob@garage.collective.local", "carol@office.collective.local", "dave@shed.collective.local"];

describe("a federation of agents", () => {
  test("finds all members through one", async () => {
    await using federation = await joined(createFederation(names));
    const { agent } = federation.member("dave@shed.collective.local");
    expect(agent.snapshot().members.map(({ name }) => name as string)).toEqual(names.slice(0, 3));
    expect(agent.snapshot().members[1]?.addresses).toEqual(["127.0.0.1:8002"]);
  });

  test("suspects, buries and welcomes back a member that was cut off", async () => {
    await using federation = await joined(createFederation(names));
    const [alice, bob, carol, dave] = federation.members;
    if (!alice || !bob || !carol || !dave) throw new Error("four members");
    federation.unreachable.add(carol.name);
    await until(() => [alice, bob, dave].every((one) => stateOf(one, carol.name) === "dead"));
    expect(alice.notices.filter((notice) => "member" in notice && notice.member === carol.name).map(({ kind }) => kind)).toEqual([
      "memberUp",
      "suspect",
      "dead",
    ]);
    federation.unreachable.clear();
    await until(() => federation.members.every((one) => one.agent.snapshot().members.every(({ state }) => state === "alive")));
  });

  test("carries records to all, replaces and withdraws them", async () => {
    await using federation = await joined(createFederation(names));
    const [alice, , , dave] = federation.members;
    if (!alice || !dave) throw new Error("four members");
    alice.agent.publish("pledge", { pledgedBytes: 100, hosted: [] });
    await until(() => dave.agent.record(alice.name, "pledge")?.pledgedBytes === 100);
    alice.agent.publish("pledge", { pledgedBytes: 200, hosted: [] });
    await until(() => dave.agent.record(alice.name, "pledge")?.pledgedBytes === 200);
    alice.agent.withdraw("pledge");
    await until(() => dave.agent.record(alice.name, "pledge") === undefined);
    expect(dave.notices.some((notice) => notice.kind === "recordChanged" && notice.record.topic === "pledge")).toBe(true);
  });

  test("a member that stops is known to have left, and answers no more", async () => {
    await using federation = await joined(createFederation(names));
    const [alice, bob] = federation.members;
    if (!alice || !bob) throw new Error("four members");
    await bob.agent.stop();
    await until(() => stateOf(alice, bob.name) === "left");
    expect(bob.agent.receive(alice.name, new Uint8Array([1]))).rejects.toMatchObject({ code: "unavailable" });
  });

  test("tells who speaks of an earlier life of ours what we are now", async () => {
    await using federation = await joined(createFederation(names));
    const [alice, bob] = federation.members;
    if (!alice || !bob) throw new Error("four members");
    const old = bob.seal({ kind: "alive", member: bob.name, incarnation: 1, status: "up", addresses: [] });
    const accusation = alice.seal({ kind: "suspect", accuser: alice.name, member: bob.name, incarnation: 1 });
    await until(() => bob.agent.snapshot().pendingNews === 0);
    const answer = await bob.agent.receive(alice.name, encodeGossip({ kind: "ping", news: [old, accusation] }));
    const opener = { keyOf: (member: GlobalName) => federation.keys.get(member), isNews: () => true };
    const { message } = decodeGossip(answer, opener);
    const incarnation = alice.agent.snapshot().members.find(({ name }) => name === bob.name)?.incarnation ?? expect.unreachable();
    expect(message.news).toMatchObject([{ kind: "alive", member: bob.name, incarnation }]);
  });

  test("forgets a member when trust is withdrawn, and takes nothing of it any more", async () => {
    await using federation = await joined(createFederation(names));
    const [alice, bob] = federation.members;
    if (!alice || !bob) throw new Error("four members");
    federation.keys.delete(bob.name);
    for (const { agent } of federation.members) agent.forget(bob.name);
    await until(() => federation.members.filter((one) => one !== bob).every((one) => stateOf(one, bob.name) === undefined));
    expect(alice.agent.receive(bob.name, new Uint8Array([1]))).rejects.toMatchObject({ code: "permission_denied" });
  });

  test("shows its figures to Prometheus", async () => {
    await using federation = await joined(createFederation(names));
    const [alice] = federation.members;
    if (!alice) throw new Error("a member");
    const metrics = createMetrics();
    metrics.setMember(alice.name);
    registerGossipMetrics(metrics, alice.agent);
    await until(() => alice.agent.snapshot().messagesSent.ping > 0);
    const text = await metrics.text();
    expect(text).toContain('collective_peers{state="alive",member="alice@home.collective.local"} 3');
    expect(text).toMatch(/collective_gossip_messages_total\{kind="ping",member="[^"]+"\} [1-9]/);
    expect(text).toMatch(/collective_gossip_bytes_total\{direction="received",member="[^"]+"\} [1-9]/);
  });
});

test("a transport that never answers holds up nothing", async () => {
  const federation = createFederation(names.slice(0, 2), { ...fastProfile, exchangeTimeoutMs: 20 });
  const [alice, bob] = federation.members;
  if (!alice || !bob) throw new Error("two members");
  alice.agent.start();
  bob.agent.receive = () => new Promise(() => undefined);
  alice.agent.contact(bob.name);
  await until(() => alice.agent.snapshot().messagesSent.sync >= 3);
  await alice.agent.stop();
});
