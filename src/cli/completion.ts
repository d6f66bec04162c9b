/**
 * Completion scripts for shells, made from the tree of commands. The scripts hold everything that is fixed
 * and ask the executable for the rest: contexts by `collective config get-contexts --quiet`, paths in the
 * collective by `collective ls --completion <prefix>`, one candidate a line. Where nothing is known the
 * shell's own file names are offered. What the executable prints is never evaluated by the shell.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { quoteInput } from "../core/units.ts";
import { bashScript } from "./completion/bash.ts";
import { fishScript } from "./completion/fish.ts";
import { type CommandTree, type Place, placesOf } from "./completion/places.ts";
import { zshScript } from "./completion/zsh.ts";

export type { CommandTree, CompletionFlag } from "./completion/places.ts";

export const completionShells = ["bash", "zsh", "fish"] as const;
export type CompletionShell = (typeof completionShells)[number];

export function parseShell(text: string): CompletionShell {
  const shell = completionShells.find((known) => known === text);
  if (shell === undefined)
    throw new CollectiveError("invalid_argument", `${quoteInput(text)} is not one of ${completionShells.join(", ")}`);
  return shell;
}

/** `commands` is the root: its name is the executable's, and its flags belong to every command. */
export function completionScript(shell: CompletionShell, commands: CommandTree): string {
  const places = placesOf(commands);
  const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } satisfies Record<
    CompletionShell,
    (name: string, places: readonly Place[]) => string
  >;
  return scripts[shell](commands.name, places);
}
