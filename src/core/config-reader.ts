/** Reads settings from flags and the environment, and collects every mistake instead of stopping at the first. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { ReadConfigFile } from "./config-file.ts";
import { formatMistake, type Mistake } from "./json-file.ts";
import { type ServeFlag, type ServeRole, serveFlags } from "./serve-flags.ts";
import { oneLine } from "./units.ts";

export interface OutsideSources {
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface Reader {
  readonly role: ServeRole;
  /** From the flag or else the environment; what does not parse is recorded and undefined. */
  outside<T>(flag: string, parse: (text: string) => T, alsoEnvironment?: readonly string[]): T | undefined;
  /** Records that a setting is needed, unless something is wrong with it already. */
  missing(flag: string, fileKey: string): void;
  refuse(key: string, why: string): void;
  refuseFlagsOfOtherRoles(): void;
}

export interface ReaderOptions {
  readonly sources: OutsideSources;
  readonly role: ServeRole;
  /** Filled by the reader. */
  readonly mistakes: Mistake[];
  readonly file: ReadConfigFile;
}

export function createReader({ sources, role, mistakes, file }: ReaderOptions): Reader {
  const given = (flag: ServeFlag): string | boolean | undefined =>
    // A parser of flags may read `--no-context` as the switch `context` turned off.
    sources.flags[flag.name] ?? (flag.name === "no-context" && sources.flags.context === false ? true : undefined);
  const failed = new Set<string>();
  return {
    role,
    outside: (name, parse, alsoEnvironment = []) => {
      const flag = flagNamed(name);
      const before = mistakes.length;
      const value = given(flag);
      const result =
        value === undefined
          ? readEnvironment(sources, [...flag.environment, ...alsoEnvironment], parse, mistakes)
          : parseFrom(`--${name}`, flagText(value, flag), parse, mistakes);
      if (mistakes.length > before) failed.add(name);
      return result;
    },
    missing: (name, fileKey) => {
      if (failed.has(name) || file.mentions(fileKey)) return;
      mistakes.push({
        key: fileKey,
        why: `missing, set --${name}, ${flagNamed(name).environment[0]} or ${fileKey} in a configuration file`,
      });
    },
    refuse: (key, why) => void mistakes.push({ key, why }),
    refuseFlagsOfOtherRoles: () => {
      for (const flag of serveFlags) {
        const value = given(flag);
        if (value === undefined || value === false || flag.roles.includes(role)) continue;
        mistakes.push({ key: `--${flag.name}`, why: `not a flag of the role ${role}, only of ${flag.roles.join(" and ")}` });
      }
    },
  };
}

function flagNamed(name: string): ServeFlag {
  const flag = serveFlags.find((candidate) => candidate.name === name);
  if (flag === undefined) throw new Error(`the flag ${name} is not in the table`);
  return flag;
}

/** A flag that takes a value but was given none arrives as a switch. */
function flagText(value: string | boolean, flag: ServeFlag): string {
  return typeof value === "boolean" && flag.valueHint !== undefined ? "" : String(value);
}

/** The first of `names` that is set and not empty. */
export function readEnvironment<T>(
  sources: OutsideSources,
  names: readonly string[],
  parse: (text: string) => T,
  mistakes: Mistake[],
): T | undefined {
  const name = names.find((candidate) => sources.environment[candidate]);
  return name === undefined ? undefined : parseFrom(name, sources.environment[name] ?? "", parse, mistakes);
}

/** `key` names the source in the mistake. */
export function parseFrom<T>(key: string, text: string, parse: (text: string) => T, mistakes: Mistake[]): T | undefined {
  try {
    if (text !== "") return parse(text);
    mistakes.push({ key, why: "needs a value" });
  } catch (error) {
    if (!(error instanceof CollectiveError)) throw error;
    mistakes.push({ key, why: error.message });
  }
  return undefined;
}

const mistakesInMessageMax = 8;
const mistakeCharactersMax = 300;

/** What is wrong may quote the input, so it is cut and kept on one line. */
function shownMistake(mistake: Mistake): string {
  const text = oneLine(formatMistake(mistake));
  return text.length > mistakeCharactersMax ? `${text.slice(0, mistakeCharactersMax)}…` : text;
}

/** One error for all mistakes; `details.mistakes` has them one by one. */
export function configurationError(found: { outside: readonly Mistake[]; inFile: readonly Mistake[]; path: string }): CollectiveError {
  const inFile = found.inFile.map(shownMistake);
  const outside = [...new Set(found.outside.map(shownMistake))];
  const mistakes = [...inFile.map((text) => `${found.path}: ${text}`), ...outside];
  const shown = outside.length === 0 ? inFile : mistakes;
  const where = outside.length === 0 ? found.path : "the configuration";
  const count = mistakes.length;
  const list =
    shown.slice(0, mistakesInMessageMax).join("; ") + (count > mistakesInMessageMax ? `; and ${count - mistakesInMessageMax} more` : "");
  const message = count === 1 ? mistakes.join("") : `${count} mistakes in ${where}: ${list}`;
  return new CollectiveError("configuration", message, { hint: "collective serve --help lists every setting", details: { mistakes } });
}
