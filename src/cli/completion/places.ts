/** The tree of commands, and the flat list of places in it that the generators of scripts work on. */

export interface CompletionFlag {
  /** With or without dashes; a single letter is a short flag. */
  readonly name: string;
  readonly description: string;
  readonly takesValue: boolean;
  readonly values?: readonly string[] | undefined;
}

export interface CommandTree {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly CompletionFlag[];
  readonly subcommands: readonly CommandTree[];
  /** Arguments are paths in the collective. */
  readonly completesPaths?: boolean | undefined;
  /** Arguments are names of contexts; unless told, `use-context`, `show-context`, `delete-context` and `switch`. */
  readonly completesContexts?: boolean | undefined;
}

/** A command as the scripts see it: where it stands and what may follow. */
export interface Place {
  /** Words after the executable, joined by blanks; empty for the executable itself. */
  readonly path: string;
  readonly flags: readonly Flag[];
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly words: "paths" | "contexts" | "none";
}

export interface Flag {
  /** With its dashes. */
  readonly option: string;
  readonly description: string;
  readonly takesValue: boolean;
  readonly values: readonly string[];
}

const contextCommands: ReadonlySet<string> = new Set(["use-context", "show-context", "delete-context", "switch"]);
const rootOnlyFlags: ReadonlySet<string> = new Set(["--version"]);

export function placesOf(root: CommandTree): Place[] {
  const shared = root.flags.map(flagOf).filter((flag) => !rootOnlyFlags.has(flag.option));
  const visit = (command: CommandTree, path: readonly string[]): Place[] => {
    const own = command.flags.map(flagOf);
    const inherited = shared.filter((flag) => !own.some((other) => other.option === flag.option));
    const takesContexts = command.completesContexts ?? contextCommands.has(command.name);
    const place: Place = {
      path: path.join(" "),
      flags: [...own, ...inherited],
      subcommands: command.subcommands.map(({ name, description }) => ({ name, description: firstLine(description) })),
      words: command.completesPaths ? "paths" : takesContexts ? "contexts" : "none",
    };
    return [place, ...command.subcommands.flatMap((child) => visit(child, [...path, child.name]))];
  };
  return visit(root, []);
}

function flagOf(flag: CompletionFlag): Flag {
  const bare = flag.name.replace(/^-+/, "");
  return {
    option: bare.length === 1 ? `-${bare}` : `--${bare}`,
    description: firstLine(flag.description),
    takesValue: flag.takesValue,
    values: flag.values ?? [],
  };
}

function firstLine(text: string): string {
  return (text.split("\n", 1)[0] ?? "").trim();
}

export function isContextFlag(flag: Flag): boolean {
  return flag.option === "--context" && flag.takesValue;
}

/** In single quotes for bash and zsh; nothing inside them means anything. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
