/**
 * Programs on two mounts of one collective go on working while a node is killed, then the coordinator, then the network between the
 * mounts and everything else is cut, then one mount is killed. Whatever they read must be what somebody wrote and was allowed to be there.
 *
 * That network is in this process, which therefore must not touch the mounts by a synchronous call.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ChaosLine, ChaosPlan, PhaseFigures } from "./chaos-worker.ts";
import { sharedMs } from "./chaos-worker.ts";
import { startNode, succeed, until } from "./e2e-commands.ts";
import { type MountedCollective, mountCollective, mountsAt } from "./mounted-collective.ts";
import { type Collective, type Handle, startCollective } from "./process.ts";
import { startTcpProxy, type TcpProxy, unusedAddresses } from "./tcp-proxy.ts";

export interface ChaosOptions {
  readonly seed: number;
  /** Of all phases together, when nothing takes longer. */
  readonly seconds: number;
  readonly cutMs: number;
  /** Of the mounts. */
  readonly timeLimitMs: number;
  readonly say?: (line: string) => void;
}

export interface ChaosPhase extends PhaseFigures {
  readonly phase: string;
}

export interface ChaosResult {
  readonly phases: readonly ChaosPhase[];
  /** Reads and listings that were compared by their writer, and those of others' files. */
  readonly checked: number;
  readonly seen: number;
  readonly synced: number;
}

const nodeNames = ["node-01", "node-02", "node-03"];
const mountNames = ["mnt-one", "mnt-two"] as const;
const workersPerMount = 2;
/** What a call may take beyond the limit: the sweep of overdue ones, and a machine that has other things to do. */
const marginMs = 3_000;
/** From the moment when all is there again until every program has synced something, when its last call ends at the limit. */
const recoveryMsMax = 40_000;

export async function mountChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, cutMs, timeLimitMs, say = () => undefined } = options;
  await using world = await startWorld(timeLimitMs);
  const { collective, planPath } = world;
  let plan: ChaosPlan = { phase: "calm", wellAtMs: sharedMs(), kills: {}, mounted: mountNames, isEnding: false };
  const declare = (change: Partial<ChaosPlan>): void => {
    plan = { ...plan, ...change };
    writeFileSync(`${planPath}.new`, JSON.stringify(plan));
    renameSync(`${planPath}.new`, planPath);
  };
  declare({});
  await using workers = startWorkers(world, seed);
  const calmMs = (options.seconds * 1_000 - cutMs) / 6;
  const isWell = (): boolean => workers.lines.filter((line) => line.type === "well" && line.phase === plan.phase).length === workers.count;
  const phase = async (name: string, goWrong: () => Promise<void>): Promise<void> => {
    say(name);
    declare({ phase: name, wellAtMs: undefined });
    await goWrong();
    declare({ wellAtMs: sharedMs() });
    await until(isWell, Boolean, { timeoutMs: timeLimitMs + recoveryMsMax }).catch((error: unknown) => {
      throw new Error(`${name}: not all programs succeed again; ${(error as Error).message}\n${wrongIn(workers.lines).join("\n")}`);
    });
    await Bun.sleep(calmMs);
  };
  await phase("calm", async () => undefined);
  await phase("node killed", async () => {
    await world.killNode("node-02");
    await Bun.sleep(calmMs);
    await world.startNode("node-02");
  });
  await phase("coordinator killed", async () => {
    await collective.coordinator.process.kill();
    await Bun.sleep(calmMs / 2);
    await collective.restart("coordinator");
  });
  await phase("network cut", async () => {
    for (const proxy of world.proxies) proxy.cut();
    await Bun.sleep(cutMs);
    for (const proxy of world.proxies) proxy.heal();
  });
  await phase("mount killed", async () => {
    declare({ kills: { "mnt-two": 1 }, mounted: ["mnt-one"] });
    await world.mounts["mnt-two"].process.kill();
    world.mounts["mnt-two"] = await mountCollective(collective, "mnt-two", world.mountFlags);
    declare({ mounted: mountNames });
  });
  declare({ isEnding: true });
  const summaries = await workers.end(2 * (timeLimitMs + marginMs));
  for (const name of mountNames) {
    await world.mounts[name].process.stop();
    if (mountsAt(world.mounts[name].path) > 0) throw new Error(`${name} is still mounted`);
  }
  const phases = merge(summaries);
  for (const { phase: during, longestMs, longestCall } of phases) {
    if (longestMs > timeLimitMs + marginMs) throw new Error(`${during}: ${longestCall} took ${longestMs.toFixed(0)} ms`);
  }
  const wrong = wrongIn(workers.lines);
  if (wrong.length > 0) throw new Error(`${wrong.length} things are wrong:\n${wrong.slice(0, 10).join("\n")}`);
  return {
    phases,
    checked: summaries.reduce((sum, { checked }) => sum + checked, 0),
    seen: workers.lines.filter(({ type }) => type === "seen").length,
    synced: workers.lines.filter(({ type }) => type === "synced").length,
  };
}

