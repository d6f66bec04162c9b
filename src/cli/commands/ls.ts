import { CollectiveError } from "../../../protocol/errors.ts";
import type { Attr, DirectoryEntry } from "../../../protocol/schema.ts";
import { completePath } from "../../client/complete-path.ts";
import { listDirectory, sharingMembers, statPath } from "../../client/files.ts";
import type { Remote } from "../../client/remote.ts";
import { formatSize } from "../../core/units.ts";
import { type Command, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import { formatMode, formatTime, jsonEntry } from "../output/entries.ts";
import { printJson } from "../output/json.ts";
import { renderTable } from "../output/table.ts";
import { countOf, printable } from "../output/text.ts";
import { openSession, type Session } from "../session.ts";

const command: Command = {
  name: "ls",
  description: "list a directory",
  positionals: [{ name: "PATH", description: "what to list, / by default", optional: true, isPath: true }],
  flags: [
    { name: "long", short: "l", description: "with mode, owner, size and time" },
    { name: "recursive", short: "R", description: "everything below, too" },
    { name: "completion", description: "for shells: paths that begin like this, one a line", valueHint: "PREFIX", allowsEmpty: true },
    jsonFlag,
  ],
  example: "collective ls -l /media/films",
  run: async ({ io, positionals, given, on }) => {
    const [text = "/"] = positionals;
    const session = await openSession(io);
    const prefix = given("completion");
    if (prefix !== undefined) {
      for (const candidate of await completePath(session, prefix, io.signal)) io.stdout.write(`${candidate}\n`);
      return;
    }
    const { remote, components, member } = await session.at(text);
    const attr = await statPath(remote, components, io.signal);
    const isOwnRoot = member === undefined && components.length === 0;
    const refused: CollectiveError[] = [];
    const found =
      attr.type === "directory"
        ? withMembers(
            walk(remote, { attr, prefix: "", recursive: on("recursive"), signal: io.signal, refused }),
            isOwnRoot ? session : undefined,
          )
        : single(components.at(-1) ?? "/", attr);
    if (on("json")) {
      printJson(
        (await Array.fromAsync(found)).map((entry) => jsonEntry(entry)),
        io.stdout,
      );
    } else if (on("long")) {
      printLong(io, await Array.fromAsync(found));
    } else {
      for await (const { name, attr: child } of found) io.stdout.write(`${shown(io, name, child)}\n`);
    }
    if (refused.length > 0) throw incomplete(io, refused);
  },
};
export default command;

/** After the own datastores, each other member that grants the caller something. */
async function* withMembers(entries: AsyncGenerator<DirectoryEntry>, session: Session | undefined): AsyncGenerator<DirectoryEntry> {
  yield* entries;
  if (session) yield* await sharingMembers(session.remote);
}

async function* single(name: string, attr: Attr): AsyncGenerator<DirectoryEntry> {
  yield { name, attr };
}

interface Walk {
  readonly attr: Attr;
  readonly prefix: string;
  readonly recursive: boolean;
  readonly signal: AbortSignal;
  /** Takes what was refused below the start: as with ls(1), the rest is listed all the same. */
  readonly refused: CollectiveError[];
}

/** Depth first; with `recursive` names are paths below the start. */
async function* walk(remote: Remote, at: Walk): AsyncGenerator<DirectoryEntry> {
  const entries = listDirectory(remote, at.attr.inode, at.signal);
  for await (const { name, attr } of at.prefix === "" ? entries : untilRefused(entries, at.refused)) {
    if (at.signal.aborted) throw new CollectiveError("cancelled", "cancelled");
    yield { name: at.prefix + name, attr };
    if (at.recursive && attr.type === "directory") yield* walk(remote, { ...at, attr, prefix: `${at.prefix}${name}/` });
  }
}

async function* untilRefused(entries: AsyncGenerator<DirectoryEntry>, refused: CollectiveError[]): AsyncGenerator<DirectoryEntry> {
  try {
    yield* entries;
  } catch (error) {
    if (!(error instanceof CollectiveError) || error.code !== "permission_denied") throw error;
    refused.push(error);
  }
}

function incomplete(io: Io, refused: readonly CollectiveError[]): CollectiveError {
  for (const { message } of refused) io.stderr.write(`${io.err.colours.warn("not listed:")} ${printable(message)}\n`);
  return new CollectiveError("permission_denied", `${countOf(refused.length, "directory", "directories")} could not be listed`);
}

function shown(io: Io, name: string, attr: Attr): string {
  const text = printable(name);
  if (attr.type === "directory") return `${io.out.colours.accent(text)}/`;
  return attr.type === "symlink" ? `${text} -> ${printable(attr.target ?? "")}` : text;
}

function printLong(io: Io, entries: readonly DirectoryEntry[]): void {
  if (entries.length === 0) return;
  const table = renderTable({
    columns: [
      { header: "MODE" },
      { header: "OWNER", flexible: true },
      { header: "SIZE", align: "right" },
      { header: "MODIFIED" },
      { header: "NAME" },
    ],
    rows: entries.map(({ name, attr }) => [
      formatMode(attr),
      attr.owner,
      attr.type === "directory" ? "-" : formatSize(attr.sizeBytes),
      formatTime(attr.mtimeNs),
      {
        text: attr.type === "symlink" ? `${name} -> ${attr.target ?? ""}` : name,
        paint: attr.type === "directory" ? io.out.colours.accent : (plain) => plain,
      },
    ]),
    width: io.out.columns,
    colours: io.out.colours,
    unicode: io.out.unicode,
  });
  io.stdout.write(`${table}\n`);
}
