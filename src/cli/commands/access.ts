import { formatRights, parseRights, parseSubjectPattern } from "../../../protocol/rights.ts";
import { routes } from "../../../protocol/routes.ts";
import { statPath } from "../../client/files.ts";
import { parseDuration } from "../../core/units.ts";
import { type Command, type CommandGroup, jsonFlag, usage } from "../command.ts";
import { describeGrant, jsonGrant, renderGrants } from "../output/grants.ts";
import { printJson } from "../output/json.ts";
import { printable } from "../output/text.ts";
import { openSession } from "../session.ts";

const path = { name: "PATH", description: "a datastore or a directory in one; what is granted holds for all below it", isPath: true };
const subject = { name: "SUBJECT", description: "a person, dora@home.collective.local, or many: *@garage.collective.local" };

const grant: Command = {
  name: "grant",
  description: "give rights on a directory; replaces what you granted to the same people there before",
  positionals: [path, subject],
  flags: [
    { name: "rights", description: "read, write, delete and share, joined with +", valueHint: "RIGHTS" },
    { name: "expires", description: "how long it holds, as long as your own rights by default", valueHint: "DURATION" },
    jsonFlag,
  ],
  example: "collective access grant /photos/2026 *@garage.collective.local --rights read+write --expires 30d",
  run: async ({ io, positionals, given, on }) => {
    const [pathText = "", subjectText = ""] = positionals;
    const [rightsText, expires] = [given("rights"), given("expires")];
    if (rightsText === undefined) throw usage("--rights is missing");
    const rights = parseRights(rightsText);
    const wish = { subject: parseSubjectPattern(subjectText), rights };
    const validityMs = expires === undefined ? undefined : parseDuration(expires);
    if (validityMs === 0) throw usage("--expires is more than 0");
    const session = await openSession(io);
    const { inode } = await statPath(session.remote, session.path(pathText).components, io.signal);
    const made = await session.remote.control.call(routes.grantAccess, { inode, ...wish, validityMs }, { signal: io.signal });
    if (on("json")) printJson(jsonGrant(made), io.stdout);
    else io.stdout.write(`${describeGrant(made)}\n`);
  },
};

const list: Command = {
  name: "list",
  description: "who may do what: grants that you may pass on or revoke, and those to you",
  positionals: [{ name: "PATH", description: "only on this directory and below it", optional: true, isPath: true }],
  flags: [jsonFlag],
  example: "collective access list /photos",
  run: async ({ io, positionals, on }) => {
    const [pathText] = positionals;
    const session = await openSession(io);
    const place = pathText === undefined ? undefined : await statPath(session.remote, session.path(pathText).components, io.signal);
    const { grants } = await session.remote.control.call(routes.listAccess, { inode: place?.inode }, { signal: io.signal });
    if (on("json")) printJson(grants.map(jsonGrant), io.stdout);
    else if (grants.length === 0) io.stdout.write("nothing is granted; see: collective access grant --help\n");
    else io.stdout.write(`${renderGrants(grants, { nowMs: io.clock.wallMs(), terminal: io.out })}\n`);
  },
};

const revoke: Command = {
  name: "revoke",
  description: "take back what was granted to somebody on a directory: as the administrator all of it, else what you granted",
  positionals: [path, { ...subject, description: "exactly as it was granted, see: collective access list" }],
  example: "collective access revoke /photos/2026 *@garage.collective.local",
  run: async ({ io, positionals }) => {
    const [pathText = "", subjectText = ""] = positionals;
    const pattern = parseSubjectPattern(subjectText);
    const session = await openSession(io);
    const { inode } = await statPath(session.remote, session.path(pathText).components, io.signal);
    await session.remote.control.call(routes.revokeAccess, { inode, subject: pattern }, { signal: io.signal });
    io.stdout.write(`revoked what ${pattern} was granted on ${printable(pathText)}\n`);
  },
};

const group: CommandGroup = {
  name: "access",
  description: `rights of other people on datastores and directories: ${formatRights(["read", "write", "delete", "share"]).replaceAll("+", ", ")}`,
  commands: [grant, list, revoke],
};
export default group;
