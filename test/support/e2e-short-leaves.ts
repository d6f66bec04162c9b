/**
 * A collective whose certificates live for less than a minute, while four clients write and read: two run
 * one short command after another with the same context, two keep a single transfer going for longer than
 * a certificate lives. Everything that goes wrong anywhere counts, also what was made good by trying again.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import { readCertificate } from "../../src/pki/certificate.ts";
import { certifyNode, startCertifiedNode, succeed } from "./e2e-commands.ts";
import { bytesOf, sha256 } from "./e2e-files.ts";
import { type Collective, type Environment, type Handle, type RunOptions, run, startCollective } from "./process.ts";

export interface ShortLeavesOptions {
  readonly seed: number;
  readonly seconds: number;
  /** As `--cert-validity` takes it. */
  readonly validitySeconds: number;
  readonly say?: (line: string) => void;
}

export interface ShortLeavesResult {
  readonly commands: number;
  readonly bytesWritten: number;
  readonly bytesRead: number;
  /** One line for each thing that went wrong. */
  readonly failures: readonly string[];
  /** By whose certificate it is. */
  readonly renewals: Readonly<Record<string, number>>;
}

const nodeNames = ["node-01", "node-02", "node-03"];
const smallBytesMax = 3_000_000;
const dripBytes = 256 * 1024;
const dripIntervalMs = 250;
const certificatePollMs = 200;

interface Soak {
  readonly collective: Collective;
  readonly options: ShortLeavesOptions;
  readonly deadlineMs: number;
  readonly tally: { commands: number; bytesWritten: number; bytesRead: number; readonly failures: string[] };
}

export async function shortLeaves(options: ShortLeavesOptions): Promise<ShortLeavesResult> {
  await using collective = await startCollective({ nodes: 0, coordinatorFlags: ["--cert-validity", `${options.validitySeconds}s`] });
  const { path } = collective.home;
  const nodes: Handle[] = [];
  try {
    for (const name of nodeNames) {
      await certifyNode(collective, name);
      nodes.push(await startCertifiedNode(collective, name));
    }
    await succeed(collective, ["mkdir", "/s"]);
    const slow = [await anotherHome(collective, "third"), await anotherHome(collective, "fourth")];
    const certificates: Record<string, string> = {
      coordinator: join(collective.coordinator.dataDirectory, "credentials", "cert.pem"),
      "two short clients": certificateIn(collective.env),
      ...Object.fromEntries(slow.map((env, index) => [`long client ${index + 1}`, certificateIn(env)])),
      ...Object.fromEntries(nodeNames.map((name) => [name, join(path, name, "credentials", "cert.pem")])),
    };
    const tally = { commands: 0, bytesWritten: 0, bytesRead: 0, failures: [] as string[] };
    const soak: Soak = { collective, options, tally, deadlineMs: performance.now() + options.seconds * 1_000 };
    const renewals = countRenewals(certificates);
    const random = createSeededRandom(options.seed);
    const clients = [0, 1].map((index) => runShortCommands(soak, { index, random: createSeededRandom(random.int(2 ** 31)) }));
    clients.push(...slow.map((env, index) => runLongTransfers(soak, { index, env })));
    await Promise.all(clients);
    const counted = renewals.stop();
    for (const handle of nodes) await handle.stop();
    await collective.coordinator.process.stop();
    tally.failures.push(...[collective.coordinator.process, ...nodes].flatMap((handle) => complaints(handle.stderr())));
    return { ...tally, renewals: counted };
  } finally {
    await Promise.all(nodes.map((handle) => handle.kill()));
  }
}

/** Of the same person, with a key of its own. */
async function anotherHome(collective: Collective, name: string): Promise<Environment> {
  const folder = join(collective.home.path, name);
  const env = { ...collective.env, COLLECTIVE_HOME: join(folder, "home") };
  await succeed(collective, ["auth", "cert", "--kind", "user", "--name", "alice", "--output", folder]);
  const files = ["--ca-cert", join(folder, "ca.pem"), "--cert", join(folder, "cert.pem"), "--key", join(folder, "key.pem")];
  const whose = ["--member", "alice@home.collective.local", "--coordinator", collective.coordinator.address];
  await succeed(collective, ["init", "--name", "alice", ...whose, ...files], { env });
  return env;
}

