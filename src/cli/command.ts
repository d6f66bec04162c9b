/**
 * What a command is: flags, positionals, an example and a function, as data, so that parsing, help
 * and completion all read the same table. citty parses and routes; what it lets pass (unknown flags,
 * flags without their value) is refused here.
 */
import { type ArgsDef, type CommandDef, defineCommand } from "citty";
import { CollectiveError } from "../../protocol/errors.ts";
import { nearestName } from "../core/suggest.ts";
import { quoteInput } from "../core/units.ts";
import type { Io } from "./io.ts";

export interface Flag {
  /** Without dashes. */
  readonly name: string;
  readonly short?: string;
  readonly description: string;
  /** What stands for the value in help; a flag without one is a switch. */
  readonly valueHint?: string;
  readonly default?: string;
  /** An empty value is one, too. */
  readonly allowsEmpty?: boolean;
  readonly values?: readonly string[];
}

export interface Positional {
  /** As in help: `PATH`. */
  readonly name: string;
  readonly description: string;
  readonly optional?: boolean;
  readonly variadic?: boolean;
  /** Completes with remote paths. */
  readonly isPath?: boolean;
}

export interface Invocation {
  readonly io: Io;
  readonly positionals: readonly string[];
  /** With its default. */
  text(flag: string): string | undefined;
  /** Only what was really given. */
  given(flag: string): string | undefined;
  /** Every value of a flag that may be repeated, in order. */
  all(flag: string): string[];
  on(flag: string): boolean;
}

export interface Command {
  readonly name: string;
  readonly description: string;
  readonly positionals?: readonly Positional[];
  readonly flags?: readonly Flag[];
  readonly example: string;
  readonly run: (invocation: Invocation) => Promise<void>;
}

/** A group of commands under one word, like `store`. */
export interface CommandGroup {
  readonly name: string;
  readonly description: string;
  readonly commands: readonly Command[];
}

/** Flags that every command takes. */
export const commonFlags: readonly Flag[] = [
  { name: "context", description: "which collective to speak to, see: collective config get-contexts", valueHint: "NAME" },
  {
    name: "log-level",
    description: "how much to say on stderr",
    valueHint: "LEVEL",
    values: ["error", "warn", "info", "debug"],
    default: "warn",
  },
  { name: "no-color", description: "plain output" },
  { name: "help", short: "h", description: "show this help" },
];

export const jsonFlag: Flag = { name: "json", description: "print one JSON value" };

export function flagsOf(command: Command): readonly Flag[] {
  const own = command.flags ?? [];
  return [...own, ...commonFlags.filter((flag) => !own.some((mine) => mine.name === flag.name))];
}

export function toCitty(command: Command, io: Io): CommandDef {
  const flags = flagsOf(command);
  return defineCommand({
    meta: { name: command.name, description: command.description },
    args: Object.fromEntries(flags.map((flag) => [flag.name, cittyArg(flag)])) as ArgsDef,
    run: async ({ rawArgs, args }) => {
      const positionals = args._;
      assertKnownFlags(rawArgs, flags);
      assertPositionals(command, positionals);
      const given = (name: string): string | undefined => (typeof args[name] === "string" ? args[name] : undefined);
      await command.run({
        io,
        positionals,
        text: (name) => given(name) ?? flags.find((flag) => flag.name === name)?.default,
        given,
        all: (name) => valuesOf(rawArgs, flags, name),
        // citty reads --no-x as x = false.
        on: (name) => (name.startsWith("no-") ? args[name.slice(3)] === false : args[name] === true),
      });
    },
  });
}

function cittyArg(flag: Flag): ArgsDef[string] {
  const alias = flag.short === undefined ? {} : { alias: flag.short };
  return flag.valueHint === undefined ? { type: "boolean", ...alias } : { type: "string", ...alias };
}

/** citty keeps the last one only. The arguments have passed `assertKnownFlags`. */
function valuesOf(rawArgs: readonly string[], flags: readonly Flag[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < rawArgs.length; at++) {
    const given = rawArgs[at] ?? "";
    if (given === "--") break;
    const [spelled = "", inline] = splitOnce(given, "=");
    const flag = flags.find((known) => spelled === `--${known.name}` || (known.short !== undefined && spelled === `-${known.short}`));
    if (flag?.valueHint === undefined) continue;
    const value = inline ?? rawArgs[++at];
    if (flag.name === name && value !== undefined) values.push(value);
  }
  return values;
}

function assertKnownFlags(rawArgs: readonly string[], flags: readonly Flag[]): void {
  for (let at = 0; at < rawArgs.length; at++) {
    const given = rawArgs[at] ?? "";
    if (given === "--") return;
    if (!given.startsWith("-") || given === "-") continue;
    const [spelled = "", inline] = splitOnce(given, "=");
    const flag = flags.find((known) => spelled === `--${known.name}` || (known.short !== undefined && spelled === `-${known.short}`));
    if (!flag) {
      // Switches may be bundled: -lR.
      if (
        /^-[a-zA-Z]{2,}$/.test(given) &&
        [...given.slice(1)].every((letter) => flags.some((known) => known.short === letter && known.valueHint === undefined))
      )
        continue;
      throw unknownFlag(spelled, flags);
    }
    if (flag.valueHint === undefined) {
      if (inline !== undefined) throw usage(`${spelled} takes no value`);
      continue;
    }
    const value = inline ?? rawArgs[++at];
    if (value === undefined || (value === "" && flag.allowsEmpty !== true))
      throw usage(`${spelled} needs a value: ${spelled} ${flag.valueHint}`);
    if (flag.values && !flag.values.includes(value))
      throw usage(`${spelled} is one of ${flag.values.join(", ")}, not ${quoteInput(value)}`);
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function unknownFlag(spelled: string, flags: readonly Flag[]): CollectiveError {
  const near = nearestName(
    spelled.replace(/^-+/, ""),
    flags.map((flag) => flag.name),
  );
  return usage(`there is no flag ${spelled}${near === undefined ? "" : `, did you mean --${near}?`}`);
}

function assertPositionals(command: Command, given: readonly string[]): void {
  const expected = command.positionals ?? [];
  const required = expected.filter((positional) => positional.optional !== true);
  const missing = required[given.length];
  if (given.length < required.length) throw usage(`${missing?.name ?? "an argument"} is missing`);
  if (given.length > expected.length && !expected.some((positional) => positional.variadic))
    throw usage(`${quoteInput(given[expected.length] ?? "")} is one argument too many`);
}

export function usage(message: string): CollectiveError {
  return new CollectiveError("invalid_argument", message, { hint: "see: --help" });
}
