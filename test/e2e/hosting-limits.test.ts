/** Give to get, with real processes: what is refused says why, what is deleted is free again, who is gone or revoked holds nothing up. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, exitCodeOf, toCollectiveError } from "../../protocol/errors.ts";
import { parseGlobalName, parseInode, siteOf } from "../../protocol/ids.ts";
import { mebibyte, storedChunkBytesMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { createRemote, type Remote } from "../../src/client/remote.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { systemRandom } from "../../src/core/random.ts";
import { assembleCredentials } from "../../src/pki/credentials.ts";
import { content } from "../support/content.ts";
import { guestOf } from "../support/e2e-guest.ts";
import { eventually, memberNames, told } from "../support/federation.ts";
import { federationAt, killNodes, type Lenders, pledge, startLenders, totalsAt } from "../support/lending.ts";
import type { RunResult } from "../support/process.ts";

let members: Lenders;

beforeAll(async () => {
  members = await startLenders({ alice: "64MiB", bob: "500MB", carol: "500MB" });
  await told(members.alice, ["store", "create", "backup", "--strategy", "backup", "--replicas", "3"]);
  await told(members.alice, ["store", "create", "near", "--strategy", "media", "--replicas", "1"]);
}, 90_000);
afterAll(async () => {
  await members?.[Symbol.asyncDispose]();
});

let files = 0;
async function put(bytes: number, store = "backup"): Promise<RunResult & { readonly tookMs: number }> {
  const local = join(members.alice.home.path, `file-${++files}`);
  await writeFile(local, content(bytes, files));
  const startedMs = performance.now();
  const result = await members.alice.run(["put", local, `/${store}/`]);
  return { ...result, tookMs: performance.now() - startedMs };
}

async function givenBy(name: "bob" | "carol"): Promise<number> {
  return (await federationAt(members[name])).pledge.given;
}

describe("alice, who pledged 64 MiB and may use as much", () => {
  test("is told by how much it is too little when she wants more", async () => {
    expect(JSON.parse(await told(members.alice, ["store", "show", "backup", "--json"]))).toMatchObject({ available: 32 * mebibyte });
    const full = await put(48 * mebibyte);
    expect(full.exitCode).toBe(0);
    expect(full.stderr).toMatch(/stored, but degraded: 5 chunks have fewer copies/);
    expect(full.stderr).toContain(
      `${memberNames.alice} may store no 4.0 MiB more at others: 60.0 MiB used of the 64.0 MiB that it may (it pledged 64.0 MiB)`,
    );
    const { pledge: shown } = await federationAt(members.alice);
    expect(shown.taken).toBeLessThanOrEqual(64 * mebibyte);
    expect(shown.taken).toBeGreaterThan(56 * mebibyte);
    expect((await givenBy("bob")) + (await givenBy("carol"))).toBeLessThanOrEqual(64 * mebibyte);
    const space = await told(members.alice, ["store", "show", "backup"]);
    expect(space).toMatch(/6\d\.\d MiB used of the 64\.0 MiB that alice@\S+ may have at others/);
    expect(space).toMatch(/alice@\S+ could use .* more at others if it pledged more: collective federation pledge SIZE/);
  }, 60_000);

  test("and refused with the same words when there is no place at home either", async () => {
    await killNodes(members.alice);
    await eventually(
      async () => JSON.parse(await told(members.alice, ["status", "--json"])) as { local_nodes: { state: string }[] },
      ({ local_nodes: nodes }) => nodes.every(({ state }) => state !== "alive"),
      20_000,
    );
    const refused = await put(8 * mebibyte);
    expect(refused.exitCode).toBe(exitCodeOf.quota_exceeded);
    expect(refused.stderr).toMatch(
      /none of the 1 nodes of alice@\S+ is alive; alice@\S+ may store no .* more at others: .* used of the 64\.0 MiB.*\(quota_exceeded\)/,
    );
    await members.alice.restart("node-01");
  }, 60_000);

  test("what she removes is free at the hosts, and may be used again", async () => {
    const names = (await told(members.alice, ["ls", "/backup"])).trim().split("\n");
    await told(members.alice, ["rm", ...names.map((name) => `/backup/${name}`)]);
    await eventually(
      async () => [await givenBy("bob"), await givenBy("carol"), (await federationAt(members.alice)).pledge.taken],
      (bytes) => bytes.every((one) => one === 0),
      30_000,
    );
    const again = await put(8 * mebibyte);
    expect([again.exitCode, again.stderr]).toEqual([0, ""]);
    expect(await totalsAt(members.alice)).toEqual({ degraded: 0, lost: 0 });
  }, 60_000);

  test("a host that lends less takes less, and says so", async () => {
    await pledge(members, "alice", "500MB");
    await pledge(members, "bob", "6MiB");
    const short = await put(12 * mebibyte);
    expect(short.exitCode).toBe(0);
    expect(short.stderr).toMatch(/bob@garage\S+ takes no 4\.0 MiB more: [4-8]\.\d MiB used of the 6\.0 MiB that it pledged to others/);
    await pledge(members, "bob", "500MB");
  }, 60_000);
});

describe("a person who is revoked", () => {
  test("is refused by other members and their nodes within seconds, with tickets given before", async () => {
    const dora = await guestOf(members.alice);
    await told(members.alice, ["access", "grant", "/backup", "dora@home.collective.local", "--rights", "read"]);
    await told(members.alice, ["write", "/backup/read-by-dora"], "for dora");
    const folder = join(members.alice.home.path, "dora");
    const remote = await remoteOf(folder);
    await told(members.bob, ["mkdir", "/open"]);
    await told(members.bob, ["access", "grant", "/open", "dora@home.collective.local", "--rights", "read"]);
    const atBob = await remoteOf(folder, "bob");
    const seenAtBob = () => atBob.control.call(routes.resolve, { components: ["open"] }).then(({ attr }) => attr?.type, toCollectiveError);
    expect(await seenAtBob()).toBe("directory");
    const { inode } = JSON.parse((await dora.run(["stat", "--json", "/backup/read-by-dora"])).stdout) as { inode: number };
    const located = await remote.control.call(routes.locate, { files: [{ inode: parseInode(inode), offset: 0, lengthBytes: 10 }] });
    const chunk = located.files[0]?.extents[0]?.chunk;
    const abroad = located.nodes.filter(({ node }) => siteOf(node) !== siteOf(parseGlobalName(memberNames.alice)));
    if (chunk === undefined || abroad.length !== 2) throw new Error("there are not two copies at others");
    const into = new Uint8Array(storedChunkBytesMax);
    for (const node of abroad) expect(await remote.data.get(node, chunk, into)).toBeGreaterThan(0);
    await told(members.alice, ["auth", "revoke", "dora", "--kind", "user"]);
    const outcomes = () =>
      Promise.all(abroad.map((node) => remote.data.get(node, chunk, into).catch((error: unknown) => toCollectiveError(error).details)));
    const tookMs = await eventually(outcomes, (seen) => seen.every((one) => typeof one === "object" && one.withdrawn === true), 15_000);
    console.info(`refused by the nodes of others after ${Math.round(tookMs)} ms`);
    await eventually(seenAtBob, (seen) => seen instanceof CollectiveError && seen.code === "not_authenticated", 15_000);
  }, 60_000);
});

/** Of a member's coordinator, for the person of these files. */
async function remoteOf(folder: string, at: "alice" | "bob" = "alice"): Promise<Remote> {
  const [certificatePem, privateKeyPem, authorityPem] = await Promise.all(
    ["cert.pem", "key.pem", "ca.pem"].map((name) => readFile(join(folder, name), "utf8")),
  );
  if (!certificatePem || !privateKeyPem || !authorityPem) throw new Error("the person's files are not there");
  const theirs = await readFile(join(members[at].coordinator.dataDirectory, "authority", "ca.pem"), "utf8");
  const credentials = assembleCredentials({ certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems: [theirs] });
  return createRemote({
    ...{ member: parseGlobalName(memberNames[at]), address: members[at].coordinator.address },
    ...{ credentials: () => credentials, clock: systemClock, random: systemRandom, log: silentLog },
  });
}