interface World extends AsyncDisposable {
  readonly collective: Collective;
  readonly mounts: Record<(typeof mountNames)[number], MountedCollective>;
  readonly mountFlags: readonly string[];
  /** In front of the coordinator and of each node. */
  readonly proxies: readonly TcpProxy[];
  readonly planPath: string;
  killNode(name: string): Promise<void>;
  startNode(name: string): Promise<void>;
}

async function startWorld(timeLimitMs: number): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const [coordinatorAddress = "", ...nodeAddresses] = await unusedAddresses(1 + nodeNames.length);
  const toCoordinator = stack.use(await startTcpProxy(coordinatorAddress));
  const coordinatorFlags = ["--address", coordinatorAddress, "--advertise", toCoordinator.address];
  const collective = stack.use(await startCollective({ nodes: 0, coordinatorFlags }));
  const direct = { env: collective.env, coordinator: { ...collective.coordinator, address: coordinatorAddress } };
  const proxies = [toCoordinator];
  const nodes = new Map<string, Handle>();
  stack.defer(async () => void (await Promise.all([...nodes.values()].map((node) => node.kill()))));
  const startOne = async (name: string): Promise<void> => {
    const index = nodeNames.indexOf(name);
    const address = nodeAddresses[index] ?? "";
    const proxy = proxies[1 + index] ?? stack.use(await startTcpProxy(address));
    proxies[1 + index] = proxy;
    const flags = ["--advertise", proxy.address, "--capacity", "10GB"];
    nodes.set(name, await startNode(direct, { name, dataDirectory: join(collective.home.path, name), address, flags }));
  };
  for (const name of nodeNames) await startOne(name);
  await succeed(collective, ["mkdir", "/chaos"]);
  const mountFlags = ["--time-limit", `${timeLimitMs}ms`];
  const mounts = {
    "mnt-one": stack.use(await mountCollective(collective, "mnt-one", mountFlags)),
    "mnt-two": await mountCollective(collective, "mnt-two", mountFlags),
  };
  stack.defer(() => mounts["mnt-two"][Symbol.asyncDispose]());
  const all = stack.move();
  return {
    collective,
    mounts,
    mountFlags,
    proxies,
    planPath: join(collective.home.path, "plan.json"),
    killNode: async (name) => void (await nodes.get(name)?.kill()),
    startNode: startOne,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

type Summary = Extract<ChaosLine, { type: "summary" }>;

interface Workers extends AsyncDisposable {
  readonly count: number;
  readonly lines: readonly ChaosLine[];
  end(withinMs: number): Promise<Summary[]>;
}

function startWorkers({ mounts, planPath }: World, seed: number): Workers {
  const count = mountNames.length * workersPerMount;
  const lines: ChaosLine[] = [];
  const children = Array.from({ length: count }, (_, worker) => {
    const [mount, other] = worker % 2 === 0 ? mountNames : ([mountNames[1], mountNames[0]] as const);
    const paths = { path: join(mounts[mount].path, "chaos"), otherPath: join(mounts[other].path, "chaos") };
    const given = { planPath, seed: seed * count + worker, ...paths, mount, worker, workers: count };
    const program = join(import.meta.dir, "chaos-worker.ts");
    const child = Bun.spawn([process.execPath, program, JSON.stringify(given)], { stdio: ["ignore", "pipe", "inherit"] });
    return { child, read: readLines(child.stdout, lines) };
  });
  return {
    count,
    lines,
    end: async (withinMs) => {
      const late = setTimeout(() => {
        for (const { child } of children) child.kill("SIGKILL");
      }, withinMs);
      await Promise.all(children.map(({ read }) => read));
      clearTimeout(late);
      const summaries = lines.filter((line) => line.type === "summary");
      if (summaries.length < count) throw new Error(`${count - summaries.length} workers did not end within ${withinMs} ms`);
      return summaries;
    },
    [Symbol.asyncDispose]: async () => {
      for (const { child } of children) child.kill("SIGKILL");
      await Promise.all(children.map(({ child }) => child.exited));
    },
  };
}

async function readLines(stream: ReadableStream<Uint8Array>, into: ChaosLine[]): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) into.push(JSON.parse(part) as ChaosLine);
  }
}

