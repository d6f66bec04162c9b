/** The story of a demo, from the first process to the proof of the last byte. */
import { runCommand } from "citty";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { localNameOf } from "../../../protocol/ids.ts";
import { nodeDeadAfterMs } from "../../../protocol/limits.ts";
import { routes } from "../../../protocol/routes.ts";
import { ownCommand } from "../../core/program.ts";
import { formatDuration } from "../../core/units.ts";
import { toCitty } from "../command.ts";
import status from "../commands/status.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../output/table.ts";
import { countOf } from "../output/text.ts";
import { type CastMember, type Stage, startCast } from "./cast.ts";
import { becomePeers } from "./peering.ts";
import { choosePlace, type DemoOptions, randomFileName, type Tree } from "./place.ts";
import { createProcesses, type DemoProcess, demoEnvironment } from "./processes.ts";
import { shareAmongAll } from "./sharing.ts";
import { compareAll, fetchBack, makeSources, storeName, storeTree } from "./transfer.ts";

const pollIntervalMs = 200;

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
      await play(stage, { ...options, tree });
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

interface Play extends Pick<DemoOptions, "members" | "nodes"> {
  readonly tree: Tree | undefined;
}

async function play(stage: Stage, { members: memberCount, nodes: nodeCount, tree }: Play): Promise<void> {
  const { io, folder, say } = stage;
  const { bold, dim, good } = io.out.colours;
  const who = memberCount > 1 ? `${countOf(memberCount, "member")}, each with one` : "one";
  say(`${bold("A collective of your own")}: ${who} coordinator and ${countOf(nodeCount, "node")}, all processes of this machine`);
  const environment = demoEnvironment(io.environment, folder.home);
  await using processes = createProcesses({ environment, logDir: folder.logDir, clock: io.clock, signal: io.signal });
  const startedMs = io.clock.monotonicMs();
  const members = await startCast(stage, processes, { members: memberCount, nodes: nodeCount });
  const [owner, reader = owner] = members;
  if (!owner || !reader) throw new CollectiveError("internal", "a demo has at least one member");
  showProcesses(stage, { members, startedMs });

  if (members.length > 1) {
    await becomePeers(stage, members);
    await shareAmongAll(stage, members);
  }
  const sources = await makeSources(stage, tree);
  await storeTree(stage, { owner, sources });
  const victim = nodeCount > 1 ? owner.nodes.at(1) : undefined;
  await fetchBack(stage, { owner, reader, sources, victim });
  await compareAll(stage, { sources, victim, nodeCount });

  if (victim) await noticed(stage, { owner, victim });
  say(`\n${dim("$ collective status")}`);
  await runCommand(toCitty(status, owner.io), { rawArgs: [] });
  if (io.out.isTerminal) await stayUp(stage, { owner, reader });
  say(good("done"));
}

function showProcesses({ io, folder, say }: Stage, { members, startedMs }: { members: readonly CastMember[]; startedMs: number }): void {
  const rows = members.flatMap(({ shortName, coordinator, nodes }) =>
    [coordinator, ...nodes].map(({ name, address, pid }) => [shortName, name, address, `pid ${pid}`]),
  );
  const columns = ["member", "process", "address", ""].map((header) => ({ header }));
  say(renderTable({ columns, rows, colours: io.out.colours, indent: 2 }));
  say(`  started in ${formatDuration(io.clock.monotonicMs() - startedMs)}, all data in ${folder.path}`);
}

/** The coordinator takes a node for lost when it has been silent for a while; `status` shall say so. */
async function noticed({ io, say }: Stage, { owner, victim }: { owner: CastMember; victim: DemoProcess }): Promise<void> {
  say(io.out.colours.dim(`\nwaiting until the coordinator misses ${victim.name}`));
  const deadlineMs = io.clock.monotonicMs() + nodeDeadAfterMs;
  while (io.clock.monotonicMs() < deadlineMs) {
    const { nodes } = await owner.session.remote.control.call(routes.status, {}, { signal: io.signal });
    if (nodes.some((node) => localNameOf(node.name) === victim.name && node.state !== "alive")) return;
    await io.clock.sleep(pollIntervalMs, io.signal);
  }
}

async function stayUp({ io, folder, say }: Stage, { owner, reader }: { owner: CastMember; reader: CastMember }): Promise<void> {
  const { bold } = io.out.colours;
  const command = ownCommand().map(shellQuoted).join(" ");
  say(`\n${bold("It stays up until Ctrl-C.")} In another terminal:`);
  say(`  export COLLECTIVE_HOME=${shellQuoted(folder.home)}`);
  const there = `--context ${reader.shortName} ls -l /@${owner.name}/${storeName}`;
  const lines = [
    `ls -l /${storeName}`,
    `stat /${storeName}/${randomFileName}`,
    `read /${storeName}/${randomFileName} | sha256sum`,
    "status",
  ];
  for (const rest of reader === owner ? lines : [...lines, there]) say(`  ${command} ${rest}`);
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
