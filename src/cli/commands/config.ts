import { CollectiveError } from "../../../protocol/errors.ts";
import { type NamedContext, openContexts } from "../../client/context-file.ts";
import { loadCredentials } from "../../pki/credentials.ts";
import { type Command, type CommandGroup, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import { certificateLife } from "../output/certificates.ts";
import { jsonContext, renderContexts } from "../output/contexts.ts";
import { printJson } from "../output/json.ts";
import { type Cell, renderFields } from "../output/table.ts";

const contextName = { name: "NAME", description: "a context, see: collective config get-contexts" };

const getContexts: Command = {
  name: "get-contexts",
  description: "all contexts; the current one has a star",
  flags: [{ name: "quiet", short: "q", description: "only names, one a line" }, jsonFlag],
  example: "collective config get-contexts",
  run: async ({ io, on }) => {
    const contexts = await openContexts(io.home).list();
    if (on("json")) printJson(contexts.map(jsonContext), io.stdout);
    else if (on("quiet")) io.stdout.write(contexts.map(({ name }) => `${name}\n`).join(""));
    else io.stdout.write(`${renderContexts(contexts, io.out)}\n`);
  },
};

const useContext: Command = {
  name: "use-context",
  description: "make a context the current one",
  positionals: [contextName],
  example: "collective config use-context alice",
  run: async ({ io, positionals }) => {
    await openContexts(io.home).use(positionals[0] ?? "");
  },
};

const currentContext: Command = {
  name: "current-context",
  description: "print the name of the context in use",
  flags: [jsonFlag],
  example: "collective config current-context",
  run: async ({ io, on }) => {
    const context = await contextInUse(io);
    if (on("json")) printJson({ name: context.name }, io.stdout);
    else io.stdout.write(`${context.name}\n`);
  },
};

const showContext: Command = {
  name: "show-context",
  description: "one context with its certificate; the one in use by default",
  positionals: [{ ...contextName, optional: true }],
  flags: [jsonFlag],
  example: "collective config show-context alice",
  run: async ({ io, positionals, on }) => {
    const contexts = openContexts(io.home);
    const [name] = positionals;
    const context = name === undefined ? await contextInUse(io) : await contexts.get(name);
    const { folder } = contexts.credentials(context.name);
    const credentials = await loadCredentials(folder).catch((error: unknown) => {
      if (error instanceof CollectiveError && error.code === "not_found") return undefined;
      throw error;
    });
    if (on("json")) {
      const expires = credentials && new Date(credentials.info.notAfterMs).toISOString();
      printJson({ ...jsonContext(context), credentials: credentials ? folder : null, expires: expires ?? null }, io.stdout);
      return;
    }
    const fields: [string, Cell][] = [
      ["name", { text: context.name, paint: io.out.colours.bold }],
      ["current", context.isCurrent ? "yes" : "no"],
      ["member", context.member],
      ["coordinator", context.coordinator],
      ["identity", credentials ? `${credentials.identity.kind} ${credentials.identity.name}` : (context.identity ?? "-")],
      ["created", context.created],
      ["credentials", folder],
      ["certificate", credentials ? certificateLife(credentials.info, { nowMs: io.clock.wallMs(), colours: io.out.colours }) : "none yet"],
    ];
    io.stdout.write(`${renderFields({ fields, colours: io.out.colours })}\n`);
  },
};

const deleteContext: Command = {
  name: "delete-context",
  description: "forget a context, with its key and certificate",
  positionals: [contextName],
  example: "collective config delete-context alice",
  run: async ({ io, positionals }) => {
    await openContexts(io.home).remove(positionals[0] ?? "");
  },
};

const group: CommandGroup = {
  name: "config",
  description: "contexts: which collectives this machine knows, and as who",
  commands: [getContexts, useContext, currentContext, showContext, deleteContext],
};
export default group;

async function contextInUse(io: Io): Promise<NamedContext> {
  const contexts = openContexts(io.home);
  const context = io.contextName === undefined ? await contexts.current() : await contexts.get(io.contextName);
  if (context) return context;
  throw new CollectiveError("not_found", "no context is current", { hint: "choose one: collective config use-context NAME" });
}
