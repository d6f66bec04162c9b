/**
 * Two members as real processes whose coordinators reach each other through a piece of network that is cut for a while,
 * during which both write: to their own stores, and to each other's. Afterwards both must agree again, and all
 * that was acknowledged must be there whole, whoever asks.
 *
 * What a member's own people and nodes say does not go through that piece of network.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import { startNode, succeed } from "./e2e-commands.ts";
import { bytesOf, sha256 } from "./e2e-files.ts";
import { type Guest, guestOf } from "./e2e-guest.ts";
import { eventually, memberNames, peer, peersOf, startMember, stateAt, told } from "./federation.ts";
import type { Collective, RunResult } from "./process.ts";
import { startTcpProxy, type TcpProxy, unusedAddresses } from "./tcp-proxy.ts";

export interface PartitionOptions {
  readonly seed: number;
  /** How long the network is cut. */
  readonly cutMs: number;
  readonly say?: (line: string) => void;
}

export interface PartitionResult {
  readonly writes: number;
  readonly acknowledged: number;
  /** Of those to the own stores while the network was cut. */
  readonly ownDuringCut: number;
  readonly ownMedianMs: { readonly before: number; readonly during: number };
  /** The longest that a write to the other member took to fail. */
  readonly refusedMsMax: number;
  readonly healedMs: number;
  readonly filesRead: number;
}

const bothSides = ["alice", "bob"] as const;
type Side = (typeof bothSides)[number];
type Phase = "before" | "during" | "after";

interface Written {
  readonly by: Side;
  readonly owner: Side;
  readonly name: string;
  readonly seed: string;
  readonly sizeBytes: number;
  readonly phase: Phase;
  readonly tookMs: number;
  readonly acknowledged: boolean;
}

interface World {
  readonly members: Readonly<Record<Side, Collective>>;
  readonly proxies: readonly TcpProxy[];
  /** Somebody of alice's site to whom something is granted while the network is cut. */
  readonly dora: Guest;
}

const quietMs = 2_000;
const fileBytesMax = 300_000;
const settleMsMax = 30_000;

/** Rejects with the first thing that is wrong. */
export async function partition({ seed, cutMs, say = () => undefined }: PartitionOptions): Promise<PartitionResult> {
  const random = createSeededRandom(seed);
  await using started = await startWorld();
  const { world } = started;
  const { alice, bob } = world.members;
  const written: Written[] = [];
  let phase: Phase = "before";
  const ending = new AbortController();
  const writers = bothSides.flatMap((by) =>
    bothSides.map((owner) => write({ world, by, owner, random, written, phase: () => phase, ending: ending.signal })),
  );
  const running = Promise.all(writers);
  // What fails is thrown where it is awaited, below.
  running.catch(() => undefined);
  await Bun.sleep(quietMs);
  say("cut");
  for (const proxy of world.proxies) proxy.cut();
  phase = "during";
  const cutEnd = Bun.sleep(cutMs);
  await told(bob, ["mkdir", "/for-dora"]);
  await told(bob, ["access", "grant", "/for-dora", "dora@home.collective.local", "--rights", "read"]);
  await using _node = await startNode(
    { env: alice.env, coordinator: { ...alice.coordinator, address: started.direct.alice } },
    { name: "node-02", dataDirectory: join(alice.home.path, "node-02") },
  );
  await cutEnd;
  for (const proxy of world.proxies) proxy.heal();
  phase = "after";
  say("healed");
  const healedMs = await agreed(world);
  say(`both agree after ${Math.round(healedMs)} ms`);
  await Bun.sleep(quietMs);
  ending.abort();
  await running;
  const filesRead = await readBack(world, written);
  const median = (of: Phase): number =>
    medianOf(written.filter((one) => one.by === one.owner && one.phase === of).map(({ tookMs }) => tookMs));
  return {
    writes: written.length,
    acknowledged: written.filter(({ acknowledged }) => acknowledged).length,
    ownDuringCut: written.filter((one) => one.by === one.owner && one.phase === "during" && one.acknowledged).length,
    ownMedianMs: { before: median("before"), during: median("during") },
    refusedMsMax: Math.round(Math.max(0, ...written.filter(({ acknowledged }) => !acknowledged).map(({ tookMs }) => tookMs))),
    healedMs: Math.round(healedMs),
    filesRead,
  };
}

