import type { Command } from "../command.ts";
import { putPaths } from "./_transfer.ts";

const command: Command = {
  name: "put",
  description: "store local files and trees; an existing directory takes them inside, anything else is the new name",
  positionals: [
    { name: "LOCAL", description: "files and directories of this machine", variadic: true },
    { name: "PATH", description: "where to store them", isPath: true },
  ],
  flags: [{ name: "recursive", short: "r", description: "directories with all that is below them" }],
  example: "collective put -r photos /backup",
  run: async ({ io, positionals, on }) => {
    await putPaths(io, { sources: positionals.slice(0, -1), target: positionals.at(-1) ?? "", recursive: on("recursive") });
  },
};
export default command;
