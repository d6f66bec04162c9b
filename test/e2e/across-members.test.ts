/** Files that go from member to member through a client that is killed or interrupted half-way, and members that stand still. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/e2e-commands.ts";
import { bytesOf, describeTree } from "../support/e2e-files.ts";
import { eventually, memberNames, outcomeOf, peer, startMember, stateAt, told } from "../support/federation.ts";
import type { Collective } from "../support/process.ts";

const mebibyte = 1024 * 1024;
const atBob = `/@${memberNames.bob}`;

let alice: Collective;
let bob: Collective;
let original: string[];

beforeAll(async () => {
  [alice, bob] = await Promise.all([startMember("alice"), startMember("bob")]);
  await peer(alice, bob);
  await told(alice, ["mkdir", "/own"]);
  await told(bob, ["mkdir", "/films"]);
  await told(bob, ["access", "grant", "/films", memberNames.alice, "--rights", "read+write+delete"]);
  const tree = join(alice.home.path, "tree");
  mkdirSync(join(tree, "deep"), { recursive: true });
  for (let index = 0; index < 300; index++) writeFileSync(join(tree, "deep", `small-${index}`), bytesOf(`small ${index}`, 2_000 + index));
  for (let index = 0; index < 5; index++) writeFileSync(join(tree, `large-${index}`), bytesOf(`large ${index}`, 8 * mebibyte));
  original = describeTree(tree);
  await told(bob, ["put", "-r", tree, "/films"]);
}, 60_000);
afterAll(async () => {
  await Promise.all([alice, bob].map((member) => member?.[Symbol.asyncDispose]()));
});

interface Shown {
  readonly name: string;
  readonly type: string;
  readonly size: number;
}

async function shownIn(member: Collective, path: string): Promise<readonly Shown[]> {
  const { exitCode, stdout } = await member.run(["ls", "-R", "--json", path]);
  return exitCode === 0 ? (JSON.parse(stdout) as Shown[]) : [];
}

/** What is there, fetched, line by line as `describeTree` has it. */
async function fetched(member: Collective, path: string, name: string): Promise<string[]> {
  const to = join(member.home.path, name);
  await told(member, ["get", "-r", path, to]);
  return describeTree(to);
}

/** Started, and stopped by the signal as soon as some large file has come, but not all. */
async function stoppedHalfway(args: readonly string[], target: string, signal: "SIGKILL" | "SIGINT"): Promise<number> {
  await using copying = alice.start(args);
  await until(
    () => shownIn(alice, target),
    (shown) => shown.some(({ name }) => /large-\d$/.test(name)),
    { timeoutMs: 60_000 },
  );
  process.kill(copying.pid, signal);
  return await copying.exited;
}

test("cp that is killed leaves whole files alone, and doing it again completes them", async () => {
  await told(alice, ["mkdir", "/own/copied"]);
  const copying = ["cp", "-r", `${atBob}/films/tree`, "/own/copied"];
  expect(await stoppedHalfway(copying, "/own/copied", "SIGKILL")).toBe(137);
  // The modes and times of directories come last.
  const files = (await fetched(alice, "/own/copied/tree", "partly")).filter((line) => !line.includes(" directory "));
  for (const line of files) expect(original).toContain(line);
  expect(await fetched(bob, "/films/tree", "untouched")).toEqual(original);
  await told(alice, copying);
  expect(await fetched(alice, "/own/copied/tree", "whole")).toEqual(original);
}, 120_000);

test("mv that is interrupted or killed shows nothing at the target and takes nothing from the source", async () => {
  await told(alice, ["mkdir", "/own/moved"]);
  expect(await stoppedHalfway(["mv", `${atBob}/films/tree`, "/own/moved"], "/own/moved", "SIGINT")).not.toBe(0);
  expect(await shownIn(alice, "/own/moved")).toEqual([]);
  expect(await fetched(bob, "/films/tree", "after-interrupt")).toEqual(original);
  expect(await stoppedHalfway(["mv", `${atBob}/films/tree`, "/own/moved"], "/own/moved", "SIGKILL")).toBe(137);
  const left = await shownIn(alice, "/own/moved");
  expect(left.filter(({ name }) => !name.startsWith(".collective-moving-"))).toEqual([]);
  expect(await fetched(bob, "/films/tree", "after-kill")).toEqual(original);
  await told(alice, ["mv", `${atBob}/films/tree`, "/own/moved"]);
  expect(await fetched(alice, "/own/moved/tree", "moved")).toEqual(original);
  expect(await told(bob, ["ls", "/films"])).toBe("");
  await told(alice, ["mv", "/own/moved/tree", `${atBob}/films`]);
  expect(await fetched(bob, "/films/tree", "back")).toEqual(original);
}, 180_000);

test("what needs only the own member takes no longer while another one stands still", async () => {
  const local = join(alice.home.path, "local");
  writeFileSync(local, bytesOf("local", 4 * mebibyte));
  let turn = 0;
  const commands: Readonly<Record<string, () => readonly string[]>> = {
    "ls /": () => ["ls", "/"],
    status: () => ["status"],
    put: () => ["put", local, `/own/put-${turn}`],
    get: () => ["get", `/own/put-${turn}`, join(alice.home.path, `got-${turn}`)],
  };
  const timed = async (): Promise<Record<string, number>> => {
    const tookMs: Record<string, number[]> = {};
    for (let round = 0; round < 5; round++) {
      turn++;
      for (const [name, args] of Object.entries(commands)) {
        const startedMs = performance.now();
        await told(alice, args());
        tookMs[name] = [...(tookMs[name] ?? []), performance.now() - startedMs];
      }
    }
    return Object.fromEntries(Object.entries(tookMs).map(([name, all]) => [name, Math.round(all.sort((a, b) => a - b)[2] ?? 0)]));
  };
  const before = await timed();
  const stopped = [bob.coordinator, ...bob.nodes].map((service) => service.process.pid);
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  try {
    const meanwhile = await timed();
    console.info(`medians in ms: ${JSON.stringify(before)}; with bob standing still ${JSON.stringify(meanwhile)}`);
    for (const name of Object.keys(commands)) expect(meanwhile[name]).toBeLessThan((before[name] ?? 0) * 2 + 250);
    const startedMs = performance.now();
    expect(outcomeOf(await alice.run(["ls", `${atBob}/`]))).toMatch(/^5: .*\(timed_out\)$/);
    expect(performance.now() - startedMs).toBeLessThan(15_000);
  } finally {
    for (const pid of stopped) process.kill(pid, "SIGCONT");
  }
  await eventually(
    () => stateAt(alice, "bob"),
    (state) => state === "alive",
    20_000,
  );
  expect(await told(alice, ["ls", `${atBob}/`])).toBe("films/\n");
}, 120_000);