describe("a host whose coordinator is stopped", () => {
  test("holds up no write that does not need it, and others for no longer than the bound", async () => {
    const usual = await put(mebibyte);
    expect(usual.stderr).toBe("");
    const { pid } = members.carol.coordinator.process;
    process.kill(pid, "SIGSTOP");
    try {
      const [needed, near] = await Promise.all([put(mebibyte), put(mebibyte, "near")]);
      console.info(`ms: usual ${Math.round(usual.tookMs)}, needed ${Math.round(needed.tookMs)}, not needed ${Math.round(near.tookMs)}`);
      expect([needed.exitCode, near.exitCode, near.stderr]).toEqual([0, 0, ""]);
      expect(needed.stderr).toMatch(/degraded: 16 chunks have fewer copies.*\n +carol@\S+ was asked to keep copies and did not: /);
      expect(near.tookMs).toBeLessThan(usual.tookMs + 1_500);
      expect(needed.tookMs).toBeLessThan(usual.tookMs + 5_000);
      const next = await put(mebibyte);
      console.info(`ms: the next one ${Math.round(next.tookMs)}`);
      expect(next.tookMs).toBeLessThan(usual.tookMs + 1_500);
    } finally {
      process.kill(pid, "SIGCONT");
    }
  }, 60_000);
});