function merge(summaries: readonly Summary[]): ChaosPhase[] {
  const names = [...new Set(summaries.flatMap(({ phases }) => Object.keys(phases)))];
  return names.map((phase) => {
    const all = summaries.flatMap(({ phases }) => phases[phase] ?? []);
    const failed: Record<string, number> = {};
    for (const one of all) for (const [code, times] of Object.entries(one.failed)) failed[code] = (failed[code] ?? 0) + times;
    const longest = all.reduce((most, one) => (one.longestMs > most.longestMs ? one : most));
    const last = (of: "firstSuccessMs" | "lastFailureMs"): number | undefined => {
      const known = all.flatMap((one) => one[of] ?? []);
      return known.length > 0 ? Math.max(...known) : undefined;
    };
    return {
      phase,
      calls: all.reduce((sum, { calls }) => sum + calls, 0),
      failed,
      longestMs: longest.longestMs,
      longestCall: longest.longestCall,
      firstSuccessMs: last("firstSuccessMs"),
      lastFailureMs: last("lastFailureMs"),
    };
  });
}

function wrongIn(lines: readonly ChaosLine[]): string[] {
  return [...lines.flatMap((line) => (line.type === "wrong" ? [line.what] : [])), ...judgeSeen(lines)];
}

/** Who reads another's file sees no record older than what was synced before it was opened, and none that nobody had begun to write. */
function judgeSeen(lines: readonly ChaosLine[]): string[] {
  const began = new Map<number, number>();
  const synced = new Map<number, { readonly ms: number; readonly versions: readonly number[] }[]>();
  for (const line of lines) {
    if (line.type === "began") began.set(line.version, line.ms);
    if (line.type === "synced") synced.set(line.file, [...(synced.get(line.file) ?? []), line]);
  }
  const wrong: string[] = [];
  for (const line of lines) {
    if (line.type !== "seen" || line.content.versions.length === 0) continue;
    const { file, versions } = line.content;
    const before = synced.get(file)?.findLast(({ ms }) => ms < line.fromMs)?.versions ?? [];
    for (const [index, version] of versions.entries()) {
      const beganMs = began.get(Math.floor(file / 1_000_000) * 1_000_000 + version) ?? Number.POSITIVE_INFINITY;
      if (beganMs > line.untilMs) wrong.push(`file ${file}, record ${index}: version ${version} was read before it was written`);
      const least = before[index] ?? 0;
      if (version < least) wrong.push(`file ${file}, record ${index}: version ${version} was read after ${least} was synced`);
    }
  }
  return wrong;
}
