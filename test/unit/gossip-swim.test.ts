/** Decisions of the step function, one member at a time: what it does when this happens in that state. */
import { describe, expect, test } from "bun:test";
import { gossipMessageBytesMax } from "../../protocol/gossip.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import type { Message } from "../../src/gossip/messages.ts";
import { pendingNews } from "../../src/gossip/news.ts";
import { opinionOf } from "../../src/gossip/opinions.ts";
import { lanProfile } from "../../src/gossip/profile.ts";
import { encodeGossip } from "../../src/gossip/seal.ts";
import { clockJumpMax, type GossipAction, type GossipEvent, type GossipState, newsEntriesMax, relaysMax } from "../../src/gossip/state.ts";
import { createGossipState, step } from "../../src/gossip/swim.ts";
import { lookUp } from "../../src/gossip/trie.ts";
import { nameOf, simSeal as seal } from "../support/gossip-world.ts";

const [self, bob, carol, dave, mallory] = [0, 1, 2, 3, 4].map(nameOf) as [GlobalName, GlobalName, GlobalName, GlobalName, GlobalName];

function alive(member: GlobalName, incarnation = 1, status: "up" | "left" = "up") {
  return seal({ kind: "alive", member, incarnation, status, addresses: [] });
}

function suspect(accuser: GlobalName, member: GlobalName, incarnation = 1) {
  return seal({ kind: "suspect", accuser, member, incarnation });
}

function record(member: GlobalName, clock: number, text: string) {
  return seal({ kind: "record", member, topic: "nodes", item: "", clock, body: Buffer.from(text) });
}

const kinds = (actions: readonly GossipAction[]) => actions.map((action) => action.kind);
const sent = (actions: readonly GossipAction[], kind: Message["kind"]) =>
  actions.flatMap((action) => (action.kind === "send" && action.message.kind === kind ? [action] : []));

/** A member by hand: time stands until it is moved. */
function member(others: readonly GlobalName[] = [bob, carol, dave, mallory]) {
  const random = createSeededRandom(7);
  let nowMs = 0;
  let state: GossipState = createGossipState(
    { profile: lanProfile, member: self, addresses: ["a:1"], counterStart: 1 },
    { nowMs, random, seal },
  );
  let call = 0;
  const feed = (event: GossipEvent): readonly GossipAction[] => {
    const result = step(state, event, { nowMs, random, seal });
    state = result.state;
    return result.actions;
  };
  const tell = (from: GlobalName, ...news: Message["news"]) =>
    feed({ kind: "request", from, call: ++call, message: { kind: "news", news } });
  const it = {
    get state() {
      return state;
    },
    feed,
    tell,
    opinion: (of: GlobalName) => {
      const held = lookUp(state.members, of);
      return held && opinionOf(state, held);
    },
    deadline: (of: GlobalName) => lookUp(state.suspects, of)?.deadlineMs,
    /** Wakes it whenever it wants to, answering nothing, and collects what it does. */
    pass: (ms: number): GossipAction[] => {
      const endMs = nowMs + ms;
      const actions: GossipAction[] = [];
      while (state.dueMs <= endMs) {
        nowMs = Math.max(nowMs, state.dueMs);
        actions.push(...feed({ kind: "wake" }));
      }
      nowMs = endMs;
      return actions;
    },
    /** Waits for the first ping and no longer. */
    firstPing: () => {
      for (;;) {
        nowMs = Math.max(nowMs, state.dueMs);
        const [ping] = sent(feed({ kind: "wake" }), "ping");
        if (ping) return ping;
      }
    },
    /** Nobody works here for that long. */
    stall: (ms: number) => {
      nowMs += ms;
    },
  };
  tell(bob, ...others.map((other) => alive(other)));
  return it;
}

const newsIn = (action: GossipAction | undefined) => (action?.kind === "respond" ? action.message.news : []);

test("a state never changes: the same event in the same state gives the same again", () => {
  const it = member();
  const before = it.state;
  const copy = structuredClone({ ...before });
  const environment = () => ({ nowMs: 1, random: createSeededRandom(1), seal });
  const event: GossipEvent = {
    kind: "request",
    from: bob,
    call: 9,
    message: { kind: "news", news: [suspect(bob, carol), alive(dave, 5)] },
  };
  const once = step(before, event, environment());
  expect(structuredClone({ ...before })).toEqual(copy);
  expect(step(before, event, environment())).toEqual(once);
});