async function startWorld(): Promise<{ world: World; direct: Readonly<Record<Side, string>> } & AsyncDisposable> {
  const [proxyToAlice, proxyToBob, unused] = await Promise.all([startTcpProxy(), startTcpProxy(), unusedAddresses(2)]);
  const [aliceAddress = "", bobAddress = ""] = unused;
  const direct = { alice: aliceAddress, bob: bobAddress };
  const proxies = { alice: proxyToAlice, bob: proxyToBob };
  const disposables: AsyncDisposable[] = Object.values(proxies);
  const dispose = async (): Promise<void> => {
    for (const each of disposables.reverse()) await each[Symbol.asyncDispose]();
  };
  try {
    const startSide = async (side: Side): Promise<Collective> => {
      proxies[side].lead(direct[side]);
      const member = await startMember(side, {
        coordinatorFlags: ["--address", direct[side], "--advertise", proxies[side].address],
        nodeFlags: ["--coordinator", direct[side]],
        env: { COLLECTIVE_COORDINATOR_ADDRESS: direct[side] },
      });
      disposables.push(member);
      return member;
    };
    const [alice, bob] = await Promise.all([startSide("alice"), startSide("bob")]);
    const members = { alice, bob };
    await peer(alice, bob);
    for (const side of bothSides) {
      await told(members[side], ["mkdir", "/own", "/shared"]);
      await told(members[side], ["access", "grant", "/shared", memberNames[otherOf(side)], "--rights", "read+write"]);
    }
    const dora = await guestOf(alice);
    return { world: { members, proxies: Object.values(proxies), dora }, direct, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function otherOf(side: Side): Side {
  return side === "alice" ? "bob" : "alice";
}

/** Where `by` finds what `owner` keeps of `writer`'s writes. */
function folderOf(by: Side, { owner, by: writer }: Pick<Written, "owner" | "by">): string {
  const path = owner === writer ? "/own" : "/shared";
  return by === owner ? path : `/@${memberNames[owner]}${path}`;
}

interface Writing {
  readonly world: World;
  readonly by: Side;
  readonly owner: Side;
  readonly random: Random;
  readonly written: Written[];
  readonly phase: () => Phase;
  readonly ending: AbortSignal;
}

async function write({ world, by, owner, random, written, phase, ending }: Writing): Promise<void> {
  for (let count = 0; !ending.aborted; count++) {
    const name = `by-${by}-${count}`;
    const seed = `${by} ${owner} ${count}`;
    const sizeBytes = random.int(fileBytesMax);
    const began = phase();
    const startedMs = performance.now();
    const path = `${folderOf(by, { by, owner })}/${name}`;
    const result = await world.members[by].run(["write", path], { stdin: bytesOf(seed, sizeBytes) });
    assertClear(result, { path, began, ended: phase(), isOwn: by === owner });
    const tookMs = performance.now() - startedMs;
    written.push({ by, owner, name, seed, sizeBytes, phase: began, tookMs, acknowledged: result.exitCode === 0 });
  }
}

const unavailable = 5;

interface Circumstances {
  readonly path: string;
  readonly began: Phase;
  readonly ended: Phase;
  readonly isOwn: boolean;
}

/** The own member always works; the other may be missed while it is away, and that is said in one line. */
function assertClear(result: RunResult, { path, began, ended, isOwn }: Circumstances): void {
  if (result.exitCode === 0) return;
  const wasCut = began === "during" || began !== ended;
  if (!isOwn && wasCut && result.exitCode === unavailable) return;
  throw new Error(`write ${path}, begun ${began} the cut and ended ${ended} it: ${result.exitCode} ${result.stderr}`);
}

/** Each sees the other, and what the other has told meanwhile; answers how long that took. */
async function agreed({ members, dora }: World): Promise<number> {
  const startedMs = performance.now();
  const isAlive = (state: string | undefined): boolean => state === "alive";
  await Promise.all([
    ...bothSides.map((side) => eventually(() => stateAt(members[side], otherOf(side)), isAlive, settleMsMax)),
    eventually(
      async () => (await peersOf(members.bob))[0]?.nodes.length,
      (nodes) => nodes === 2,
      settleMsMax,
    ),
    eventually(
      async () => (await succeed(dora, ["ls", "/"])).stdout,
      (shown) => shown.includes(`@${memberNames.bob}/\n`),
      settleMsMax,
    ),
  ]);
  return performance.now() - startedMs;
}

/** By both members; answers how many were read. What was not acknowledged may be there, but whole. */
async function readBack({ members }: World, written: readonly Written[]): Promise<number> {
  let filesRead = 0;
  for (const reader of bothSides) {
    for (const owner of bothSides) {
      for (const [writer, here] of Map.groupBy(
        written.filter((one) => one.owner === owner),
        ({ by }) => by,
      )) {
        if (reader !== owner && writer === owner) continue;
        const into = join(members[reader].home.path, `read-${owner}-${writer}`);
        mkdirSync(into);
        await told(members[reader], ["get", "-r", folderOf(reader, { owner, by: writer }), into]);
        filesRead += compare(join(into, writer === owner ? "own" : "shared"), here);
      }
    }
  }
  return filesRead;
}

function compare(folder: string, written: readonly Written[]): number {
  const found = new Set(readdirSync(folder));
  for (const { name, seed, sizeBytes, acknowledged } of written) {
    if (!found.delete(name)) {
      if (acknowledged) throw new Error(`${folder}/${name} was acknowledged and is not there`);
    } else if (sha256(readFileSync(join(folder, name))) !== sha256(bytesOf(seed, sizeBytes))) {
      throw new Error(`${folder}/${name} is not what was written`);
    }
  }
  if (found.size > 0) throw new Error(`nobody has written ${[...found].join(", ")} in ${folder}`);
  return written.length;
}

function medianOf(values: readonly number[]): number {
  return Math.round([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0);
}
