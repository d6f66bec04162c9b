/** The story of a demo, from the first process to the proof of the last byte. */
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "citty";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { localNameOf } from "../../../protocol/ids.ts";
import { nodeDeadAfterMs } from "../../../protocol/limits.ts";
import { routes } from "../../../protocol/routes.ts";
import { makeDirectoryPath } from "../../client/directories.ts";
import { getTrees } from "../../client/get-tree.ts";
import { type PutTarget, putTrees } from "../../client/put-tree.ts";
import { createLog } from "../../core/log.ts";
import { ownCommand } from "../../core/program.ts";
import { formatDuration, formatSize } from "../../core/units.ts";
import { toCitty } from "../command.ts";
import status from "../commands/status.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../output/table.ts";
import { countOf, formatCount, printable } from "../output/text.ts";
import { openSession, type Session } from "../session.ts";
import { type Comparison, compareTrees } from "./compare.ts";
import type { DemoFolder } from "./folder.ts";
import { createMeter, type TreeAmount } from "./meter.ts";
import { choosePlace, copies, type DemoOptions, randomFileName, type Tree } from "./place.ts";
import { createProcesses, type DemoProcess, demoEnvironment, type Processes } from "./processes.ts";
import { makeRandomFile, makeTree, measureTree, randomFileBytes } from "./source-tree.ts";

const member = "alice@home.collective.local";
const storeName = "demo";
const anyPort = "127.0.0.1:0";
const nodeCapacity = "20GB";
const pollIntervalMs = 200;

/** Everything that the steps share. */
interface Stage {
  readonly io: Io;
  readonly folder: DemoFolder;
  readonly startedWallMs: number;
  say(line?: string): void;
}

/** Throws `internal` when anything comes back other than it was. */
export async function runDemo(processIo: Io, options: DemoOptions): Promise<void> {
  const hangup = new AbortController();
  const onHangup = (): void => hangup.abort();
  process.on("SIGHUP", onHangup);
  const io: Io = { ...processIo, signal: AbortSignal.any([processIo.signal, hangup.signal]) };
  try {
    const { tree, folder: chosen } = await choosePlace(io, options);
    await using folder = chosen;
    const stage: Stage = { io, folder, startedWallMs: io.clock.wallMs(), say: (line = "") => void io.stdout.write(`${line}\n`) };
    try {
      await play(stage, { nodes: options.nodes, tree });
    } catch (thrown) {
      if (io.signal.aborted) throw new CollectiveError("cancelled", "stopped before it was done", { cause: thrown });
      folder.keep();
      const { code, message } = toCollectiveError(thrown);
      throw new CollectiveError(code, message, { hint: `all data and logs stay in ${folder.path}`, cause: thrown });
    }
  } finally {
    process.off("SIGHUP", onHangup);
  }
}

async function play(stage: Stage, { nodes: nodeCount, tree }: { nodes: number; tree: Tree | undefined }): Promise<void> {
  const { io, folder, say } = stage;
  const { bold, dim, good } = io.out.colours;
  say(`${bold("A collective of your own")}: one coordinator and ${countOf(nodeCount, "node")}, each a process of this machine`);
  const environment = demoEnvironment(io.environment, folder.home);
  await using processes = createProcesses({ environment, logDir: folder.logDir, clock: io.clock, signal: io.signal });
  const nodes = await startAll(stage, { processes, nodeCount });
  const inside = insideIo(stage);
  const session = await openSession(inside);

  const sources = await makeSources(stage, tree);
  await store(stage, { session, sources });
  const victim = nodeCount > 1 ? nodes.at(1) : undefined;
  await fetchBack(stage, { session, sources, victim });
  await compareAll(stage, { sources, victim, nodeCount });

  if (victim) await noticed(stage, { session, victim });
  say(`\n${dim("$ collective status")}`);
  await runCommand(toCitty(status, inside), { rawArgs: [] });
  if (io.out.isTerminal) await stayUp(stage);
  say(good("done"));
}

