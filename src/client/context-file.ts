/**
 * Contexts: which coordinators this person speaks to, in `$COLLECTIVE_HOME/config.json`. The credentials of
 * a context lie in `certificates/<context>/` and are made elsewhere.
 *
 * The file is replaced whole (written beside it, synced, renamed), so a reader sees the old one or the new
 * one. Writers take turns by a lock file: no entry of another process is lost. A lock whose holder died is
 * taken over. What this version does not understand it refuses to touch.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { checkShape } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { checkJson, formatMistake, parsedText } from "../core/json-file.ts";
import { type Random, systemRandom } from "../core/random.ts";
import { nearestName } from "../core/suggest.ts";
import { formatHostPort, oneLine, parseHostPort, quoteInput } from "../core/units.ts";
import { replaceFile, withFileLock } from "./locked-file.ts";

export interface Context {
  readonly member: GlobalName;
  /** `host:port` of the control API. */
  readonly coordinator: string;
  /** Whose credentials these are, where that is known. */
  readonly identity?: GlobalName | undefined;
  /** RFC 3339. */
  readonly created: string;
}

export interface NamedContext extends Context {
  readonly name: string;
  readonly isCurrent: boolean;
}

export interface CredentialFiles {
  readonly folder: string;
  readonly keyFile: string;
  readonly certificateFile: string;
  readonly authorityFile: string;
}

/** Every method may throw `configuration` when the file cannot be used. Writes are durable when they return. */
export interface Contexts {
  readonly file: string;
  /** By name. */
  list(): Promise<readonly NamedContext[]>;
  current(): Promise<NamedContext | undefined>;
  /** Throws `not_found`. */
  get(name: string): Promise<NamedContext>;
  /** Adds or replaces; the first one becomes current. Idempotent. */
  put(name: string, context: Context): Promise<void>;
  /** Throws `not_found`. */
  use(name: string): Promise<void>;
  /** With its credentials. If it was current, none is. Throws `not_found`. */
  remove(name: string): Promise<void>;
  credentials(name: string): CredentialFiles;
}

export interface ContextDependencies {
  readonly clock?: Clock;
  readonly random?: Random;
}

/** `home` is `$COLLECTIVE_HOME`; it is made on the first write. */
export function openContexts(home: string, { clock = systemClock, random = systemRandom }: ContextDependencies = {}): Contexts {
  const file = join(home, "config.json");
  const read = () => readContexts(file);
  const change = (edit: (before: ContextFile) => ContextFile, afterwards?: () => Promise<void>): Promise<void> =>
    withFileLock({ file, clock, random }, async (lock) => {
      await replaceFile(lock, file, `${JSON.stringify(edit(await read()), null, 2)}\n`);
      await afterwards?.();
    });
  return {
    file,
    list: async () => named(await read()),
    current: async () => named(await read()).find((context) => context.isCurrent),
    get: async (name) => find(await read(), name),
    put: async (name, context) => {
      parseContextName(name);
      const entry = checkShape(contextSchema, context, `the context ${name}`);
      await change((before) => {
        refuseTwin(before, name);
        return { ...before, current: before.current ?? name, contexts: { ...before.contexts, [name]: entry } };
      });
    },
    use: (name) => change((before) => ({ ...before, current: find(before, name).name })),
    remove: (name) =>
      // The entry goes first: credentials without an entry are garbage, an entry without them is an error later.
      change(
        (before) => without(before, name),
        () => rm(credentialFiles(home, name).folder, { recursive: true, force: true }),
      ),
    credentials: (name) => credentialFiles(home, name),
  };
}

const contextNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,127}$/;

/** A context's name is the name of a folder too. Throws `invalid_argument`. */
export function parseContextName(name: string): string {
  if (contextNamePattern.test(name)) return name;
  throw new CollectiveError("invalid_argument", `${quoteInput(name)} cannot be the name of a context`, {
    hint: "names have 1 to 128 letters, digits, dots, hyphens, underscores and @, and start with a letter or digit",
  });
}

/** Where the credentials of a context lie, whether they exist or not. */
export function credentialFiles(home: string, name: string): CredentialFiles {
  const folder = join(home, "certificates", parseContextName(name));
  return { folder, keyFile: join(folder, "key.pem"), certificateFile: join(folder, "cert.pem"), authorityFile: join(folder, "ca.pem") };
}

const contextSchema = z.strictObject({
  member: parsedText(parseGlobalName),
  coordinator: parsedText((text) => formatHostPort(parseHostPort(text))),
  identity: parsedText(parseGlobalName).optional(),
  created: z.iso.datetime({ offset: true, error: "not a time in RFC 3339" }),
});

const fileSchema = z
  .strictObject({
    version: z.number().refine((version) => version === 1, "not a version that this executable understands; a newer one wrote the file"),
    current: z.string().nullable(),
    contexts: z.record(z.string().regex(contextNamePattern, "cannot be the name of a context"), contextSchema),
  })
  .refine((file) => file.current === null || Object.hasOwn(file.contexts, file.current), {
    path: ["current"],
    message: "names no context of the file",
  });
type ContextFile = z.output<typeof fileSchema>;

async function readContexts(file: string): Promise<ContextFile> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { version: 1, current: null, contexts: {} };
    throw new CollectiveError("configuration", `${file} cannot be read: ${error instanceof Error ? error.message : "unknown"}`, {
      cause: error,
    });
  }
  const checked = checkJson(text, fileSchema);
  if (checked.ok) return checked.value;
  const mistakes = checked.mistakes.map((mistake) => oneLine(`${file}: ${formatMistake(mistake)}`));
  throw new CollectiveError(
    "configuration",
    mistakes.slice(0, 3).join("; ") + (mistakes.length > 3 ? `; and ${mistakes.length - 3} more` : ""),
    {
      hint: "correct the file, or move it away and make the contexts again",
      details: { mistakes },
    },
  );
}

function without(file: ContextFile, name: string): ContextFile {
  find(file, name);
  const contexts = Object.fromEntries(Object.entries(file.contexts).filter(([other]) => other !== name));
  return { ...file, current: file.current === name ? null : file.current, contexts };
}

function named(file: ContextFile): NamedContext[] {
  return Object.entries(file.contexts)
    .map(([name, context]) => ({ name, isCurrent: name === file.current, ...context }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const namesInHintMax = 10;

function find(file: ContextFile, name: string): NamedContext {
  const contexts = named(file);
  const found = contexts.find((context) => context.name === name);
  if (found !== undefined) return found;
  const names = contexts.map((context) => context.name);
  const near = nearestName(name, names);
  const known = names.slice(0, namesInHintMax).join(", ") + (names.length > namesInHintMax ? " …" : "");
  const hint =
    names.length === 0
      ? "there is no context yet; redeem an invite, start a coordinator on this machine, or make one with collective init"
      : `known contexts: ${known}`;
  throw new CollectiveError("not_found", `no context is named ${quoteInput(name)}${near ? `, did you mean ${near}?` : ""}`, { hint });
}

/** Two names that differ in case only would share one credentials folder on some file systems. */
function refuseTwin(file: ContextFile, name: string): void {
  const twin = Object.keys(file.contexts).find((other) => other !== name && other.toLowerCase() === name.toLowerCase());
  if (twin !== undefined) throw new CollectiveError("already_exists", `the context ${twin} differs from ${name} in case only`);
}