function certificateIn(env: Environment): string {
  return join(env.COLLECTIVE_HOME ?? "", "certificates", "alice", "cert.pem");
}

function countRenewals(files: Readonly<Record<string, string>>): { stop(): Record<string, number> } {
  const serials = new Map(Object.keys(files).map((name) => [name, new Set<string>()]));
  const look = (): void => {
    for (const [name, file] of Object.entries(files)) {
      if (existsSync(file)) serials.get(name)?.add(readCertificate(readFileSync(file, "utf8")).serial);
    }
  };
  look();
  const timer = setInterval(look, certificatePollMs);
  return {
    stop: () => {
      clearInterval(timer);
      return Object.fromEntries([...serials].map(([name, seen]) => [name, seen.size - 1]));
    },
  };
}

async function runShortCommands(soak: Soak, { index, random }: { readonly index: number; readonly random: Random }): Promise<void> {
  const { collective, tally } = soak;
  for (let round = 0; performance.now() < soak.deadlineMs; round++) {
    const path = `/s/short-${index}-${round % 5}`;
    const content = bytesOf(`${soak.options.seed} ${path} ${round}`, 1 + random.int(smallBytesMax));
    await command(soak, ["write", path], { env: collective.env, stdin: new Blob([content]) });
    tally.bytesWritten += content.length;
    if (random.int(3) === 0) await command(soak, ["ls", "-l", "/s"], { env: collective.env });
    const read = await command(soak, ["read", path], { env: collective.env });
    tally.bytesRead += read.length;
    if (sha256(read) !== sha256(content)) tally.failures.push(`${path} is not what was written`);
  }
}

/** One write that takes longer than a certificate lives, and reads of it for as long. */
async function runLongTransfers(soak: Soak, { index, env }: { readonly index: number; readonly env: Environment }): Promise<void> {
  const { tally, options } = soak;
  for (let round = 0; performance.now() < soak.deadlineMs; round++) {
    const path = `/s/long-${index}-${round}`;
    const leftMs = soak.deadlineMs - performance.now();
    const pieces = Math.ceil(Math.min(1.5 * options.validitySeconds * 1_000, leftMs) / dripIntervalMs);
    const piece = (at: number) => bytesOf(`${options.seed} ${path} ${at}`, dripBytes);
    await command(soak, ["write", path], { env, stdin: dripping(pieces, piece), timeoutMs: 3 * pieces * dripIntervalMs + 60_000 });
    tally.bytesWritten += pieces * dripBytes;
    const read = await command(soak, ["read", path], { env });
    tally.bytesRead += read.length;
    const wanted = Buffer.concat(Array.from({ length: pieces }, (_, at) => piece(at)));
    if (sha256(read) !== sha256(wanted)) tally.failures.push(`${path} is not what was written`);
  }
}

function dripping(pieces: number, piece: (at: number) => Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull: async (controller) => {
      if (at >= pieces) return controller.close();
      await Bun.sleep(dripIntervalMs);
      controller.enqueue(piece(at++));
    },
  });
}

async function command(soak: Soak, args: readonly string[], options: RunOptions): Promise<Uint8Array> {
  const result = await run(args, options);
  soak.tally.commands++;
  if (result.exitCode !== 0 || result.stderr !== "") {
    const failure = `${args.join(" ")}: exit code ${result.exitCode} ${result.stderr.trim()}`;
    soak.tally.failures.push(failure);
    soak.options.say?.(failure);
  }
  return result.stdoutBytes;
}

/** What a service thought worth a warning. */
function complaints(log: string): string[] {
  return log.split("\n").filter((line) => / (warn|error) /.test(line));
}
