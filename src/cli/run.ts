/** From an argument list to an exit code. The one place where an error becomes a line and a number. */
import { runCommand } from "citty";
import { CollectiveError, exitCodeOf, toCollectiveError } from "../../protocol/errors.ts";
import { systemClock } from "../core/clock.ts";
import { collectiveHome } from "../core/config.ts";
import { createLog, type LogLevel, logLevels } from "../core/log.ts";
import { systemRandom } from "../core/random.ts";
import { nearestName } from "../core/suggest.ts";
import { oneLine, quoteInput } from "../core/units.ts";
import { version } from "../core/version.ts";
import { type Command, type CommandGroup, commonFlags, toCitty } from "./command.ts";
import { commandHelp, groupHelp, section } from "./help.ts";
import { commands } from "./index.ts";
import type { Io } from "./io.ts";
import { fstabCall } from "./mount/fstab.ts";
import { createColours } from "./output/colour.ts";
import { describeTerminal } from "./output/terminal.ts";

export interface CliProcess {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly signal: AbortSignal;
}

const program = "collective";

/** Never throws; answers the exit code. */
export async function runCli(called: CliProcess): Promise<number> {
  let given = called;
  try {
    given = asCommand(called);
  } catch (thrown) {
    return report(toCollectiveError(thrown), { io: createIo(called), what: "mount" });
  }
  const [first, ...rest] = withoutLeadingFlags(given.argv);
  if (first === "--version") {
    given.stdout.write(`${program} ${version}\n`);
    return 0;
  }
  const io = createIo(given);
  const what = [];
  try {
    if (first === undefined || first === "--help" || first === "-h" || first === "help") {
      io.stdout.write(overview(io));
      return first === undefined ? exitCodeOf.invalid_argument : 0;
    }
    what.push(first);
    const found = await find(first);
    if (!("commands" in found)) {
      await runOne(found, { io, rawArgs: rest, prefix: program });
      return 0;
    }
    const [second, ...after] = rest;
    if (second === undefined || second === "--help" || second === "-h") {
      io.stdout.write(groupHelp(found, { prefix: program, colours: io.out.colours }));
      return second === undefined ? exitCodeOf.invalid_argument : 0;
    }
    what.push(second);
    await runOne(findIn(found, second), { io, rawArgs: after, prefix: `${program} ${first}` });
    return 0;
  } catch (thrown) {
    return report(toUsageError(thrown), { io, what: what.join(" ") });
  }
}

/** What mount(8) asks for is said as a command. */
function asCommand(called: CliProcess): CliProcess {
  const call = fstabCall(called.argv);
  if (!call) return called;
  const environment = call.home === undefined ? called.environment : { ...called.environment, COLLECTIVE_HOME: call.home };
  return { ...called, argv: call.argv, environment };
}

/** Flags of every command may stand before it, too; `createIo` reads them wherever they are. */
function withoutLeadingFlags(argv: readonly string[]): string[] {
  let at = 0;
  for (; at < argv.length; at++) {
    const [spelled = "", inline] = (argv[at] ?? "").split("=", 2);
    const flag = commonFlags.find((known) => known.name !== "help" && spelled === `--${known.name}`);
    if (!flag) break;
    if (flag.valueHint !== undefined && inline === undefined) at++;
  }
  return argv.slice(at);
}

async function runOne(command: Command, { io, rawArgs, prefix }: { io: Io; rawArgs: string[]; prefix: string }): Promise<void> {
  const beforeDashes = rawArgs.includes("--") ? rawArgs.slice(0, rawArgs.indexOf("--")) : rawArgs;
  if (beforeDashes.includes("--help") || beforeDashes.includes("-h")) {
    io.stdout.write(commandHelp(command, { prefix, colours: io.out.colours }));
    return;
  }
  await runCommand(toCitty(command, io), { rawArgs });
}

async function find(name: string): Promise<Command | CommandGroup> {
  const listed = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (listed) return await listed.load();
  throw unknownCommand(name, Object.keys(commands));
}

function findIn(group: CommandGroup, name: string): Command {
  const found = group.commands.find((command) => command.name === name);
  if (found) return found;
  throw unknownCommand(
    name,
    group.commands.map((command) => command.name),
  );
}

function unknownCommand(name: string, known: readonly string[]): CollectiveError {
  const near = nearestName(name, known);
  return new CollectiveError(
    "invalid_argument",
    `there is no command ${quoteInput(name)}${near === undefined ? "" : `, did you mean ${near}?`}`,
    {
      hint: `see: ${program} --help`,
    },
  );
}

/** citty's own errors are always about usage. */
function toUsageError(thrown: unknown): CollectiveError {
  if (thrown instanceof Error && thrown.name === "CLIError")
    return new CollectiveError("invalid_argument", oneLine(thrown.message), { cause: thrown });
  return toCollectiveError(thrown);
}

function report(error: CollectiveError, { io, what }: { io: Io; what: string }): number {
  const { bad, dim } = io.err.colours;
  io.stderr.write(`${bad(`${program}:`)} ${what === "" ? "" : `${what}: `}${oneLine(error.message)} (${error.code})\n`);
  if (error.hint !== undefined) io.stderr.write(`${dim(oneLine(error.hint))}\n`);
  if (io.environment.COLLECTIVE_DEBUG === "1") io.stderr.write(`${stackOf(error)}\n`);
  return exitCodeOf[error.code];
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}

/** `--context`, `--no-color` and `--log-level` are read before a command is known, so that its errors obey them too. */
function createIo({ argv, environment, stdout, stderr, signal }: CliProcess): Io {
  const noColour = argv.includes("--no-color");
  const out = describeTerminal({ stream: stdout, environment, noColour });
  const err = describeTerminal({ stream: stderr, environment, noColour });
  const level = flagValue(argv, "--log-level") ?? environment.COLLECTIVE_LOG_LEVEL;
  return {
    stdout,
    stderr,
    out,
    err,
    environment,
    home: collectiveHome(environment),
    clock: systemClock,
    random: systemRandom,
    log: createLog({
      level: logLevels.find((known): known is LogLevel => known === level) ?? "warn",
      format: "text",
      write: (line) => void stderr.write(`${line}\n`),
      wallMs: () => systemClock.wallMs(),
    }).tagged("client"),
    signal,
    contextName: flagValue(argv, "--context") ?? environment.COLLECTIVE_CONTEXT,
  };
}

function flagValue(argv: readonly string[], flag: string): string | undefined {
  const inline = argv.find((given) => given.startsWith(`${flag}=`));
  if (inline !== undefined) return inline.slice(flag.length + 1);
  const at = argv.indexOf(flag);
  return at < 0 ? undefined : argv[at + 1];
}

function overview(io: Io): string {
  const { bold } = createColours(io.out.colours.enabled);
  const listed = Object.entries(commands).filter(([, command]) => command.section !== undefined);
  const sections = Object.entries(Object.groupBy(listed, ([, command]) => command.section ?? ""));
  const lines = [
    `${program} ${version}: a storage pool for friends and homelabs`,
    "",
    `${bold("Usage:")} ${program} COMMAND [flags]`,
    ...sections.flatMap(([title, rows = []]) =>
      section(
        bold(`${title}:`),
        rows.map(([name, command]) => [name, command.description]),
      ),
    ),
    "",
    `${program} COMMAND --help shows flags, an example and exit codes.`,
  ];
  return `${lines.join("\n")}\n`;
}
