import { text as textOf } from "node:stream/consumers";
import { parseGlobalName } from "../../../protocol/ids.ts";
import { type RouteOutput, routes } from "../../../protocol/routes.ts";
import { parseTargetText } from "../../core/config-values.ts";
import { parseSize } from "../../core/units.ts";
import { type Command, type CommandGroup, jsonFlag, usage } from "../command.ts";
import { printJson } from "../output/json.ts";
import { jsonPeer, jsonVouched, renderFederation, renderPeers } from "../output/peers.ts";
import { jsonOwnPledge, renderOwnPledge } from "../output/pledges.ts";
import { openSession } from "../session.ts";

const peer: Command = {
  name: "peer",
  description: "add, connect, list and remove the members that this one trusts",
  positionals: [
    { name: "ACTION", description: "add, connect, list or remove" },
    {
      name: "CODE-OR-MEMBER",
      description:
        "to add: the other member's code, - reads it from standard input; to connect: the name of a member that trusted ones vouch for or that is under the same federation root, then HOST:PORT if need be; to remove: the member's name",
      optional: true,
      variadic: true,
    },
  ],
  flags: [jsonFlag],
  example: "collective federation peer add CODE",
  run: async (invocation) => {
    const [action = "", ...words] = invocation.positionals;
    const run = Object.hasOwn(actions, action) ? actions[action as keyof typeof actions] : undefined;
    if (!run) throw usage(`federation peer can ${Object.keys(actions).join(", ")}`);
    await run(invocation, words);
  },
};

type Action = (invocation: Parameters<Command["run"]>[0], words: readonly string[]) => Promise<void>;

const add: Action = async ({ io, on }, words) => {
  if (words.length === 0) throw usage("the code is missing: make one at the other member with collective invite generate --for member");
  const code = words.length === 1 && words[0] === "-" ? await textOf(process.stdin) : words.join(" ");
  const { remote } = await openSession(io);
  const added = await remote.control.call(routes.addPeer, { code }, { signal: io.signal });
  if (on("json")) printJson(added, io.stdout);
  else io.stdout.write(`${added.member} at ${added.address} is a peer now; each trusts the other\n`);
};

const connect: Action = async ({ io, on }, [name, place, ...more]) => {
  if (name === undefined || more.length > 0)
    throw usage("name one member to connect to, like bob@garage.collective.local, and its address if need be");
  const member = parseGlobalName(name);
  const address = place === undefined ? undefined : parseTargetText(place);
  const { remote } = await openSession(io);
  const connected = await remote.control.call(routes.connectPeer, { member, address }, { signal: io.signal });
  if (on("json")) printJson({ member, ...connected }, io.stdout);
  else io.stdout.write(`${connectedText(member, connected)}\n`);
};

function connectedText(member: string, { address, trust, introducer }: RouteOutput<typeof routes.connectPeer>): string {
  if (trust === "before") return `${member} is a peer already; it is looked for at ${address}, too`;
  if (trust === "root") return `${member} at ${address} is a peer now; each trusts the other, under one federation root`;
  return `${member} at ${address} is trusted now, on the word of ${introducer}; whether it trusts this member is its own decision`;
}

const remove: Action = async ({ io, on }, [name, ...more]) => {
  if (name === undefined || more.length > 0) throw usage("name one member to remove, like bob@garage.collective.local");
  const member = parseGlobalName(name);
  const { remote } = await openSession(io);
  await remote.control.call(routes.removePeer, { member }, { signal: io.signal });
  if (on("json")) printJson({ member }, io.stdout);
  else io.stdout.write(`${member} is not trusted any more, nor is anybody of its site\n`);
};

const list: Action = async ({ io, on }, words) => {
  if (words.length > 0) throw usage("federation peer list takes no name");
  const { remote } = await openSession(io);
  const listed = await remote.control.call(routes.listPeers, {}, { signal: io.signal });
  if (on("json")) printJson([...listed.peers.map(jsonPeer), ...listed.vouched.map(jsonVouched)], io.stdout);
  else io.stdout.write(`${renderPeers(listed, io.out)}\n`);
};

const actions = { add, connect, list, remove };

const status: Command = {
  name: "status",
  description: "how the federation is, as this member sees it",
  flags: [jsonFlag],
  example: "collective federation status",
  run: async ({ io, on }) => {
    const { remote, member } = await openSession(io);
    const { peers, vouched } = await remote.control.call(routes.listPeers, {}, { signal: io.signal });
    const pledge = await remote.control.call(routes.showPledge, {}, { signal: io.signal });
    if (on("json"))
      printJson({ member, pledge: jsonOwnPledge(pledge), peers: peers.map(jsonPeer), vouched: vouched.map(jsonVouched) }, io.stdout);
    else io.stdout.write(`${renderFederation({ member, peers, vouched, pledge }, io.out)}\n`);
  },
};

const pledge: Command = {
  name: "pledge",
  description: "how much space this member lends to the others, which decides how much it may use at them; without a size, shows it",
  positionals: [{ name: "SIZE", description: "in all; 0 lends nothing more, and what is there stays", optional: true }],
  flags: [jsonFlag],
  example: "collective federation pledge 100GB",
  run: async ({ io, on, positionals: [size] }) => {
    const pledgedBytes = size === undefined ? undefined : parseSize(size);
    const { remote } = await openSession(io);
    const shown =
      pledgedBytes === undefined
        ? await remote.control.call(routes.showPledge, {}, { signal: io.signal })
        : await remote.control.call(routes.setPledge, { pledgedBytes }, { signal: io.signal });
    if (on("json")) printJson(jsonOwnPledge(shown), io.stdout);
    else io.stdout.write(`${renderOwnPledge(shown, io.out)}\n`);
  },
};

const group: CommandGroup = {
  name: "federation",
  description: "other members: become peers, see how they are, lend each other space, end trust",
  commands: [peer, status, pledge],
};
export default group;
