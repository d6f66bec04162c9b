import { movePath } from "../../client/move.ts";
import type { Command } from "../command.ts";
import { copyProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { warnDegraded } from "../warnings.ts";

const command: Command = {
  name: "mv",
  description:
    "move or rename, also from one member to another; an existing directory takes the source inside, a file at the target is replaced",
  positionals: [
    { name: "FROM", description: "what to move", isPath: true },
    { name: "TO", description: "the new name, or a directory to move it into", isPath: true },
  ],
  example: "collective mv /media/films/draft.mkv /media/films/final.mkv",
  run: async ({ io, positionals }) => {
    const [from = "", to = ""] = positionals;
    const session = await openSession(io);
    const [source, target] = await Promise.all([session.at(from), session.at(to)]);
    using progress = copyProgress(io, "mv");
    const totals = await movePath({ from: source, to: target }, { signal: io.signal, ...progress.hooks });
    progress.finish();
    warnDegraded(io, totals);
  },
};
export default command;
