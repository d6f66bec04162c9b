import { text as textOf } from "node:stream/consumers";
import { parseGlobalName } from "../../../protocol/ids.ts";
import { routes } from "../../../protocol/routes.ts";
import { type Command, type CommandGroup, jsonFlag, usage } from "../command.ts";
import { printJson } from "../output/json.ts";
import { jsonPeer, renderFederation, renderPeers } from "../output/peers.ts";
import { openSession } from "../session.ts";

const peer: Command = {
  name: "peer",
  description: "add, list and remove the members that this one trusts",
  positionals: [
    { name: "ACTION", description: "add, list or remove" },
    {
      name: "CODE-OR-MEMBER",
      description: "to add: the other member's code, - reads it from standard input; to remove: the member's name",
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
  const { peers } = await remote.control.call(routes.listPeers, {}, { signal: io.signal });
  if (on("json")) printJson(peers.map(jsonPeer), io.stdout);
  else io.stdout.write(`${renderPeers(peers, io.out)}\n`);
};

const actions = { add, list, remove };

export const status: Command = {
  name: "status",
  description: "how the federation is, as this member sees it",
  flags: [jsonFlag],
  example: "collective federation status",
  run: async ({ io, on }) => {
    const { remote, member } = await openSession(io);
    const { peers } = await remote.control.call(routes.listPeers, {}, { signal: io.signal });
    if (on("json")) printJson({ member, peers: peers.map(jsonPeer) }, io.stdout);
    else io.stdout.write(`${renderFederation({ member, peers }, io.out)}\n`);
  },
};

const group: CommandGroup = {
  name: "federation",
  description: "other members: become peers by one code, see how they are, end trust",
  commands: [peer, status],
};
export default group;
