/**
 * The rights matrix of commands: what becomes of each for every kind of caller. Whom a case does not name gets `not_found` when it is
 * a person, `permission_denied` when it is a machine, and `not_authenticated` when it was revoked. A command that no coordinator is
 * asked about says so in place of cases.
 */
import { join } from "node:path";
import { parseSubjectPattern } from "../../protocol/rights.ts";
import { createStore } from "./metadata.ts";
import { alice } from "./pki.ts";
import { machines } from "./rights-rows.ts";
import { type CallerKind, callerKinds, callers, type RightsWorld, someone } from "./rights-world.ts";

export interface CommandWorld extends RightsWorld {
  /** With a small `file` in it, and room for what commands make. */
  readonly dir: string;
}

export interface CommandCase {
  /** Called anew for each caller, so that it may name things that go by being asked for. */
  readonly args: (world: CommandWorld) => Promise<readonly string[]> | readonly string[];
  readonly ok: readonly CallerKind[];
  readonly denied?: readonly CallerKind[];
}

const admin = "administrator" satisfies CallerKind;
const people = callerKinds.filter((kind) => !machines.includes(kind) && kind !== "revoked person");
const ofHome = people.filter((kind) => callers[kind].identity.name.endsWith("@home.collective.local"));
const others = without(people, [admin]);
const readers: readonly CallerKind[] = [admin, "reader", "writer", "editor", "sharer", "person of another member who may read"];
const writers: readonly CallerKind[] = [admin, "writer", "editor"];
const editors: readonly CallerKind[] = [admin, "editor"];
const sharers: readonly CallerKind[] = [admin, "sharer"];
const readersOnly = without(readers, writers);

function without(kinds: readonly CallerKind[], gone: readonly CallerKind[]): CallerKind[] {
  return kinds.filter((kind) => !gone.includes(kind));
}

const local = "works with files of this machine alone";
const serves = "is a process of its own, which has its own credentials";

function forAdmin(args: CommandCase["args"]): readonly CommandCase[] {
  return [{ args, ok: [admin], denied: others }];
}

const newFileIn = (place: "open" | "closed") => async (world: CommandWorld) =>
  `/shared/${place}/${(await world.newFile(world[place].directory)).name}`;
const newOpenFile = newFileIn("open");

const store = (command: readonly string[], target = (path: string): readonly string[] => [path]): readonly CommandCase[] => [
  { args: ({ dir, newName }) => [...command, join(dir, "file"), ...target(`/shared/open/${newName()}`)], ok: writers, denied: readersOnly },
  { args: ({ dir, newName }) => [...command, join(dir, "file"), ...target(`/shared/closed/${newName()}`)], ok: [admin] },
  { args: ({ dir, newName }) => [...command, join(dir, "file"), ...target(`/shared/drop/${newName()}`)], ok: [admin, "dropper"] },
];
const fetch = (command: readonly string[], target: readonly string[] = []): readonly CommandCase[] =>
  ["open", "closed"].map((place) => ({
    args: ({ dir, newName }) => [...command, `/shared/${place}/file`, ...target, join(dir, newName())],
    ok: place === "open" ? readers : [admin],
  }));
const look = (...command: readonly string[]): readonly CommandCase[] => [
  { args: () => [...command, "/shared/open"], ok: readers },
  { args: () => [...command, "/shared/closed"], ok: [admin] },
  { args: () => [...command, "/private"], ok: [admin] },
];

async function granted({ member, open }: CommandWorld, grantedBy: typeof alice): Promise<string> {
  const subject = parseSubjectPattern(someone);
  await member.metadata.grant({ inode: open.directory, subject, rights: ["read"], grantedBy, expiresMs: null });
  return subject;
}

