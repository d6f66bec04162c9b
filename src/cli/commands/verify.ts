import { CollectiveError } from "../../../protocol/errors.ts";
import { statPath } from "../../client/files.ts";
import { type VerifyReport, verifyPath } from "../../client/verify.ts";
import { type Command, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import type { Colours } from "../output/colour.ts";
import { printJson } from "../output/json.ts";
import { type Cell, renderFields } from "../output/table.ts";
import { countOf, formatCount, printable } from "../output/text.ts";
import { copyProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const command: Command = {
  name: "verify",
  description: "have every copy of every chunk read and compared, where it lies",
  positionals: [{ name: "PATH", description: "a file, or with -r a directory or datastore", isPath: true }],
  flags: [{ name: "recursive", short: "r", description: "directories with all that is below them" }, jsonFlag],
  example: "collective verify -r /media",
  run: async ({ io, positionals, on }) => {
    const [text = ""] = positionals;
    const { remote, components } = await (await openSession(io)).at(text);
    const attr = await statPath(remote, components, io.signal);
    if (attr.type === "directory" && !on("recursive")) {
      throw new CollectiveError("is_a_directory", `${text} is a directory`, { hint: "verify directories with -r" });
    }
    using progress = copyProgress(io, "verify");
    const report = await verifyPath(remote, { components, attr }, { signal: io.signal, ...progress.hooks });
    progress.finish();
    if (on("json")) printJson(report, io.stdout);
    else printReport(io, report);
    throwWhatIsWrong(report);
  },
};
export default command;

function printReport(io: Io, report: VerifyReport): void {
  const { colours } = io.out;
  const wrong = (count: number, paint = colours.bad): Cell => ({ text: formatCount(count), paint: count > 0 ? paint : (text) => text });
  const fields: [string, Cell][] = [
    ["files", formatCount(report.files)],
    ["chunks", formatCount(report.chunks)],
    ["copies", formatCount(report.copies)],
    ["bad", wrong(report.bad)],
    ["missing", wrong(report.missing)],
    ["unreachable", wrong(report.unreachable, colours.warn)],
  ];
  io.stdout.write(`${renderFields({ fields, colours })}\n`);
  io.stdout.write(`\n${verdict(report, colours)}\n`);
  printPaths(io, "cannot be rebuilt:", report.unrecoverable);
  printPaths(io, "cannot be verified now:", report.unverified);
}

function verdict({ bad, missing, unreachable, unrecoverable, unverified }: VerifyReport, colours: Colours): string {
  if (unrecoverable.length > 0) return colours.bad("not every file can be rebuilt");
  if (unverified.length > 0) return colours.warn("not every file could be verified");
  if (bad + missing > 0) return colours.warn("every file is whole; what is bad or missing has been reported");
  if (unreachable > 0) return colours.warn("every file is whole, but not every copy could be read");
  return colours.good("every copy is good");
}

const pathsShownMax = 20;

function printPaths(io: Io, title: string, paths: readonly string[]): void {
  if (paths.length === 0) return;
  io.stdout.write(`\n${io.out.colours.bad(title)}\n`);
  for (const path of paths.slice(0, pathsShownMax)) io.stdout.write(`  ${printable(path)}\n`);
  if (paths.length > pathsShownMax) io.stdout.write(`  and ${formatCount(paths.length - pathsShownMax)} more (--json lists all)\n`);
}

function throwWhatIsWrong({ unrecoverable, unverified }: VerifyReport): void {
  if (unrecoverable.length > 0) {
    throw new CollectiveError("corrupt", `${countOf(unrecoverable.length, "file")} cannot be rebuilt: a chunk has no good copy left`, {
      hint: "put the files again where you have them elsewhere",
    });
  }
  if (unverified.length > 0) {
    throw new CollectiveError(
      "unavailable",
      `${countOf(unverified.length, "file")} cannot be verified: the nodes with their copies do not answer`,
      {
        hint: "see: collective status",
      },
    );
  }
}
