/** Mallory is a member that all trust, with a key of its own, and says what it likes. None of it changes anything for the others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encodeMessage } from "../../protocol/codec.ts";
import { gossipMessageBytesMax } from "../../protocol/gossip.ts";
import { encodeRecordBody } from "../../protocol/gossip-records.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import type { Message, News } from "../../src/gossip/messages.ts";
import { encodeGossip } from "../../src/gossip/seal.ts";
import { type AgentOf, createFederation, type Federation, joined, stateOf, until } from "../support/gossip-agents.ts";
import { authorityOf } from "../support/pki.ts";

const names = [
  "alice@home.collective.local",
  "bob@garage.collective.local",
  "carol@office.collective.local",
  "mallory@lair.collective.local",
];

let federation: Federation;
let [alice, bob, carol, mallory]: AgentOf[] = [];
beforeAll(async () => {
  federation = await joined(createFederation(names));
  [alice, bob, carol, mallory] = federation.members;
});
afterAll(() => federation[Symbol.asyncDispose]());

function the(member: AgentOf | undefined): AgentOf {
  if (!member) throw new Error("not set up");
  return member;
}

/** What the honest ones think of each other; incarnations are what a lie would move. */
function truth() {
  return [the(alice), the(bob), the(carol)].map(({ agent }) =>
    agent
      .snapshot()
      .members.filter(({ name }) => name !== the(mallory).name)
      .map(({ name, state, addresses }) => ({ name, state, addresses })),
  );
}

function tell(...news: News[]): Promise<Uint8Array> {
  return the(alice).agent.receive(the(mallory).name, encodeGossip({ kind: "news", news }));
}

function statementOf(member: GlobalName, incarnation: number): News {
  return the(mallory).seal({ kind: "alive", member, incarnation, status: "up", addresses: ["6.6.6.6:666"] });
}