/** Names as in the folder, so that whoever keeps it finds them. */
async function startAll(stage: Stage, { processes, nodeCount }: { processes: Processes; nodeCount: number }): Promise<DemoProcess[]> {
  const { io, folder, say } = stage;
  const startedMs = io.clock.monotonicMs();
  const common = ["--member", member, "--address", anyPort, "--metrics-address", "off"];
  const authorityDir = join(folder.path, "coordinator");
  const coordinator = await processes.start("coordinator", [
    ...["serve", "--role", "coordinator", ...common, "--bootstrap-address", anyPort],
    ...["--data-dir", authorityDir],
  ]);
  const names = Array.from({ length: nodeCount }, (_, index) => `node-${String(index + 1).padStart(2, "0")}`);
  const joining = ["--coordinator", coordinator.address, "--enrol-from", authorityDir, "--capacity", nodeCapacity];
  const nodes = await Promise.all(
    names.map((name) =>
      processes.start(name, ["serve", "--role", "node", ...common, ...joining, "--node-id", name, "--data-dir", join(folder.path, name)]),
    ),
  );
  const rows = [coordinator, ...nodes].map(({ name, address, pid }) => [name, address, `pid ${pid}`]);
  say(renderTable({ columns: ["process", "address", ""].map((header) => ({ header })), rows, colours: io.out.colours, indent: 2 }));
  say(`  started in ${formatDuration(io.clock.monotonicMs() - startedMs)}, all data in ${folder.path}`);
  return nodes;
}

/** As a person of this collective, whatever the environment says about others; what the client notices goes to a log. */
function insideIo({ io, folder }: Stage): Io {
  const path = join(folder.logDir, "client.log");
  const write = (line: string): void => {
    // What is still said while the folder is being removed has nowhere to go.
    if (existsSync(folder.logDir)) appendFileSync(path, `${line}\n`);
  };
  return {
    ...io,
    home: folder.home,
    environment: demoEnvironment(io.environment, folder.home),
    contextName: undefined,
    log: createLog({ level: "info", format: "text", write, wallMs: () => io.clock.wallMs() }),
  };
}

async function makeSources({ io, folder, say }: Stage, tree: Tree | undefined): Promise<Tree[]> {
  const { bold } = io.out.colours;
  const randomPath = join(folder.madeDir, randomFileName);
  await makeRandomFile(randomPath, { random: io.random, signal: io.signal });
  const random = { path: randomPath, name: randomFileName, size: { files: 1, links: 0, bytes: randomFileBytes } };
  const first = tree ?? (await makeDocuments(folder, io.signal));
  const { files, links, bytes } = first.size;
  const amounts = [countOf(files, "file"), countOf(links, "symbolic link"), formatSize(bytes)].join(", ");
  say(`\n${bold("Storing")} ${printable(first.path)} (${amounts}) and one file of random bytes, ${formatSize(randomFileBytes)}`);
  return [first, random];
}

async function makeDocuments({ madeDir }: DemoFolder, signal: AbortSignal): Promise<Tree> {
  const path = join(madeDir, "documents");
  await makeTree(path);
  return { path, name: "documents", size: await measureTree(path, { signal }) };
}

function totalOf(sources: readonly Tree[]): TreeAmount {
  return {
    files: sources.reduce((sum, { size }) => sum + size.files + size.links, 0),
    bytes: sources.reduce((sum, { size }) => sum + size.bytes, 0),
  };
}

async function store({ io, say }: Stage, { session, sources }: { session: Session; sources: readonly Tree[] }): Promise<void> {
  const { remote } = session;
  const parent = await makeDirectoryPath(remote, [storeName], io.signal);
  const targets: PutTarget[] = sources.map(({ path, name }) => ({ localPath: path, parent, name, existing: undefined }));
  const meter = createMeter(io, { label: "put", total: totalOf(sources) });
  const totals = await meter.measure((onProgress) => putTrees(remote, targets, { onProgress, recursive: true, signal: io.signal }));
  const degraded =
    totals.degradedChunks === 0 ? `${copies} copies of every chunk, synced to disk` : io.out.colours.warn("fewer copies than asked for");
  say(`  put  ${meter.summary()}; ${degraded}`);
}

interface FetchOptions {
  readonly session: Session;
  readonly sources: readonly Tree[];
  readonly victim: DemoProcess | undefined;
}

