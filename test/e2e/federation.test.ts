/** Three members with a node each, as real processes: peered by codes from nothing, sharing by rights alone. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, type MemberName, memberNames, outcomeOf, peer, peersOf, startMember, stateAt, told } from "../support/federation.ts";
import type { Collective } from "../support/process.ts";

const three = ["alice", "bob", "carol"] as const;
type Three = (typeof three)[number];
const pairs = three.flatMap((owner) => three.filter((guest) => guest !== owner).map((guest) => [owner, guest] as const));

let members: Readonly<Record<Three, Collective>>;
let tookMs = 0;

beforeAll(async () => {
  const startedMs = performance.now();
  const [alice, bob, carol] = await Promise.all(three.map((name) => startMember(name)));
  if (!alice || !bob || !carol) throw new Error("not all members have started");
  members = { alice, bob, carol };
  await peer(alice, bob);
  await peer(alice, carol);
  await Promise.all(
    pairs.map(([one, other]) =>
      eventually(
        () => stateAt(members[one], other),
        (state) => state === "alive",
        10_000,
      ),
    ),
  );
  tookMs = performance.now() - startedMs;
}, 60_000);
afterAll(async () => {
  await Promise.all(Object.values(members ?? {}).map((member) => member[Symbol.asyncDispose]()));
});

const pathAt = (owner: MemberName, path: string): string => `/@${memberNames[owner]}${path}`;
const readable = (collective: Collective, path: string, text: string): Promise<number> =>
  eventually(
    async () => outcomeOf(await collective.run(["read", path])),
    (seen) => seen === text,
    10_000,
  );

describe("three members", () => {
  test("are peered from nothing in less than ten seconds, two of them by the word of the third", async () => {
    console.info(`three members up and peered in ${Math.round(tookMs)} ms`);
    expect(tookMs).toBeLessThan(10_000);
    const atBob = await peersOf(members.bob);
    expect(atBob.map(({ member, trust, introducer }) => ({ member, trust, introducer }))).toEqual([
      { member: memberNames.alice, trust: "direct", introducer: null },
      { member: memberNames.carol, trust: "introduced", introducer: memberNames.alice },
    ]);
  });

  test("each reads what another granted and is refused what it did not", async () => {
    for (const owner of three) {
      await told(members[owner], ["mkdir", "/open", "/closed"]);
      await told(members[owner], ["write", "/open/file"], `open at ${owner}`);
      await told(members[owner], ["write", "/closed/file"], `closed at ${owner}`);
      for (const guest of three)
        if (guest !== owner) await told(members[owner], ["access", "grant", "/open", memberNames[guest], "--rights", "read"]);
    }
    for (const [owner, guest] of pairs) {
      await readable(members[guest], pathAt(owner, "/open/file"), `open at ${owner}`);
      const refused = await members[guest].run(["read", pathAt(owner, "/closed/file")]);
      expect(outcomeOf(refused)).toMatch(/^3: .*does not exist \(not_found\)$/);
      const written = await members[guest].run(["write", pathAt(owner, "/open/other")], { stdin: "x" });
      expect(outcomeOf(written)).toMatch(/^4: .*\(permission_denied\)$/);
      expect(await told(members[guest], ["ls", pathAt(owner, "/")])).toBe("open/\n");
    }
    const others = [`@${memberNames.alice}/`, `@${memberNames.carol}/`];
    await eventually(
      async () => (await told(members.bob, ["ls", "/"])).split("\n"),
      (lines) => others.every((one) => lines.includes(one)),
      10_000,
    );
  }, 60_000);

  test("a guest writes, moves and removes where it was granted that", async () => {
    await told(members.alice, ["mkdir", "/inbox"]);
    await told(members.alice, ["access", "grant", "/inbox", memberNames.bob, "--rights", "read+write+delete"]);
    const at = (path: string): string => pathAt("alice", `/inbox${path}`);
    await told(members.bob, ["mkdir", at("/sub")]);
    await told(members.bob, ["write", at("/sub/file")], "from bob");
    await told(members.bob, ["mv", at("/sub/file"), at("/moved")]);
    expect(await told(members.alice, ["read", "/inbox/moved"])).toBe("from bob");
    const fetched = `${members.bob.home.path}/fetched`;
    await told(members.bob, ["get", at("/moved"), fetched]);
    expect(await Bun.file(fetched).text()).toBe("from bob");
    await told(members.bob, ["rm", "-r", at("/sub")]);
    expect(await told(members.alice, ["ls", "/inbox"])).toBe("moved\n");
  }, 30_000);

  test("status shows the others", async () => {
    const status = JSON.parse(await told(members.carol, ["status", "--json"])) as { peers: Record<string, unknown>[] };
    expect(status.peers).toMatchObject([
      { member: memberNames.alice, state: "alive", nodes: [{ id: "node-01@home.collective.local", state: "alive" }] },
      { member: memberNames.bob, state: "alive", nodes: [{ id: "node-01@garage.collective.local", state: "alive" }] },
    ]);
  });

  test("a pattern of sites reaches a member that joins later, whom the others know within two seconds", async () => {
    await told(members.carol, ["mkdir", "/all"]);
    await told(members.carol, ["write", "/all/file"], "for everybody");
    await told(members.carol, ["access", "grant", "/all", "*@*.collective.local", "--rights", "read"]);
    await using dave = await startMember("dave");
    await peer(members.alice, dave);
    const known = await Promise.all(
      (["bob", "carol"] as const).map((name) =>
        eventually(
          () => stateAt(members[name], "dave"),
          (state) => state === "alive",
          10_000,
        ),
      ),
    );
    console.info(`a new member was known elsewhere after ${known.map(Math.round).join(" and ")} ms`);
    expect(Math.max(...known)).toBeLessThan(2_000);
    await readable(dave, pathAt("carol", "/all/file"), "for everybody");
  }, 60_000);

  test("a coordinator that starts anew knows its peers, and they know it", async () => {
    await members.bob.restart("coordinator");
    for (const [one, other] of [
      ["bob", "alice"],
      ["bob", "carol"],
      ["alice", "bob"],
      ["carol", "bob"],
    ] as const)
      await eventually(
        () => stateAt(members[one], other),
        (state) => state === "alive",
        10_000,
      );
    await readable(members.bob, pathAt("alice", "/open/file"), "open at alice");
    await readable(members.alice, pathAt("bob", "/open/file"), "open at bob");
  }, 40_000);

  test("a member that is removed is shut out at once, and only where it was removed", async () => {
    const path = pathAt("alice", "/open/file");
    await readable(members.carol, path, "open at alice");
    await told(members.alice, ["federation", "peer", "remove", memberNames.carol]);
    expect(outcomeOf(await members.carol.run(["read", path]))).toMatch(
      /^4: .*no certificate authority of office.collective.local is trusted here/,
    );
    expect(outcomeOf(await members.alice.run(["ls", pathAt("carol", "/")]))).toMatch(/^3: .*is no peer of/);
    expect(await told(members.carol, ["read", pathAt("bob", "/open/file")])).toBe("open at bob");
    expect(await told(members.bob, ["read", path])).toBe("open at alice");
  }, 30_000);
});
