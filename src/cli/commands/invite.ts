import { userInfo } from "node:os";
import { text as textOf } from "node:stream/consumers";
import { inviteIdPattern, inviteKinds, inviteUsesMax, parseInviteCode } from "../../../protocol/invite.ts";
import { parsePath } from "../../../protocol/path.ts";
import { parseRights } from "../../../protocol/rights.ts";
import { type RouteOutput, routes } from "../../../protocol/routes.ts";
import { joinCollective, joinWithFiles } from "../../client/redeem.ts";
import { defaultBootstrapPort } from "../../core/config-values.ts";
import { formatHostPort, isLoopback, parseDuration, parseHostPort, quoteInput } from "../../core/units.ts";
import { secretHashOf } from "../../pki/invite-hashes.ts";
import { type Command, type CommandGroup, type Invocation, jsonFlag, usage } from "../command.ts";
import type { Io } from "../io.ts";
import { jsonGrants, jsonInvite, renderInvites, renderNewInvite } from "../output/invites.ts";
import { printJoined, printKept } from "../output/joined.ts";
import { printJson } from "../output/json.ts";
import { openSession } from "../session.ts";

const generate: Command = {
  name: "generate",
  description: "make a code that lets somebody in; it works without you being there",
  flags: [
    { name: "grant", description: "what it gives, like /shared:read+write; may be repeated", valueHint: "PATH:RIGHTS" },
    { name: "max-uses", description: "how many may use it", valueHint: "N", default: "1" },
    { name: "validity", description: "how long it works, 1m to 366d", valueHint: "DURATION", default: "24h" },
    { name: "description", description: "a note for the list of invites", valueHint: "TEXT", allowsEmpty: true },
    { name: "for", description: "whom it lets in", valueHint: "KIND", values: inviteKinds, default: "person" },
    { name: "name", description: "it is for this name alone, and may add a key to it when it is taken", valueHint: "NAME" },
    {
      name: "address",
      description: "where the code leads to, in place of the coordinator's bootstrap address; may be repeated",
      valueHint: "HOST:PORT",
    },
    { name: "quiet", short: "q", description: "print the code alone" },
    jsonFlag,
  ],
  example: 'collective invite generate --grant "/shared:read+write" --max-uses 3 --validity 7d',
  run: async (invocation) => {
    const { io, on, all, text, given } = invocation;
    const wishes = all("grant").map(parseGrant);
    const addresses = all("address").map((one) => formatHostPort(parseHostPort(one, defaultBootstrapPort)));
    const request = {
      kind: inviteKinds.find((kind) => kind === text("for")) ?? "person",
      name: given("name"),
      usesMax: parseUses(text("max-uses") ?? ""),
      validityMs: parseDuration(text("validity") ?? ""),
      description: given("description") ?? "",
      ...(addresses.length === 0 ? {} : { addresses }),
    };
    const session = await openSession(io);
    const grants = wishes.map(({ path, rights }) => ({ components: [...session.path(path).components], rights }));
    const made = await session.remote.control.call(routes.createInvite, { ...request, grants }, { signal: io.signal });
    if (on("json")) printJson(jsonNewInvite(made), io.stdout);
    else if (on("quiet")) io.stdout.write(`${made.code}\n`);
    else {
      io.stdout.write(`${renderNewInvite({ ...made, nowMs: io.clock.wallMs() }, io.out)}\n`);
      warnUnreachable(io, made.addresses);
    }
  },
};

const list: Command = {
  name: "list",
  description: "the invites there are and what became of them; never their codes, which are not kept",
  flags: [jsonFlag],
  example: "collective invite list",
  run: async ({ io, on }) => {
    const { remote } = await openSession(io);
    const { invites } = await remote.control.call(routes.listInvites, {}, { signal: io.signal });
    const nowMs = io.clock.wallMs();
    if (on("json"))
      printJson(
        invites.map((invite) => jsonInvite(invite, nowMs)),
        io.stdout,
      );
    else io.stdout.write(`${renderInvites(invites, { out: io.out, nowMs })}\n`);
  },
};

