/** Who takes part in a demo: members, each with a coordinator and nodes as processes, and a session of its administrator. */
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { type GlobalName, localNameOf, parseGlobalName } from "../../../protocol/ids.ts";
import { createLog } from "../../core/log.ts";
import type { Io } from "../io.ts";
import { openSession, type Session } from "../session.ts";
import type { DemoFolder } from "./folder.ts";
import { coordinatorName, type DemoProcess, demoEnvironment, type Processes } from "./processes.ts";

/** What every part of the story shares. */
export interface Stage {
  readonly io: Io;
  readonly folder: DemoFolder;
  readonly startedWallMs: number;
  say(line?: string): void;
}

export interface CastMember {
  readonly name: GlobalName;
  /** As people say it, and the name of its context. */
  readonly shortName: string;
  readonly coordinator: DemoProcess;
  readonly nodes: readonly DemoProcess[];
  /** With the member's context, whatever the environment says about others. */
  readonly io: Io;
  readonly session: Session;
}

/** In the order in which they come. */
const memberNames = [
  "alice@home.collective.local",
  "bob@garage.collective.local",
  "carol@office.collective.local",
  "dave@attic.collective.local",
  "erin@cellar.collective.local",
  "frank@barn.collective.local",
  "grace@loft.collective.local",
  "heidi@shed.collective.local",
].map(parseGlobalName);

export const membersMax = memberNames.length;

const anyPort = "127.0.0.1:0";
const nodeCapacity = "20GB";

interface CastSize {
  readonly members: number;
  /** Of each member. */
  readonly nodes: number;
}

/** The first one's context is the current one of the folder's home. */
export async function startCast(stage: Stage, processes: Processes, { members, nodes }: CastSize): Promise<readonly CastMember[]> {
  const [first, ...others] = memberNames.slice(0, members);
  if (first === undefined) return [];
  const start = (name: GlobalName): Promise<CastMember> => startMember(stage, processes, { name, nodeCount: nodes });
  return [await start(first), ...(await Promise.all(others.map(start)))];
}

/** Folders are called like the processes, so that whoever keeps them finds them. */
async function startMember(
  stage: Stage,
  processes: Processes,
  { name, nodeCount }: { readonly name: GlobalName; readonly nodeCount: number },
): Promise<CastMember> {
  const shortName = localNameOf(name);
  const dataDir = (process: string): string => join(stage.folder.path, shortName, process);
  const common = ["--member", name, "--address", anyPort, "--metrics-address", "off"];
  const authorityDir = dataDir(coordinatorName);
  const coordinator = await processes.start({
    name: coordinatorName,
    member: shortName,
    args: ["serve", "--role", "coordinator", ...common, "--bootstrap-address", anyPort, "--data-dir", authorityDir],
  });
  const joining = ["--coordinator", coordinator.address, "--enrol-from", authorityDir, "--capacity", nodeCapacity];
  const startNode = (node: string): Promise<DemoProcess> =>
    processes.start({
      name: node,
      member: shortName,
      args: ["serve", "--role", "node", ...common, ...joining, "--node-id", node, "--data-dir", dataDir(node)],
    });
  const nodes = await Promise.all(Array.from({ length: nodeCount }, (_, index) => startNode(`node-${String(index + 1).padStart(2, "0")}`)));
  const io = memberIo(stage, shortName);
  return { name, shortName, coordinator, nodes, io, session: await openSession(io) };
}

/** What the client notices goes to a log. */
function memberIo({ io, folder }: Stage, contextName: string): Io {
  const path = join(folder.logDir, "client.log");
  const write = (line: string): void => {
    // What is still said while the folder is being removed has nowhere to go.
    if (existsSync(folder.logDir)) appendFileSync(path, `${line}\n`);
  };
  return {
    ...io,
    home: folder.home,
    environment: demoEnvironment(io.environment, folder.home),
    contextName,
    log: createLog({ level: "info", format: "text", write, wallMs: () => io.clock.wallMs() }),
  };
}
