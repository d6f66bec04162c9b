import { CollectiveError } from "../../../protocol/errors.ts";
import { replicasMax } from "../../../protocol/limits.ts";
import { parseName } from "../../../protocol/path.ts";
import { routes } from "../../../protocol/routes.ts";
import { defaultStorePolicy, type ListedStore, type StorePolicy, strategies } from "../../../protocol/schema.ts";
import { nodesShown, usableShown } from "../../client/nodes-shown.ts";
import { formatSize, parseSize, quoteInput } from "../../core/units.ts";
import { type Command, type CommandGroup, type Flag, type Invocation, jsonFlag, usage } from "../command.ts";
import { printJson } from "../output/json.ts";
import { jsonSpace, jsonStore } from "../output/store-text.ts";
import { describeStore, renderStore, renderStores } from "../output/stores.ts";
import { countOf } from "../output/text.ts";
import { openSession, type Session } from "../session.ts";

const minMembersMax = 64;
const name = { name: "NAME", description: "the datastore, with or without its leading /" };

const policyFlags: readonly Flag[] = [
  { name: "strategy", description: "what its files are like, for placement", valueHint: "STRATEGY", values: strategies },
  { name: "replicas", description: "how many copies of everything, each on another node", valueHint: "N" },
  { name: "erasure", description: "data and parity shards in place of copies", valueHint: "K+M" },
  { name: "quota", description: "limit of the sum of file sizes; none for no limit", valueHint: "SIZE" },
  { name: "min-members", description: "over how many members to spread at least", valueHint: "N" },
];

const create: Command = {
  name: "create",
  description: "make a datastore with a policy of its own",
  positionals: [name],
  flags: [...policyFlags, { name: "no-encrypt", description: "keep its content readable for whoever has a node's disk" }, jsonFlag],
  example: "collective store create media --strategy media --replicas 2 --quota 500GB",
  run: async (invocation) => {
    const { io, on } = invocation;
    const policy = { ...defaultStorePolicy, ...policyOf(invocation), encrypt: !on("no-encrypt") };
    const storeName = nameOf(invocation);
    const { remote } = await openSession(io);
    const store = await remote.control.call(routes.createStore, { name: storeName, policy }, { signal: io.signal });
    if (on("json")) printJson(jsonStore(store), io.stdout);
    else io.stdout.write(`created ${describeStore(store)}\n`);
  },
};

const list: Command = {
  name: "list",
  description: "all datastores",
  flags: [jsonFlag],
  example: "collective store list",
  run: async ({ io, on }) => {
    const stores = await listStores(await openSession(io), io.signal);
    if (on("json")) printJson(stores.map(jsonStore), io.stdout);
    else if (stores.length === 0) io.stdout.write("no datastores yet; make one with: collective store create NAME\n");
    else io.stdout.write(`${renderStores(stores, io.out)}\n`);
  },
};

const show: Command = {
  name: "show",
  description: "one datastore: its policy, what it holds, how its copies are, and why no more fits than does",
  positionals: [name],
  flags: [jsonFlag],
  example: "collective store show media",
  run: async (invocation) => {
    const { io, on } = invocation;
    const storeName = nameOf(invocation);
    const session = await openSession(io);
    const [stores, nodes] = await Promise.all([listStores(session, io.signal), nodesShown(session.remote, io.signal)]);
    const store = stores.find((candidate) => candidate.name === storeName);
    if (!store) throw new CollectiveError("not_found", `there is no datastore named ${storeName}`, { hint: "see: collective store list" });
    const space = usableShown(store, session.member, nodes);
    if (on("json")) printJson({ ...jsonStore(store), ...jsonSpace(space) }, io.stdout);
    else io.stdout.write(`${renderStore(store, space, io.out)}\n`);
  },
};

const set: Command = {
  name: "set",
  description: "change the policy of a datastore; what is not named stays",
  positionals: [name],
  flags: [...policyFlags, jsonFlag],
  example: "collective store set media --quota 1TB",
  run: async (invocation) => {
    const { io, on } = invocation;
    const policy = policyOf(invocation);
    if (Object.keys(policy).length === 0) throw usage("nothing to change was given");
    const storeName = nameOf(invocation);
    const { remote } = await openSession(io);
    const store = await remote.control.call(routes.setStore, { name: storeName, policy }, { signal: io.signal });
    if (on("json")) printJson(jsonStore(store), io.stdout);
    else io.stdout.write(`changed ${describeStore(store)}\n`);
  },
};

const remove: Command = {
  name: "remove",
  description: "remove a datastore with everything in it",
  positionals: [name],
  flags: [{ name: "dry-run", description: "only say what would go" }, jsonFlag],
  example: "collective store remove media --dry-run",
  run: async (invocation) => {
    const { io, on } = invocation;
    const storeName = nameOf(invocation);
    const dryRun = on("dry-run");
    const { remote } = await openSession(io);
    const gone = await remote.control.call(routes.removeStore, { name: storeName, dryRun }, { signal: io.signal });
    const { files, directories, logicalBytes, storedBytes } = gone;
    if (on("json")) {
      printJson({ name: storeName, removed: !dryRun, files, directories, size: logicalBytes, stored_size: storedBytes }, io.stdout);
      return;
    }
    // The store itself is one of its directories.
    const below = countOf(Math.max(0, directories - 1), "directory", "directories");
    io.stdout.write(
      `${dryRun ? "would remove" : "removed"} ${storeName}: ${countOf(files, "file")} and ${below}, ${formatSize(logicalBytes)}\n`,
    );
  },
};

const group: CommandGroup = {
  name: "store",
  description: "datastores: first-level directories with a policy, a quota and a key of their own",
  commands: [create, list, show, set, remove],
};
export default group;

async function listStores({ remote }: Session, signal: AbortSignal): Promise<ListedStore[]> {
  return (await remote.control.call(routes.listStores, {}, { signal })).stores;
}

/** `media` and `/media` are the same. */
function nameOf({ positionals }: Invocation): string {
  const [text = ""] = positionals;
  if (text.startsWith("/@")) {
    throw new CollectiveError("unsupported", "datastores are set up at their own member, not from another one", {
      hint: "name a context of that member: --context NAME",
    });
  }
  return parseName(text.replace(/^\/+|\/+$/g, ""));
}

/** Only what was given. */
function policyOf({ given }: Invocation): Partial<StorePolicy> {
  if (given("erasure") !== undefined) {
    throw new CollectiveError("unsupported", "erasure coding is not possible yet", { hint: "use --replicas N" });
  }
  const strategy = strategies.find((known) => known === given("strategy"));
  const [replicas, quota, minMembers] = [given("replicas"), given("quota"), given("min-members")];
  return {
    ...(strategy === undefined ? {} : { strategy }),
    ...(replicas === undefined ? {} : { replicas: parseCount(replicas, { flag: "--replicas", max: replicasMax }) }),
    ...(quota === undefined ? {} : { quotaBytes: parseQuota(quota) }),
    ...(minMembers === undefined ? {} : { minMembers: parseCount(minMembers, { flag: "--min-members", max: minMembersMax }) }),
  };
}

function parseCount(text: string, { flag, max }: { readonly flag: string; readonly max: number }): number {
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > max) throw usage(`${flag} is a number from 1 to ${max}, not ${quoteInput(text)}`);
  return count;
}

function parseQuota(text: string): number | null {
  if (text === "none") return null;
  const bytes = parseSize(text);
  if (bytes === 0) throw usage("--quota is more than 0, or none for no limit");
  return bytes;
}
