import type { Command } from "../command.ts";
import { getPaths } from "./_transfer.ts";

const command: Command = {
  name: "get",
  description: "fetch files and trees; an existing directory takes them inside, anything else is the new name",
  positionals: [
    { name: "PATH", description: "what to fetch", variadic: true, isPath: true },
    { name: "LOCAL", description: "where to, on this machine" },
  ],
  flags: [{ name: "recursive", short: "r", description: "directories with all that is below them" }],
  example: "collective get -r /backup/photos .",
  run: async ({ io, positionals, on }) => {
    await getPaths(io, { sources: positionals.slice(0, -1), target: positionals.at(-1) ?? "", recursive: on("recursive") });
  },
};
export default command;
