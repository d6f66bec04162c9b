/** What a member stores survives the loss of all of its own nodes, at members that cannot read it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, memberNames, stateAt, told } from "../support/federation.ts";
import { everythingIn, federationAt, killNodes, type Lenders, startLenders, three, totalsAt } from "../support/lending.ts";

const secret = "this line is alice's alone, and stands in no file of anybody else. ";
/** Known text in content that does not shrink. */
const paragraph = (index: number): string => `${secret}${Bun.hash(String(index)).toString(36).repeat(3)}\n`;
const files: Readonly<Record<string, string>> = {
  "letters-to-grandmother.txt": paragraph(0),
  "tax-return-of-2025.txt": Array.from({ length: 60_000 }, (_, index) => paragraph(index)).join(""),
};

let members: Lenders;

beforeAll(async () => {
  members = await startLenders({ alice: "500MB", bob: "500MB", carol: "500MB" });
  await told(members.alice, ["store", "create", "backup", "--strategy", "backup", "--replicas", "3"]);
  for (const [name, text] of Object.entries(files)) await told(members.alice, ["write", `/backup/${name}`], text);
}, 90_000);
afterAll(async () => {
  await members?.[Symbol.asyncDispose]();
});

async function readAll(): Promise<void> {
  for (const [name, text] of Object.entries(files)) expect((await told(members.alice, ["read", `/backup/${name}`])) === text).toBe(true);
}

describe("three copies over three members", () => {
  test("lie one at each, and can be verified where they are", async () => {
    const { chunks } = JSON.parse(await told(members.alice, ["stat", "--json", "/backup/tax-return-of-2025.txt"])) as {
      chunks: { copies: { node: string; state: string }[] }[];
    };
    const sites = three.map((name) => memberNames[name].slice(name.length)).sort();
    for (const { copies } of chunks) expect(copies.map(({ node }) => node.slice(node.indexOf("@"))).sort()).toEqual(sites);
    expect(await totalsAt(members.alice)).toEqual({ degraded: 0, lost: 0 });
    const report = JSON.parse(await told(members.alice, ["verify", "-r", "/backup", "--json"])) as { chunks: number };
    expect(report).toMatchObject({ files: 2, copies: 3 * report.chunks, bad: 0, missing: 0 });
    expect(await told(members.alice, ["stat", "/backup/tax-return-of-2025.txt"])).toMatch(/node-01, .*node-01@garage/);
  }, 30_000);

  test("are shown as given and taken", async () => {
    await eventually(
      () => federationAt(members.alice),
      ({ pledge, peers }) => pledge.taken > 0 && peers.every((one) => (one.pledge?.given_to_us ?? 0) > 0),
      10_000,
    );
    const { pledge } = JSON.parse(await told(members.alice, ["status", "--json"])) as Awaited<ReturnType<typeof federationAt>>;
    expect(pledge).toMatchObject({ pledged: 500_000_000, given: 0, share: 500_000_000 });
    expect(await told(members.bob, ["federation", "pledge"])).toMatch(/given +[1-9].*, used by other members\ntaken +0 B/);
    expect(await told(members.bob, ["federation", "status"])).toMatch(/alice@home\S+ +477 MiB +0 B +0 B +[1-9.]+ MiB +[1-9]\S* KiB/);
  }, 30_000);

  test("show bob no content of it, nor a name", async () => {
    const { names, bytes } = await everythingIn(members.bob.home.path);
    expect(bytes.length).toBeGreaterThan(1_000_000);
    for (const text of [secret.slice(0, 30), secret.slice(20, 50), ...Object.keys(files), "grandmother"]) {
      expect([text, bytes.includes(text), names.includes(text)]).toEqual([text, false, false]);
    }
  });

  test("are all that is needed when every node of alice is killed", async () => {
    await killNodes(members.alice);
    await readAll();
    const verified = await members.alice.run(["verify", "-r", "/backup", "--json"]);
    expect(JSON.parse(verified.stdout)).toMatchObject({ files: 2, bad: 0 });
    await eventually(
      () => totalsAt(members.alice),
      ({ degraded, lost }) => degraded > 0 && lost === 0,
      30_000,
    );
  }, 60_000);

  test("also when the coordinators of bob and carol are killed as well; but then their copies do not count", async () => {
    await Promise.all([members.bob.coordinator.process.kill(), members.carol.coordinator.process.kill()]);
    await readAll();
    for (const name of ["bob", "carol"] as const)
      await eventually(
        () => stateAt(members.alice, name),
        (state) => state === "dead",
        30_000,
      );
    await readAll();
    const { degraded, lost } = await totalsAt(members.alice);
    expect(lost).toBe(degraded);
    expect(lost).toBeGreaterThan(0);
  }, 90_000);
});
