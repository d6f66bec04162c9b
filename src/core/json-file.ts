/**
 * JSON that people edit: parsed, checked against a strict schema, and every mistake told at once with
 * its key, the line where the JSON itself breaks, and the name that was probably meant.
 *
 * Never throws for bad input, however it was damaged.
 */
import { z } from "zod";
import { CollectiveError } from "../../protocol/errors.ts";
import { nearestName } from "./suggest.ts";
import { quoteInput } from "./units.ts";

export interface Mistake {
  /** Dotted, like `coordinator.bootstrap_peers[0].address`; empty when it is the file as a whole. */
  readonly key: string;
  readonly why: string;
}

export type CheckedJson<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly mistakes: readonly Mistake[]; readonly raw: unknown };

const textCharactersMax = 1 << 20;

export function checkJson<S extends z.ZodType>(text: string, schema: S): CheckedJson<z.output<S>> {
  if (text.length > textCharactersMax)
    return { ok: false, mistakes: [{ key: "", why: `longer than ${textCharactersMax} characters` }], raw: undefined };
  let raw: unknown;
  try {
    raw = JSON.parse(text.startsWith("\ufeff") ? text.slice(1) : text);
  } catch {
    return { ok: false, mistakes: [{ key: "", why: `not valid JSON, the mistake is in line ${lineOfJsonMistake(text)}` }], raw: undefined };
  }
  const checked = schema.safeParse(raw);
  if (checked.success) return { ok: true, value: checked.data };
  return { ok: false, mistakes: checked.error.issues.flatMap((issue) => mistakesOf(issue, schema, raw)), raw };
}

/** A schema for a text that `parse` accepts; its output is what `parse` returns. */
export function parsedText<O>(parse: (text: string) => O) {
  return z.string().transform((value, context): O => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof CollectiveError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

export function formatMistake(mistake: Mistake): string {
  return mistake.key === "" ? mistake.why : `${mistake.key}: ${mistake.why}`;
}

function mistakesOf(issue: z.core.$ZodIssue, schema: z.ZodType, raw: unknown): Mistake[] {
  const key = dotted(issue.path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((unknown) => ({ key: dotted([...issue.path, unknown]), why: whyUnknown(unknown, issue.path, schema) }));
  }
  const value = valueAt(raw, issue.path);
  if (value === undefined) return [{ key, why: "missing" }];
  if (issue.code === "invalid_type") return [{ key, why: `must be ${kindNames[issue.expected] ?? issue.expected}, not ${kindOf(value)}` }];
  if (issue.code === "invalid_union") return [{ key, why: `must not be ${kindOf(value)}` }];
  if (issue.code === "invalid_value") return [{ key, why: `must be ${issue.values.map(String).join(" or ")}, not ${shortJson(value)}` }];
  if (issue.code === "invalid_key") return [{ key, why: issue.issues[0]?.message ?? issue.message }];
  return [{ key, why: issue.message }];
}

const kindNames: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "an object",
  record: "an object",
  array: "a list",
};

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return kindNames[typeof value] ?? typeof value;
}

function shortJson(value: unknown): string {
  if (typeof value === "string") return quoteInput(value);
  return typeof value === "object" ? kindOf(value) : String(value);
}

function dotted(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += `${text === "" ? "" : "."}${/^[\w@-][\w@.-]{0,80}$/.test(String(part)) ? String(part) : quoteInput(String(part))}`;
  }
  return text;
}

function valueAt(raw: unknown, path: readonly PropertyKey[]): unknown {
  let value = raw;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

function whyUnknown(key: string, path: readonly PropertyKey[], schema: z.ZodType): string {
  const elsewhere = dottedKeys(schema).filter((known) => known.endsWith(`.${key}`) || known === key);
  if (elsewhere.length > 0) return `unknown key here, did you mean ${elsewhere.join(" or ")}?`;
  let section: z.ZodType | undefined = schema;
  for (const part of path) section = childOf(section, part);
  const near = nearestName(key, keysOf(section));
  return near === undefined ? "unknown key" : `unknown key, did you mean ${near}?`;
}

function bare(schema: unknown): unknown {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable ? bare(schema.unwrap()) : schema;
}

function asType(schema: unknown): z.ZodType | undefined {
  return schema instanceof z.ZodType ? schema : undefined;
}

function childOf(schema: z.ZodType | undefined, part: PropertyKey): z.ZodType | undefined {
  const inner = bare(schema);
  if (inner instanceof z.ZodObject) return asType(Object.hasOwn(inner.shape, part) ? Reflect.get(inner.shape, part) : undefined);
  if (inner instanceof z.ZodArray) return asType(inner.element);
  if (inner instanceof z.ZodRecord) return asType(inner.valueType);
  return undefined;
}

function keysOf(schema: z.ZodType | undefined): readonly string[] {
  const inner = bare(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** Keys of objects inside objects; what lies in lists and records has no fixed place to point to. */
function dottedKeys(schema: z.ZodType, prefix = ""): string[] {
  return keysOf(schema).flatMap((key) => {
    const child = childOf(schema, key);
    return [`${prefix}${key}`, ...(child === undefined ? [] : dottedKeys(child, `${prefix}${key}.`))];
  });
}

const tokenPattern = /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\\p{Cc}]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/uy;

/** The parser of the platform tells no position: find the first token that cannot stand where it stands. */
function lineOfJsonMistake(text: string): number {
  const pattern = new RegExp(tokenPattern);
  const open: string[] = [];
  let expected: "value" | "value or end" | "key" | "key or end" | "colon" | "comma or end" = "value";
  let position = 0;
  for (;;) {
    pattern.lastIndex = position;
    const token = pattern.exec(text);
    const [, sign = "", quoted] = token ?? [];
    const inObject = open.at(-1) === "{";
    const isEnd = (sign === "}" && inObject) || (sign === "]" && open.at(-1) === "[");
    if (token === null) break;
    if (isEnd && expected.endsWith("end")) {
      open.pop();
      expected = "comma or end";
    } else if (sign === "," && expected === "comma or end" && open.length > 0) expected = inObject ? "key" : "value";
    else if (sign === ":" && expected === "colon") expected = "value";
    else if (quoted !== undefined && expected.startsWith("key")) expected = "colon";
    else if (sign === "{" && expected.startsWith("value")) {
      open.push("{");
      expected = "key or end";
    } else if (sign === "[" && expected.startsWith("value")) {
      open.push("[");
      expected = "value or end";
    } else if (sign === "" && expected.startsWith("value")) expected = "comma or end";
    else break;
    position = pattern.lastIndex;
  }
  const rest = /[ \t\r\n]*/y;
  rest.lastIndex = position;
  rest.exec(text);
  // A file that ends too early is wrong in its last line, not after it.
  const upTo = rest.lastIndex >= text.length ? text.trimEnd() : text.slice(0, rest.lastIndex);
  return upTo.split("\n").length;
}
