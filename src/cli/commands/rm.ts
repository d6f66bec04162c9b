import { CollectiveError } from "../../../protocol/errors.ts";
import { routes } from "../../../protocol/routes.ts";
import { type Place, placeOf } from "../../client/files.ts";
import type { Remote } from "../../client/remote.ts";
import { formatSize } from "../../core/units.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { countOf, printable } from "../output/text.ts";
import { openSession, type Session } from "../session.ts";

const command: Command = {
  name: "rm",
  description: "remove files, links and, with -r, directories and datastores",
  positionals: [{ name: "PATH", description: "what to remove", variadic: true, isPath: true }],
  flags: [
    { name: "recursive", short: "r", description: "directories with all that is below them" },
    { name: "force", short: "f", description: "do not mind what does not exist" },
    { name: "dry-run", description: "only say what would be removed" },
  ],
  example: "collective rm -r /media/films/old",
  run: async ({ io, positionals, on }) => {
    const session = await openSession(io);
    for (const text of positionals) {
      const place = await findPlace(session, text, { force: on("force"), signal: io.signal });
      if (!place) continue;
      if (place.existing.type === "directory" && !on("recursive")) {
        throw new CollectiveError("is_a_directory", `${text} is a directory`, { hint: "remove directories with -r" });
      }
      if (on("dry-run")) {
        await describe(io, { text, place });
        continue;
      }
      await place.remote.control.call(
        routes.remove,
        { parent: place.parent.inode, name: place.name, kind: on("recursive") ? "tree" : "file" },
        { signal: io.signal },
      );
    }
  },
};
export default command;

type FoundPlace = Place & { readonly existing: NonNullable<Place["existing"]>; readonly remote: Remote };

async function findPlace(
  session: Session,
  text: string,
  { force, signal }: { force: boolean; signal: AbortSignal },
): Promise<FoundPlace | undefined> {
  const { remote, components } = await session.at(text);
  if (components.length === 0)
    throw new CollectiveError("invalid_argument", "the root cannot be removed", { hint: "name the datastores to remove" });
  try {
    const place = await placeOf(remote, components, signal);
    if (!place.existing) throw new CollectiveError("not_found", `${text} does not exist`);
    return { ...place, existing: place.existing, remote };
  } catch (error) {
    if (force && error instanceof CollectiveError && error.code === "not_found") return undefined;
    throw error;
  }
}

async function describe(io: Io, { text, place }: { text: string; place: FoundPlace }): Promise<void> {
  const { files, directories, logicalBytes } = await place.remote.control.call(
    routes.usage,
    { inode: place.existing.inode },
    { signal: io.signal },
  );
  const isTree = place.existing.type === "directory";
  const what = isTree
    ? `: ${countOf(files, "file")}, ${countOf(directories, "directory", "directories")}, ${formatSize(logicalBytes)}`
    : "";
  io.stdout.write(`would remove ${printable(text)}${what}\n`);
}
