import { CollectiveError } from "../../../protocol/errors.ts";
import { parseGlobalName } from "../../../protocol/ids.ts";
import { openContexts } from "../../client/context-file.ts";
import { openIdentity, type PersonalIdentity } from "../../client/identity.ts";
import { type Command, type CommandGroup, jsonFlag, usage } from "../command.ts";
import type { Io } from "../io.ts";
import { jsonContext, renderContexts } from "../output/contexts.ts";
import { printJson } from "../output/json.ts";
import { renderFields } from "../output/table.ts";

const init: Command = {
  name: "init",
  description: "make your key, which stays on this machine; redeeming an invite does it by itself when there is none",
  flags: [{ name: "global-id", description: "who you are: your name at your home site", valueHint: "NAME@SITE" }, jsonFlag],
  example: "collective identity init --global-id dora@home.collective.local",
  run: async ({ io, given, on }) => {
    const name = given("global-id");
    if (name === undefined) throw usage("--global-id is missing");
    const identity = await openIdentity(io.home, io).create(parseGlobalName(name));
    if (on("json")) printJson(jsonIdentity(identity), io.stdout);
    else io.stdout.write(`you are ${identity.name}; your key is in ${identity.keyFile}, keep a copy of it\n`);
  },
};

const show: Command = {
  name: "show",
  description: "who you are, and where your key is",
  flags: [jsonFlag],
  example: "collective identity show",
  run: async ({ io, on }) => {
    const identity = await openIdentity(io.home, io).read();
    if (!identity) {
      throw new CollectiveError("not_found", "you have no identity yet", {
        hint: "redeem an invite, or make one: collective identity init --global-id NAME@SITE",
      });
    }
    if (on("json")) printJson(jsonIdentity(identity), io.stdout);
    else io.stdout.write(`${renderFields({ fields: fieldsOf(identity, io), colours: io.out.colours })}\n`);
  },
};

const listCollectives: Command = {
  name: "list-collectives",
  description: "the collectives you belong to, and as who; the current one has a star",
  flags: [jsonFlag],
  example: "collective identity list-collectives",
  run: async ({ io, on }) => {
    const contexts = await openContexts(io.home).list();
    if (on("json")) printJson(contexts.map(jsonContext), io.stdout);
    else io.stdout.write(`${renderContexts(contexts, io.out)}\n`);
  },
};

const switchTo: Command = {
  name: "switch",
  description: "make another collective the current one",
  positionals: [{ name: "CONTEXT", description: "its context, see: collective identity list-collectives" }],
  example: "collective identity switch garage",
  run: async ({ io, positionals }) => {
    const [name = ""] = positionals;
    const contexts = openContexts(io.home);
    await contexts.use(name);
    const { member, identity } = await contexts.get(name);
    io.stdout.write(`now at ${member}${identity === undefined ? "" : ` as ${identity}`}\n`);
  },
};

const group: CommandGroup = {
  name: "identity",
  description: "who you are: one key of your own for all collectives you belong to",
  commands: [init, show, listCollectives, switchTo],
};
export default group;

function publicKeyText({ publicKeyRaw }: PersonalIdentity): string {
  return Buffer.from(publicKeyRaw).toString("hex");
}

function jsonIdentity(identity: PersonalIdentity): Record<string, unknown> {
  const { name, keyFile, created } = identity;
  return { global_id: name, public_key: publicKeyText(identity), key_file: keyFile, created };
}

function fieldsOf(identity: PersonalIdentity, { out }: Io) {
  return [
    ["name", { text: identity.name, paint: out.colours.bold }],
    ["public key", publicKeyText(identity)],
    ["key file", identity.keyFile],
    ["created", identity.created],
  ] as const;
}
