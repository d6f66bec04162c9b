import type { Command, CommandGroup, Flag } from "../command.ts";
import { commonFlags } from "../command.ts";
import { type CommandTree, type CompletionFlag, completionScript, completionShells, parseShell } from "../completion.ts";
import { commands } from "../index.ts";

const command: Command = {
  name: "completion",
  description: "print a completion script for a shell",
  positionals: [{ name: "SHELL", description: completionShells.join(", ") }],
  example: "source <(collective completion bash)",
  run: async ({ io, positionals }) => {
    const shell = parseShell(positionals[0] ?? "");
    io.stdout.write(completionScript(shell, await commandTree()));
  },
};
export default command;

async function commandTree(): Promise<CommandTree> {
  const subcommands = await Promise.all(
    Object.values(commands)
      .filter(({ section }) => section !== undefined)
      .map(async ({ load }) => treeOf(await load())),
  );
  return {
    name: "collective",
    description: "a storage pool for friends and homelabs",
    flags: [...commonFlags.flatMap(flagsOf), { name: "version", description: "show the version", takesValue: false }],
    subcommands,
  };
}

function treeOf(found: Command | CommandGroup): CommandTree {
  const { name, description } = found;
  if ("commands" in found) return { name, description, flags: [], subcommands: found.commands.map(treeOf) };
  const { positionals = [], flags = [] } = found;
  return {
    name,
    description,
    flags: flags.flatMap(flagsOf),
    subcommands: [],
    completesPaths: positionals.some((positional) => positional.isPath),
  };
}

/** A flag and its short form are two words to a shell. */
function flagsOf({ name, short, description, valueHint, values }: Flag): CompletionFlag[] {
  const names = short === undefined ? [name] : [name, short];
  return names.map((each) => ({ name: each, description, takesValue: valueHint !== undefined, values }));
}
