/** `--help`, made from the command tables. */
import { type Command, type CommandGroup, type Flag, flagsOf } from "./command.ts";
import type { Colours } from "./output/colour.ts";

const exitMeanings: readonly (readonly [number, string])[] = [
  [0, "done"],
  [1, "failed"],
  [2, "wrong usage or configuration"],
  [3, "not found"],
  [4, "permission denied or not authenticated"],
  [5, "unavailable: coordinator, nodes, time-out"],
  [6, "conflict: exists, not empty, changed meanwhile"],
  [7, "no space or quota"],
  [8, "data damaged beyond repair"],
];

export function commandHelp(command: Command, { prefix, colours }: { readonly prefix: string; readonly colours: Colours }): string {
  const positionals = (command.positionals ?? []).map(({ name, optional, variadic }) => {
    const shown = variadic ? `${name}…` : name;
    return optional ? `[${shown}]` : shown;
  });
  const lines = [
    command.description,
    "",
    `${colours.bold("Usage:")} ${[prefix, command.name, "[flags]", ...positionals].join(" ")}`,
    ...section(
      colours.bold("Arguments:"),
      (command.positionals ?? []).map((positional) => [positional.name, positional.description]),
    ),
    ...section(
      colours.bold("Flags:"),
      flagsOf(command).map((flag) => [flagLabel(flag), flagText(flag)]),
    ),
    "",
    `${colours.bold("Example:")}\n  ${command.example}`,
    ...section(
      colours.bold("Exit codes:"),
      exitMeanings.map(([code, meaning]) => [String(code), meaning]),
    ),
  ];
  return `${lines.join("\n")}\n`;
}

export function groupHelp(group: CommandGroup, { prefix, colours }: { readonly prefix: string; readonly colours: Colours }): string {
  const lines = [
    group.description,
    "",
    `${colours.bold("Usage:")} ${prefix} ${group.name} COMMAND [flags]`,
    ...section(
      colours.bold("Commands:"),
      group.commands.map((command) => [command.name, command.description]),
    ),
    "",
    `${prefix} ${group.name} COMMAND --help shows flags, an example and exit codes.`,
  ];
  return `${lines.join("\n")}\n`;
}

export function section(title: string, rows: readonly (readonly [string, string])[]): string[] {
  if (rows.length === 0) return [];
  const width = Math.max(...rows.map(([label]) => label.length));
  return ["", title, ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`)];
}

function flagLabel(flag: Flag): string {
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  return `${short}--${flag.name}${flag.valueHint === undefined ? "" : ` ${flag.valueHint}`}`;
}

function flagText(flag: Flag): string {
  const values = flag.values ? ` (${flag.values.join(", ")})` : "";
  return `${flag.description}${values}${flag.default === undefined ? "" : ` [default: ${flag.default}]`}`;
}