describe("statements about members", () => {
  test("a new member is up, a later incarnation replaces an earlier one, an earlier one changes nothing", () => {
    const it = member([bob]);
    expect(it.tell(bob, alive(carol, 5))).toContainEqual({ kind: "memberUp", member: carol });
    it.tell(bob, alive(carol, 4));
    expect(lookUp(it.state.members, carol)?.incarnation).toBe(5);
    it.tell(bob, alive(carol, 6));
    expect(lookUp(it.state.members, carol)?.incarnation).toBe(6);
  });

  test("two statements of one incarnation: all settle on the same one", () => {
    const one = seal({ kind: "alive", member: carol, incarnation: 2, status: "up", addresses: ["x:1"] });
    const other = seal({ kind: "alive", member: carol, incarnation: 2, status: "up", addresses: ["y:1"] });
    const [first, second] = [member(), member()];
    first.tell(bob, one, other);
    second.tell(bob, other, one);
    expect(lookUp(first.state.members, carol)).toEqual(lookUp(second.state.members, carol) as never);
  });

  test("leaving is believed at once, from the member itself", () => {
    const it = member();
    expect(it.tell(bob, alive(carol, 2, "left"))).toContainEqual({ kind: "left", member: carol });
    it.pass(60_000);
    expect(it.opinion(carol)).toBe("left");
  });

  test("an accusation starts a suspicion, which the accused refutes", () => {
    const it = member();
    expect(kinds(it.tell(bob, suspect(bob, carol)))).toContain("suspect");
    expect(it.tell(bob, alive(carol, 2))).toContainEqual({ kind: "memberUp", member: carol });
    expect(it.state.suspects.count).toBe(0);
  });

  test.each([
    ["an incarnation that is over", suspect(bob, carol, 0)],
    ["an incarnation that nobody has seen", suspect(bob, carol, 900)],
    ["itself", suspect(carol, carol)],
    ["somebody by an accuser that is not known", suspect(nameOf(77), carol)],
    ["somebody who is not known", suspect(bob, nameOf(78))],
  ])("an accusation of %s changes nothing", (_, accusation) => {
    const it = member();
    it.tell(bob, accusation);
    expect(it.state.suspects.count).toBe(0);
    expect(it.opinion(carol)).toBe("alive");
  });

  test("an accuser counts once, and confirmations of others shorten the time", () => {
    const it = member();
    it.tell(bob, suspect(bob, carol));
    const alone = it.deadline(carol) ?? expect.unreachable();
    it.tell(bob, suspect(bob, carol));
    expect(it.deadline(carol)).toBe(alone);
    it.tell(bob, suspect(dave, carol));
    expect(it.deadline(carol)).toBeLessThan(alone);
  });

  test("we refute what is said of us, above what was said", () => {
    const it = member();
    it.pass(5_000);
    const [answer] = it.tell(bob, suspect(bob, self));
    expect(it.state.self.incarnation).toBe(2);
    expect(newsIn(answer)[0]).toMatchObject({ kind: "alive", member: self, incarnation: 2 });
    it.tell(bob, alive(self, 40));
    expect(it.state.self.incarnation).toBe(41);
  });
});

test("accused all the time, we refute again and again, but not more often than the others take it", () => {
  const it = member();
  for (let tick = 0; tick < 100; tick++) {
    it.tell(
      mallory,
      suspect(mallory, bob),
      suspect(mallory, carol),
      suspect(mallory, dave),
      suspect(mallory, self, it.state.self.incarnation),
    );
    it.pass(100);
  }
  expect(it.state.self.incarnation).toBeGreaterThanOrEqual(8);
  expect(it.state.self.incarnation).toBeLessThanOrEqual(10);
});

describe("a suspicion", () => {
  test("runs out into death, and the dead come back with a new incarnation only", () => {
    const it = member();
    it.tell(bob, suspect(bob, carol), suspect(dave, carol), suspect(mallory, carol));
    expect(kinds(it.pass(lanProfile.suspicionMaxMs + 1))).toContain("dead");
    it.tell(bob, alive(carol, 1));
    expect(it.opinion(carol)).toBe("dead");
    it.tell(bob, alive(carol, 2));
    expect(it.opinion(carol)).toBe("alive");
    expect(it.state.dead.count).toBe(0);
  });

  test("does not go on while nobody works here", () => {
    const it = member();
    it.tell(bob, suspect(bob, carol), suspect(dave, carol), suspect(mallory, carol));
    it.stall(60_000);
    expect(kinds(it.feed({ kind: "wake" }))).not.toContain("dead");
    it.tell(bob, alive(carol, 2));
    it.pass(400);
    expect(it.opinion(carol)).toBe("alive");
    expect(it.state.health).toBe(1);
  });

  test("is told to the suspect with whatever is sent to it", () => {
    const it = member();
    it.tell(bob, suspect(bob, carol));
    const [answer] = it.tell(carol);
    expect(newsIn(answer).slice(0, 2)).toMatchObject([
      { kind: "alive", member: carol },
      { kind: "suspect", member: carol },
    ]);
  });
});

