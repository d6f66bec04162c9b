/**
 * Rounds of random writes with `kill -9` of the coordinator, a node or a client at a random moment;
 * after each, everything acknowledged must be there whole, and nothing half-written anywhere.
 *
 * The seed decides what is done and when; how far each process has come by then is the machine's.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import { bookkeepingFaults } from "./e2e-bookkeeping.ts";
import { absent, type Change, type CrashModel, createCrashModel } from "./e2e-crash-model.ts";
import { bytesOf, sha256 } from "./e2e-files.ts";
import { type Collective, type Handle, startCollective } from "./process.ts";

export interface CrashLoopOptions {
  readonly seed: number;
  readonly rounds: number;
  /** A line about each round. */
  readonly say?: (line: string) => void;
}

export interface CrashLoopResult {
  readonly commands: number;
  readonly acknowledged: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly filesChecked: number;
}

const nodeCount = 3;
const largeNames = 3;
const smallNames = 8;
const trees = 3;
const filesPerTree = 150;
const largeBytesMax = 30_000_000;
const killAfterMsMax = 500;
const restartAfterMsMax = 400;
const commandMsMax = 90_000;

interface Command {
  readonly args: readonly string[];
  readonly stdin?: Blob;
  readonly changes: readonly Change[];
}

/** Rejects with everything there is to know about the first thing that is wrong. */
export async function crashLoop({ seed, rounds, say = () => undefined }: CrashLoopOptions): Promise<CrashLoopResult> {
  const random = createSeededRandom(seed);
  const model = createCrashModel();
  const tally = { commands: 0, acknowledged: 0, kills: {} as Record<string, number>, filesChecked: 0 };
  await using collective = await startCollective({ nodes: nodeCount });
  const made = await collective.run(["mkdir", "/s"]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
  for (let round = 0; round < rounds; round++) {
    try {
      const line = await runRound({ collective, random, model, round, tally, seed });
      say(`round ${round}: ${line}`);
    } catch (error) {
      throw new Error(`seed ${seed}, round ${round}: ${(error as Error).message}\n${logsOf(collective)}`, { cause: error });
    }
  }
  const services = [...collective.nodes, collective.coordinator];
  for (const { process } of services) await process.stop();
  const faults = bookkeepingFaults(collective);
  if (faults.length > 0) throw new Error(`seed ${seed}, after the last round: ${faults.join("; ")}\n${logsOf(collective)}`);
  return tally;
}

interface Round {
  readonly collective: Collective;
  readonly random: Random;
  readonly model: CrashModel;
  readonly round: number;
  readonly seed: number;
  readonly tally: { commands: number; acknowledged: number; kills: Record<string, number>; filesChecked: number };
}

async function runRound(at: Round): Promise<string> {
  const { collective, random, tally } = at;
  const commands = Array.from({ length: 3 + random.int(4) }, (_, index) => randomCommand(at, index));
  const clients = commands.map(({ args, stdin }) => collective.start(args, { stdin }));
  const victims = chooseVictims(random);
  const together = victims.length > 2 ? random.int(killAfterMsMax) : undefined;
  await Promise.all(
    victims.map(async (victim) => {
      tally.kills[victim] = (tally.kills[victim] ?? 0) + 1;
      await Bun.sleep(together ?? random.int(killAfterMsMax));
      if (victim === "client") return void (await clients[random.int(clients.length)]?.kill());
      await collective.service(victim).process.kill();
      await Bun.sleep(random.int(restartAfterMsMax));
      await collective.restart(victim);
    }),
  );
  const exitCodes = await Promise.all(clients.map(ended));
  rmSync(join(collective.home.path, "local"), { recursive: true, force: true });
  assertExitCodes({ commands, clients, exitCodes, victims });
  at.model.apply(commands.map(({ changes }, index) => ({ changes, succeeded: exitCodes[index] === 0 })));
  tally.commands += commands.length;
  tally.acknowledged += exitCodes.filter((code) => code === 0).length;
  const files = await checkEverything(at);
  tally.filesChecked += files;
  return `killed ${victims.join(" and ")}; exit codes ${exitCodes.join(" ")}; ${files} files whole`;
}

function chooseVictims(random: Random): string[] {
  const nodes = Array.from({ length: nodeCount }, (_, index) => `node-0${index + 1}`);
  const one = (): string => ["coordinator", "client", nodes[random.int(nodeCount)]][random.int(3)] ?? "client";
  const [first, second] = [one(), one()];
  // Now and then two, or everything at once, as when the machine goes down.
  const dice = random.int(8);
  if (dice === 0) return ["coordinator", ...nodes];
  return dice <= 2 && first !== second ? [first, second] : [first];
}

function randomCommand(at: Round, index: number): Command {
  const { random, round, seed } = at;
  const label = `${seed} ${round} ${index}`;
  const kind = random.int(10);
  if (kind < 4) return putTree(at, label);
  if (kind < 8) return write(`/s/large-${random.int(largeNames)}`, bytesOf(label, 1 + random.int(largeBytesMax)));
  const small = `/s/small-${random.int(smallNames)}`;
  if (random.int(4) > 0) return write(small, bytesOf(label, random.int(100_000)));
  return { args: ["rm", small], changes: [{ path: small, outcome: absent }] };
}

function write(path: string, content: Buffer<ArrayBuffer>): Command {
  return { args: ["write", path], stdin: new Blob([content]), changes: [{ path, outcome: sha256(content) }] };
}

/** The same names every time, with other contents; some of them empty, some the same. */
function putTree({ collective, random }: Round, label: string): Command {
  const tree = `tree-${random.int(trees)}`;
  const folder = join(collective.home.path, "local", label.replaceAll(" ", "-"), tree);
  mkdirSync(join(folder, "below"), { recursive: true });
  const changes = Array.from({ length: filesPerTree }, (_, index) => {
    const name = index % 3 === 0 ? `below/${index}` : String(index);
    const content = bytesOf(index % 7 === 0 ? "the same" : `${label} ${index}`, index % 11 === 0 ? 0 : random.int(20_000));
    writeFileSync(join(folder, name), content);
    return { path: `/s/${tree}/${name}`, outcome: sha256(content) };
  });
  return { args: ["put", "-r", folder, "/s"], changes };
}

async function ended(client: Handle): Promise<number> {
  const timer = setTimeout(() => void client.kill(), commandMsMax);
  const startedMs = performance.now();
  const exitCode = await client.exited;
  clearTimeout(timer);
  if (performance.now() - startedMs >= commandMsMax) throw new Error(`a command hung for ${commandMsMax} ms\n${client.stderr()}`);
  return exitCode;
}

/** Without its coordinator a command may fail as unavailable; everything else the collective has to bear. */
function assertExitCodes(after: {
  readonly commands: readonly Command[];
  readonly clients: readonly Handle[];
  readonly exitCodes: readonly number[];
  readonly victims: readonly string[];
}): void {
  const killed = 128 + 9;
  let mayBeKilled = after.victims.includes("client") ? 1 : 0;
  for (const [index, exitCode] of after.exitCodes.entries()) {
    const { args = [] } = after.commands[index] ?? {};
    if (exitCode === 0 || (exitCode === 5 && after.victims.includes("coordinator")) || (exitCode === 3 && args[0] === "rm")) continue;
    if (exitCode === killed && mayBeKilled-- > 0) continue;
    throw new Error(
      `collective ${args.join(" ")}: exit code ${exitCode} after kill -9 of ${after.victims.join(" and ")}\n${after.clients[index]?.stderr()}`,
    );
  }
}

/** Reads every file there is and verifies every copy. Answers how many files there are. */
async function checkEverything({ collective, model }: Round): Promise<number> {
  const fetched = join(collective.home.path, "fetched");
  const get = await collective.run(["get", "-r", "/s", fetched], { timeoutMs: commandMsMax });
  if (get.exitCode !== 0) throw new Error(`not everything can be read: exit code ${get.exitCode}\n${get.stderr}`);
  const found = new Map<string, string>();
  for (const entry of readdirSync(fetched, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(`/s${path.slice(fetched.length)}`, sha256(readFileSync(path)));
  }
  rmSync(fetched, { recursive: true });
  const wrong = model.observe(found);
  if (wrong.length > 0) throw new Error(wrong.slice(0, 10).join("\n"));
  const verify = await collective.run(["verify", "-r", "/s", "--json"], { timeoutMs: commandMsMax });
  const counts = verify.exitCode === 0 ? (JSON.parse(verify.stdout) as Record<string, number>) : {};
  if (counts.bad !== 0 || counts.missing !== 0 || counts.unreachable !== 0) {
    throw new Error(`verify is not clean: exit code ${verify.exitCode}\n${verify.stdout}${verify.stderr}`);
  }
  return found.size;
}

function logsOf(collective: Collective): string {
  return [collective.coordinator, ...collective.nodes]
    .map(({ name, process }) => `--- ${name}\n${process.stderr().trimEnd().split("\n").slice(-15).join("\n")}`)
    .join("\n");
}