/** The node dies while reads are under way and stays dead: whatever it held must come from elsewhere. */
async function fetchBack({ io, folder, say }: Stage, { session, sources, victim }: FetchOptions): Promise<void> {
  const { bold, bad } = io.out.colours;
  const attr = await makeDirectoryPath(session.remote, [storeName], io.signal);
  say(
    `\n${bold("Fetching everything back")}${victim ? `; half-way, ${victim.name} is killed (SIGKILL) and stays dead` : "; with one node there is none to spare, so none is killed"}`,
  );
  const total = totalOf(sources);
  const meter = createMeter(io, { label: "get", total });
  let killedAtBytes: number | undefined;
  let killed: Promise<void> | undefined;
  const killHalfWay = (): void => {
    if (!victim || killed || meter.done.bytes < total.bytes / 2) return;
    killedAtBytes = meter.done.bytes;
    killed = victim.kill();
    meter.setLabel(`get without ${victim.name}`);
  };
  await meter.measure((onProgress) =>
    getTrees(session.remote, [{ attr, localPath: folder.fetchedDir }], {
      onProgress: (done) => {
        onProgress(done);
        killHalfWay();
      },
      recursive: true,
      signal: io.signal,
    }),
  );
  await killed;
  if (victim && (victim.isRunning() || killedAtBytes === undefined))
    throw new CollectiveError("internal", `${victim.name} was not killed while files were fetched`);
  if (victim) say(`  ${bad("kill")} ${victim.name} (pid ${victim.pid}) after ${formatSize(killedAtBytes ?? 0)}`);
  say(`  get  ${meter.summary()}; no read failed`);
}

/** The coordinator takes a node for lost when it has been silent for a while; `status` shall say so. */
async function noticed({ io, say }: Stage, { session, victim }: { session: Session; victim: DemoProcess }): Promise<void> {
  say(io.out.colours.dim(`\nwaiting until the coordinator misses ${victim.name}`));
  const deadlineMs = io.clock.monotonicMs() + nodeDeadAfterMs;
  while (io.clock.monotonicMs() < deadlineMs) {
    const { nodes } = await session.remote.control.call(routes.status, {}, { signal: io.signal });
    if (nodes.some((node) => localNameOf(node.name) === victim.name && node.state !== "alive")) return;
    await io.clock.sleep(pollIntervalMs, io.signal);
  }
}

interface CompareAllOptions {
  readonly sources: readonly Tree[];
  readonly victim: DemoProcess | undefined;
  readonly nodeCount: number;
}

async function compareAll({ io, folder, startedWallMs, say }: Stage, { sources, victim, nodeCount }: CompareAllOptions): Promise<void> {
  const { bold, good } = io.out.colours;
  say(`\n${bold("Comparing")} what came back with the originals, by the SHA-256 of each file`);
  const meter = createMeter(io, { label: "compare", total: totalOf(sources) });
  const results: Comparison[] = [];
  await meter.measure(async (onProgress) => {
    for (const { path, name } of sources) {
      const roots = { original: path, copy: join(folder.fetchedDir, name) };
      results.push(await compareTrees(roots, { startedWallMs, signal: io.signal, onProgress }));
    }
  });
  const sum = (pick: (result: Comparison) => number): number => results.reduce((total, result) => total + pick(result), 0);
  const equal = {
    files: sum((result) => result.equalFiles),
    links: sum((result) => result.equalLinks),
    bytes: sum((result) => result.bytes),
  };
  const different = sum((result) => result.differentEntries);
  const changed = sum((result) => result.changedEntries);
  const counts = [`${countOf(equal.files, "file")} equal (${formatSize(equal.bytes)})`, `${countOf(equal.links, "symbolic link")} equal`];
  say(`  ${[...counts, `${formatCount(different)} different`].join(", ")} in ${formatDuration(meter.elapsedMs())}`);
  if (changed > 0) say(`  ${countOf(changed, "entry", "entries")} of the original changed meanwhile and could not be compared`);
  if (different > 0) {
    const first = results.flatMap((result) => result.differences).join("; ");
    throw new CollectiveError("internal", `${countOf(different, "entry", "entries")} came back other than stored: ${first}`);
  }
  const despite = victim ? `, though one of ${nodeCount} nodes is dead` : "";
  say(`  ${good("Every byte came back")}${despite}.`);
}

async function stayUp({ io, folder, say }: Stage): Promise<void> {
  const { bold } = io.out.colours;
  const command = ownCommand().map(shellQuoted).join(" ");
  say(`\n${bold("It stays up until Ctrl-C.")} In another terminal:`);
  say(`  export COLLECTIVE_HOME=${shellQuoted(folder.home)}`);
  for (const rest of ["ls -l /demo", `stat /demo/${randomFileName}`, `read /demo/${randomFileName} | sha256sum`, "status"])
    say(`  ${command} ${rest}`);
  say(folder.isKept ? `\nCtrl-C stops all processes; ${folder.path} stays.` : `\nCtrl-C stops all processes and removes ${folder.path}.`);
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    io.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  say("\nstopping");
}

function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