describe("a probe", () => {
  test("goes directly, then again and through helpers, and takes two failures to accuse", () => {
    const it = member([bob, carol]);
    const first = it.pass(lanProfile.probeIntervalMs + lanProfile.directTimeoutMs);
    const target = sent(first, "ping")[0]?.to as GlobalName;
    expect(
      sent(first, "ping")
        .slice(0, 2)
        .map(({ to }) => to),
    ).toEqual([target, target]);
    expect(sent(first, "probe").every(({ to, message }) => to !== target && message.kind === "probe" && message.target === target)).toBe(
      true,
    );
    expect(sent(first, "probe").length).toBe(1);
    it.pass(lanProfile.probeIntervalMs);
    expect(it.opinion(target)).toBe("alive");
    const later = it.pass(3 * lanProfile.probeIntervalMs * (1 + lanProfile.healthMax));
    expect(later).toContainEqual({ kind: "suspect", member: target });
  });

  test("a refused connection needs no time-out", () => {
    const it = member();
    const ping = it.firstPing();
    const actions = it.feed({ kind: "failed", exchange: ping.exchange });
    expect(sent(actions, "probe").length).toBe(lanProfile.helpers);
  });

  test("an answer ends it, and clears the doubt", () => {
    const it = member();
    const ping = it.firstPing();
    it.feed({ kind: "response", exchange: ping.exchange, message: { kind: "ack", news: [] } });
    expect(it.state.probe).toBeUndefined();
    expect(it.state.doubts.size).toBe(0);
  });

  test("a helper's word counts with the target's own signature under our nonce", () => {
    const it = member();
    const actions = it.pass(lanProfile.probeIntervalMs + lanProfile.directTimeoutMs);
    const asked = sent(actions, "probe");
    const { target, nonce } = it.state.probe ?? expect.unreachable();
    const answer = (at: number, proof: Parameters<typeof seal>[0]) =>
      it.feed({ kind: "response", exchange: asked[at]?.exchange ?? 0, message: { kind: "ack", news: [], proof: seal(proof) as never } });
    answer(0, { kind: "presence", member: target, nonce: new Uint8Array(16) });
    expect(it.state.probe?.target).toBe(target);
    answer(1, { kind: "presence", member: asked[1]?.to as GlobalName, nonce });
    expect(it.state.probe?.target).toBe(target);
    answer(2, { kind: "presence", member: target, nonce });
    expect(it.state.probe).toBeUndefined();
    expect(it.state.health).toBe(1);
  });

  test("for another is relayed, and answered with a nack when there is nothing", () => {
    const it = member();
    const nonce = new Uint8Array(16).fill(3);
    const ask = (target: GlobalName) =>
      it.feed({ kind: "request", from: bob, call: 50, message: { kind: "probe", target, nonce, timeoutMs: 100, news: [] } });
    const [relayed] = ask(carol);
    expect(relayed).toMatchObject({ kind: "send", to: carol, message: { kind: "ping", nonce } });
    const exchange = relayed?.kind === "send" ? relayed.exchange : 0;
    expect(it.feed({ kind: "failed", exchange })).toMatchObject([{ kind: "respond", call: 50, message: { kind: "nack" } }]);
    expect(ask(nameOf(99))).toMatchObject([{ kind: "respond", message: { kind: "nack" } }]);
  });
});

describe("records", () => {
  test("the later clock counts, and ours goes on above all we have seen", () => {
    const it = member();
    expect(kinds(it.tell(bob, record(bob, 100, "new")))).toContain("recordChanged");
    expect(kinds(it.tell(carol, record(bob, 99, "old")))).not.toContain("recordChanged");
    it.feed({ kind: "publish", topic: "nodes", item: "", body: Buffer.from("mine") });
    expect(lookUp(it.state.records, `${self} nodes `)?.clock).toBe(101);
  });

  test("nobody drives our clock to its end", () => {
    const it = member();
    it.tell(bob, record(bob, 2 ** 52, "huge"));
    expect(it.state.clock).toBeLessThanOrEqual(1 + clockJumpMax);
  });

  test("what we said before a restart stands until we say something else", () => {
    const it = member();
    it.tell(bob, record(self, 70, "before"));
    expect(Buffer.from(lookUp(it.state.records, `${self} nodes `)?.body ?? []).toString()).toBe("before");
    it.feed({ kind: "publish", topic: "nodes", item: "", body: Buffer.from("after") });
    it.tell(bob, record(self, 90, "even later, from a life before"));
    const held = lookUp(it.state.records, `${self} nodes `);
    expect(Buffer.from(held?.body ?? []).toString()).toBe("after");
    expect(held?.clock).toBeGreaterThan(90);
  });

  test("forgetting a member takes all of it away", () => {
    const it = member();
    it.tell(bob, record(carol, 5, "x"), suspect(bob, carol));
    it.feed({ kind: "forget", member: carol });
    expect(it.opinion(carol)).toBeUndefined();
    expect(it.state.records.count).toBe(0);
    expect(it.state.suspects.count).toBe(0);
    expect(it.state.news.flat().some(({ member }) => member === carol)).toBe(false);
  });
});