describe("what a liar tries", () => {
  test("to speak for another: to move it, to make it leave, to give it records", async () => {
    const before = truth();
    const forgedBefore = the(alice).agent.snapshot().rejected.forged;
    const { seal } = the(mallory);
    const victim = the(bob).name;
    await tell(
      statementOf(victim, 2 ** 50),
      seal({ kind: "alive", member: victim, incarnation: 2 ** 50, status: "left", addresses: [] }),
      seal({
        kind: "record",
        member: victim,
        topic: "pledge",
        item: "",
        clock: 2 ** 50,
        body: encodeRecordBody("pledge", { pledgedBytes: 9, hosted: [] }),
      }),
    );
    expect(truth()).toEqual(before);
    expect(the(alice).agent.record(victim, "pledge")).toBeUndefined();
    expect(the(alice).agent.snapshot().rejected.forged).toBe(forgedBefore + 3);
  });

  test("to accuse in another's name", async () => {
    const incarnation =
      the(alice)
        .agent.snapshot()
        .members.find(({ name }) => name === the(bob).name)?.incarnation ?? 0;
    await tell(the(mallory).seal({ kind: "suspect", accuser: the(carol).name, member: the(bob).name, incarnation }));
    expect(stateOf(the(alice), the(bob).name)).toBe("alive");
  });

  test("to replay what a member said in an earlier incarnation", async () => {
    const old = the(bob).seal({ kind: "alive", member: the(bob).name, incarnation: 1, status: "left", addresses: [] });
    await tell(old);
    expect(stateOf(the(alice), the(bob).name)).toBe("alive");
  });

  test("to sign one kind of statement and show it as another", async () => {
    const before = truth();
    const { sealed, ...rest } = the(bob).seal({ kind: "presence", member: the(bob).name, nonce: new Uint8Array(16) });
    const relabelled = Uint8Array.from(sealed);
    relabelled[1] = 3;
    await the(alice).agent.receive(
      the(mallory).name,
      encodeGossip({ kind: "news", news: [{ ...rest, sealed: relabelled } as unknown as News] }),
    );
    expect(truth()).toEqual(before);
  });

  test("to accuse everybody, again and again: nobody alive is ever dead", async () => {
    for (let round = 0; round < 60; round++) {
      const accusations = the(alice)
        .agent.snapshot()
        .members.filter(({ name }) => name !== the(mallory).name)
        .map(({ name, incarnation }) => the(mallory).seal({ kind: "suspect", accuser: the(mallory).name, member: name, incarnation }));
      await tell(...accusations).catch(() => undefined);
    }
    const deaths = federation.members.flatMap(({ notices }) => notices.filter(({ kind }) => kind === "dead"));
    expect(deaths).toEqual([]);
    await until(() => truth().every((view) => view.every(({ state }) => state === "alive")));
  });

  test("to vouch for a member as a helper, without that member's word", async () => {
    const before = the(carol).agent.snapshot().members.length;
    const proof = the(mallory).seal({ kind: "presence", member: the(bob).name, nonce: new Uint8Array(16) });
    const answer: Message = { kind: "ack", news: [], proof };
    await the(carol).agent.receive(the(mallory).name, encodeGossip(answer));
    expect(the(carol).agent.snapshot().members.length).toBe(before);
  });

  test("messages that are too large, broken or claim more than they hold", async () => {
    const before = truth();
    const send = (bytes: Uint8Array) => the(alice).agent.receive(the(mallory).name, bytes);
    expect(send(new Uint8Array(10 * 1024 * 1024))).rejects.toMatchObject({ code: "too_large" });
    expect(send(new Uint8Array(gossipMessageBytesMax + 1))).rejects.toMatchObject({ code: "too_large" });
    expect(send(new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]))).rejects.toMatchObject({ code: "invalid_argument" });
    const tooMany = encodeMessage({ version: 1, kind: "news", news: Array.from({ length: 600 }, () => new Uint8Array(8)) });
    expect(send(tooMany)).rejects.toMatchObject({ code: "invalid_argument" });
    await send(encodeMessage({ version: 1, kind: "news", news: [new Uint8Array(0), new Uint8Array(200).fill(3)] }));
    expect(truth()).toEqual(before);
  });

  test("to introduce a second owner of another's site, a site inside it, or an authority of another site", async () => {
    const lair = await authorityOf("lair.collective.local");
    const fresh = await authorityOf("fresh.collective.local");
    const introduce = async (clock: number, item: string, authorityPem: string, member = item) => {
      const body = encodeRecordBody("introduction", { member: parseGlobalName(member), authorityPem, coordinatorPem: "", addresses: [] });
      await tell(the(mallory).seal({ kind: "record", member: the(mallory).name, topic: "introduction", item, clock, body }));
    };
    await introduce(1, "mallory@home.collective.local", lair.certificatePem);
    await introduce(2, "evil@cellar.home.collective.local", lair.certificatePem);
    await introduce(3, "friend@fresh.collective.local", lair.certificatePem);
    await introduce(4, "friend@fresh.collective.local", "not a certificate");
    await introduce(5, "friend@fresh.collective.local", fresh.certificatePem, "other@fresh.collective.local");
    expect(the(alice).introductions).toEqual([]);
    await introduce(6, "friend@fresh.collective.local", fresh.certificatePem);
    expect(the(alice).introductions).toMatchObject([{ member: "friend@fresh.collective.local", introducedBy: the(mallory).name }]);
    expect(stateOf(the(alice), parseGlobalName("friend@fresh.collective.local"))).toBeUndefined();
  });

  test("to say something as a member that nobody trusts", async () => {
    const stranger = parseGlobalName("stranger@away.collective.local");
    await tell(statementOf(stranger, 5));
    expect(stateOf(the(alice), stranger)).toBeUndefined();
    expect(the(alice).agent.receive(stranger, encodeGossip({ kind: "ping", news: [] }))).rejects.toMatchObject({
      code: "permission_denied",
    });
  });

  test("to flood: it is refused, the others are not", async () => {
    const ping = encodeGossip({ kind: "ping", news: [] });
    const answers = await Promise.allSettled(Array.from({ length: 2_000 }, () => the(bob).agent.receive(the(mallory).name, ping)));
    const refused = answers.filter((answer) => answer.status === "rejected");
    expect(refused.length).toBeGreaterThan(1_000);
    expect(refused[0]).toMatchObject({ reason: { code: "rate_limited" } });
    await the(bob).agent.receive(the(alice).name, ping);
  });

  test("a flood of what is signed by itself: the others pass on no more than its budget", async () => {
    const { seal, name } = the(mallory);
    const large = encodeRecordBody("nodes", {
      nodes: Array.from({ length: 64 }, (_, index) => ({
        name: parseGlobalName(`n${index}@lair.collective.local`),
        address: "x".repeat(100),
        state: "alive" as const,
        capacityBytes: 1,
        freeBytes: 1,
      })),
    });
    const from = Date.now() * 2;
    let taken = 0;
    for (let clock = 0; clock < 200; clock++) {
      const before = the(carol).notices.length;
      const news = [seal({ kind: "record", member: name, topic: "nodes", item: "", clock: from + clock, body: large })];
      await the(carol).agent.receive(name, encodeGossip({ kind: "news", news }));
      if (
        the(carol)
          .notices.slice(before)
          .some(({ kind }) => kind === "recordChanged")
      )
        taken += large.length;
    }
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(300 * 1024);
    expect(truth().every((view) => view.every(({ state }) => state === "alive"))).toBe(true);
  });
});