export const commandRows: Readonly<Record<string, readonly CommandCase[] | string>> = {
  serve: serves,
  coordinator: serves,
  node: serves,
  demo: "is a whole collective of its own",
  bench: "makes a datastore and files as store create and put do",
  completion: "prints a script",
  "issue-certificates": "is a part of the coordinator, and needs the authority's own key",
  mkdir: [
    { args: ({ newName }) => ["mkdir", `/shared/open/${newName()}`], ok: writers, denied: readersOnly },
    { args: ({ newName }) => ["mkdir", "-p", `/shared/closed/${newName()}/below`], ok: [admin], denied: others },
    { args: ({ newName }) => ["mkdir", `/${newName()}`], ok: [admin], denied: others },
  ],
  ls: [
    ...look("ls", "-l"),
    { args: () => ["ls", "/"], ok: people },
    { args: () => ["ls", "-R", "/"], ok: without(people, ["dropper"]), denied: ["dropper"] },
  ],
  write: "asks what put asks, of standard input: test/e2e/rights.test.ts",
  read: ["open", "closed", "drop"].map((place) => ({
    args: () => ["read", `/shared/${place}/file`],
    ok: place === "open" ? readers : [admin],
  })),
  put: store(["put"]),
  get: fetch(["get"]),
  rm: [
    { args: async (world) => ["rm", await newOpenFile(world)], ok: editors, denied: without(readers, editors) },
    { args: async (world) => ["rm", await newFileIn("closed")(world)], ok: [admin] },
    {
      args: async ({ member, newName }) => ["rm", "-r", `/${(await createStore(member.metadata, newName())).name}`],
      ok: [admin],
    },
  ],
  mv: [
    {
      args: async (world) => ["mv", await newOpenFile(world), `/shared/open/${world.newName()}`],
      ok: writers,
      denied: readersOnly,
    },
    {
      args: async (world) => ["mv", await newOpenFile(world), `/shared/open/sub/${world.newName()}`],
      ok: editors,
      denied: without(readers, editors),
    },
    { args: async (world) => ["mv", await newFileIn("closed")(world), `/shared/open/${world.newName()}`], ok: [admin] },
  ],
  cp: [
    { args: ({ newName }) => ["cp", "/shared/open/file", `/shared/open/${newName()}`], ok: writers, denied: readersOnly },
    { args: ({ newName }) => ["cp", "/shared/closed/file", `/shared/open/${newName()}`], ok: [admin] },
  ],
  stat: [
    ...look("stat"),
    { args: () => ["stat", "/shared/open/file"], ok: readers },
    { args: () => ["stat", "/shared/drop/file"], ok: [admin] },
  ],
  du: [...look("du"), { args: () => ["du", "/"], ok: [admin], denied: others }],
  df: [{ args: () => ["df"], ok: people }],
  verify: look("verify", "-r"),
  "client store": store(["client", "store", "--file"], (path) => ["--id", path]),
  "client retrieve": fetch(["client", "retrieve", "--id"], ["--output"]),
  "store create": forAdmin(({ newName }) => ["store", "create", newName()]),
  "store list": [{ args: () => ["store", "list"], ok: people }],
  "store show": [
    { args: () => ["store", "show", "shared"], ok: [...readers, "dropper"] },
    { args: () => ["store", "show", "private"], ok: [admin] },
  ],
  "store set": forAdmin(() => ["store", "set", "shared", "--quota", "1TB"]),
  "store remove": forAdmin(async ({ member, newName }) => ["store", "remove", (await createStore(member.metadata, newName())).name]),
  "identity init": local,
  "identity show": local,
  "identity list-collectives": local,
  "identity switch": local,
  "invite generate": forAdmin(() => ["invite", "generate", "--grant", "/shared/open:read"]),
  "invite list": forAdmin(() => ["invite", "list"]),
  "invite revoke": forAdmin(async ({ member, newName }) => {
    const id = newName().replace("name-", "").padStart(8, "0");
    const invite = { id, kind: "person" as const, name: null, grants: [], usesMax: 1, description: "", createdMs: 0, expiresMs: 1e15 };
    await member.metadata.createInvite({ ...invite, createdBy: alice, secretHash: new TextEncoder().encode(id) });
    return ["invite", "revoke", id];
  }),
  "invite redeem": "takes a code in place of a certificate: test/unit/joining.test.ts",
  "access grant": [
    { args: () => ["access", "grant", "/shared/open", someone, "--rights", "read"], ok: sharers, denied: without(readers, sharers) },
    { args: () => ["access", "grant", "/shared/open", someone, "--rights", "write"], ok: [admin], denied: without(readers, [admin]) },
    { args: () => ["access", "grant", "/shared/closed", someone, "--rights", "read"], ok: [admin] },
  ],
  "access list": [{ args: () => ["access", "list"], ok: people }, ...look("access", "list")],
  "access revoke": [
    { args: async (world) => ["access", "revoke", "/shared/open", await granted(world, alice)], ok: [admin], denied: ["sharer"] },
    { args: async (world) => ["access", "revoke", "/shared/open", await granted(world, callers.sharer.identity.name)], ok: sharers },
  ],
  init: local,
  "config get-contexts": local,
  "config use-context": local,
  "config current-context": local,
  "config show-context": local,
  "config delete-context": local,
  "auth info": local,
  "auth init": local,
  "auth cert": forAdmin(({ dir, newName }) => ["auth", "cert", "--kind", "user", "--name", newName(), "--output", join(dir, newName())]),
  "auth renew": [{ args: () => ["auth", "renew"], ok: [...ofHome, "node", "coordinator"], denied: without(people, ofHome) }],
  "auth revoke": forAdmin(() => ["auth", "revoke", "mallory", "--kind", "user"]),
  "auth log": forAdmin(() => ["auth", "log"]),
  "federation peer": [
    { args: () => ["federation", "peer", "list"], ok: ofHome, denied: without(people, ofHome) },
    { args: () => ["federation", "peer", "connect", "nobody@nowhere.collective.local"], ok: [], denied: others },
    { args: () => ["federation", "peer", "remove", "nobody@nowhere.collective.local"], ok: [], denied: others },
  ],
  "federation pledge": [
    { args: () => ["federation", "pledge"], ok: ofHome, denied: without(people, ofHome) },
    { args: () => ["federation", "pledge", "1MB"], ok: [admin], denied: others },
  ],
  "federation status": [{ args: () => ["federation", "status"], ok: ofHome, denied: without(people, ofHome) }],
  status: [{ args: () => ["status"], ok: ofHome, denied: without(people, ofHome) }],
};