test("an answer of anti-entropy fits one message, however much there is to say", () => {
  const it = member([]);
  const long = (index: number) => parseGlobalName(`m${index}@${"x".repeat(60)}.${"y".repeat(60)}.${"z".repeat(50)}.s${index}.local`);
  const many = Array.from({ length: 1_500 }, (_, index) => long(index));
  const page = (statements: Message["news"]) => ({
    kind: "sync" as const,
    ranges: [],
    listings: [],
    wants: [],
    more: false,
    statements,
    news: [],
  });
  it.feed({ kind: "request", from: bob, call: 1, message: page(many.map((name) => alive(name))) });
  it.feed({ kind: "request", from: bob, call: 2, message: page(many.map((name) => record(name, 1, "r".repeat(900)))) });
  expect(it.state.records.count).toBe(1_500);
  const spaces = ["members", "records"] as const;
  const places = spaces.flatMap((space) => [..."0123456789abcdef"].flatMap((a) => ["0", "8"].map((b) => ({ space, path: a + b }))));
  const size = (message: Message) => {
    const [answer] = it.feed({ kind: "request", from: bob, call: 3, message });
    return encodeGossip(answer?.kind === "respond" ? answer.message : expect.unreachable()).length;
  };
  const sizes = [
    size({ ...page([]), ranges: places.map((place) => ({ ...place, digest: [0, 0] })) }),
    size({ ...page([]), listings: places.map((place) => ({ ...place, heads: [] })) }),
    size({ ...page([]), wants: many.slice(0, 1_000).map((key) => ({ space: "members" as const, key })) }),
  ];
  expect(Math.min(...sizes)).toBeGreaterThan(5_000);
  expect(Math.max(...sizes)).toBeLessThan(gossipMessageBytesMax);
});

test("anti-entropy that gets no answer goes on where it was, twice, and then with somebody else", () => {
  const it = member([bob]);
  const [begin] = sent(it.feed({ kind: "contact", member: bob }), "sync");
  const answer: Message = {
    kind: "sync",
    ranges: [{ space: "members", path: "", digest: [1, 1] }],
    listings: [],
    wants: [],
    statements: [],
    more: false,
    news: [],
  };
  let [last] = sent(it.feed({ kind: "response", exchange: begin?.exchange ?? 0, message: answer }), "sync");
  const { to, message } = last ?? expect.unreachable();
  expect(to).toBe(bob);
  for (let failure = 1; failure <= 2; failure++) {
    [last] = sent(it.feed({ kind: "failed", exchange: last?.exchange ?? 0 }), "sync");
    expect(last).toMatchObject({ to, message });
  }
  expect(sent(it.feed({ kind: "failed", exchange: last?.exchange ?? 0 }), "sync")).toEqual([]);
  expect(sent(it.pass(lanProfile.probeIntervalMs), "sync").length).toBeGreaterThan(0);
});

test("a helper with too much to do says no at once", () => {
  const it = member();
  const answers = Array.from({ length: 600 }, (_, call) =>
    it.feed({
      kind: "request",
      from: bob,
      call,
      message: { kind: "probe", target: carol, nonce: new Uint8Array(16), timeoutMs: 100, news: [] },
    }),
  ).flat();
  expect(answers.length).toBe(600);
  expect(answers.filter((answer) => answer.kind === "respond" && answer.message.kind === "nack").length).toBe(600 - relaysMax);
});

test("news is sent a limited number of times and kept in a limited number", () => {
  const it = member([bob]);
  it.tell(bob, ...Array.from({ length: newsEntriesMax + 100 }, (_, index) => alive(nameOf(index + 10))));
  expect(pendingNews(it.state)).toBe(newsEntriesMax);
  it.pass(120_000);
  expect(pendingNews(it.state)).toBeLessThan(newsEntriesMax);
});