const revoke: Command = {
  name: "revoke",
  description: "take a code back; who has joined by it already stays",
  positionals: [{ name: "CODE-OR-ID", description: "the code, its id from the list, or - to read it from standard input" }],
  flags: [jsonFlag],
  example: "collective invite revoke k7m2q9xa",
  run: async ({ io, on, positionals }) => {
    const which = await codeText(positionals);
    const id = which.trim().toLowerCase();
    const invite = inviteIdPattern.test(id) ? { id } : { secretHash: secretHashOf(parseInviteCode(which).secret) };
    const { remote } = await openSession(io);
    const revoked = await remote.control.call(routes.revokeInvite, { invite }, { signal: io.signal });
    if (on("json")) printJson(jsonInvite(revoked, io.clock.wallMs()), io.stdout);
    else io.stdout.write(`revoked the invite ${revoked.id}, used ${revoked.uses} of ${revoked.usesMax} times\n`);
  },
};

const redeem: Command = {
  name: "redeem",
  description: "join a collective with a code; makes your identity if you have none, and a context that works at once",
  positionals: [
    {
      name: "CODE",
      description: "the code, in one word or several; - reads it from standard input, so that no list of processes shows it",
      variadic: true,
    },
  ],
  flags: [
    { name: "as", description: "who you want to be there; your identity's name by default, or your login name", valueHint: "NAME" },
    { name: "name", description: "what to call the context, the member's name by default", valueHint: "CONTEXT" },
    { name: "ca", description: "write the authority's certificate here; with --cert and --key, in place of a context", valueHint: "FILE" },
    { name: "cert", description: "write your certificate here", valueHint: "FILE" },
    { name: "key", description: "your key; made when it is not there", valueHint: "FILE" },
    jsonFlag,
  ],
  example: "collective invite redeem CODE --as dora",
  run: async (invocation) => {
    const { io, on, positionals, given } = invocation;
    const places = placesOf(invocation);
    const code = parseInviteCode(await codeText(positionals));
    const wish = { code, as: given("as"), loginName: loginName(io) };
    const output = { json: on("json"), io };
    if (places) printKept(await joinWithFiles(places, wish, io), places, output);
    else printJoined(await joinCollective(io.home, { ...wish, contextName: given("name") }, io), output);
  },
};

const group: CommandGroup = {
  name: "invite",
  description: "codes that let people, storage nodes and other members in",
  commands: [generate, list, revoke, redeem],
};
export default group;

/** `/shared:read+write` */
function parseGrant(text: string) {
  const colon = text.lastIndexOf(":");
  if (colon < 0) throw usage(`--grant ${quoteInput(text)} names no rights, it looks like /shared:read+write`);
  const path = text.slice(0, colon);
  parsePath(path);
  return { path, rights: parseRights(text.slice(colon + 1)) };
}

function parseUses(text: string): number {
  const uses = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (uses < 1 || uses > inviteUsesMax) throw usage(`--max-uses is a number from 1 to ${inviteUsesMax}, not ${quoteInput(text)}`);
  return uses;
}

function jsonNewInvite({ code, invite }: RouteOutput<typeof routes.createInvite>): Record<string, unknown> {
  const { id, expiresMs, grants, usesMax } = invite;
  return { code, id, expires: new Date(expiresMs).toISOString(), grants: jsonGrants(grants), max_uses: usesMax };
}

function warnUnreachable({ stderr, err }: Io, addresses: readonly string[]): void {
  if (!addresses.every((address) => isLoopback(parseHostPort(address)))) return;
  stderr.write(
    `${err.colours.warn("warning:")} the code leads to ${addresses.join(", ")}, which only this machine can reach: name another with --address, or start the coordinator with --advertise\n`,
  );
}

/** What was given, with `-` standing for what comes on standard input. */
async function codeText(words: readonly string[]): Promise<string> {
  return words.length === 1 && words[0] === "-" ? await textOf(process.stdin) : words.join(" ");
}

function placesOf({ given }: Invocation) {
  const [authorityFile, certificateFile, keyFile] = [given("ca"), given("cert"), given("key")];
  if (authorityFile === undefined && certificateFile === undefined && keyFile === undefined) return undefined;
  if (authorityFile === undefined || certificateFile === undefined || keyFile === undefined)
    throw usage("--ca, --cert and --key are needed together");
  if (given("name") !== undefined) throw usage("--name is of a context, --ca, --cert and --key are in place of one");
  return { authorityFile, certificateFile, keyFile };
}

/** Undefined for a user that the system does not know by name. */
function loginName({ environment }: Io): string | undefined {
  const told = environment.USER || environment.LOGNAME;
  if (told) return told;
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
