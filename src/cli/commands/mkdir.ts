import { CollectiveError } from "../../../protocol/errors.ts";
import { rootInode } from "../../../protocol/ids.ts";
import { routes } from "../../../protocol/routes.ts";
import { makeDirectoryPath } from "../../client/directories.ts";
import { placeOf } from "../../client/files.ts";
import type { Command } from "../command.ts";
import { openSession } from "../session.ts";

const directoryMode = 0o755;

const command: Command = {
  name: "mkdir",
  description: "make directories; a directory in the root becomes a datastore with the default policy",
  positionals: [{ name: "PATH", description: "what to make", variadic: true, isPath: true }],
  flags: [{ name: "parents", short: "p", description: "make missing parents too, and do not mind what exists" }],
  example: "collective mkdir -p /media/films/2026",
  run: async ({ io, positionals, on }) => {
    const session = await openSession(io);
    for (const text of positionals) {
      const { remote, components } = await session.at(text);
      if (on("parents")) {
        await makeDirectoryPath(remote, components, io.signal);
        continue;
      }
      if (components.length === 0) throw new CollectiveError("already_exists", "/ exists already");
      const { parent, name, existing } = await placeOf(remote, components, io.signal);
      if (existing) throw new CollectiveError("already_exists", `${text} exists already`);
      await remote.control.call(
        routes.makeDirectories,
        { directories: [{ parent: parent.inode ?? rootInode, name, mode: directoryMode }], existing: "fail" },
        { signal: io.signal },
      );
    }
  },
};
export default command;
