import { copyPath } from "../../client/copy.ts";
import type { Command } from "../command.ts";
import { copyProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { warnDegraded } from "../warnings.ts";

const command: Command = {
  name: "cp",
  description: "copy inside a member or between members; inside one datastore no data moves",
  positionals: [
    { name: "FROM", description: "what to copy", isPath: true },
    { name: "TO", description: "the new name, or a directory to copy it into", isPath: true },
  ],
  flags: [{ name: "recursive", short: "r", description: "directories with all that is below them" }],
  example: "collective cp -r /media/films /backup/films",
  run: async ({ io, positionals, on }) => {
    const [from = "", to = ""] = positionals;
    const session = await openSession(io);
    const [source, target] = await Promise.all([session.at(from), session.at(to)]);
    const request = { from: source, to: target, recursive: on("recursive") };
    using progress = copyProgress(io, "cp");
    const totals = await copyPath(request, { signal: io.signal, ...progress.hooks });
    progress.finish();
    warnDegraded(io, totals);
  },
};
export default command;
