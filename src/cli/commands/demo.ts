import { quoteInput } from "../../core/units.ts";
import { type Command, usage } from "../command.ts";
import { membersMax } from "../demo/cast.ts";
import { runDemo } from "../demo/run.ts";

const nodesMax = 16;

const command: Command = {
  name: "demo",
  description:
    "a federation of real processes on this machine: stores and shares real files, loses a node, proves that every byte comes back",
  flags: [
    { name: "members", description: "how many members, who become peers and share with each other", valueHint: "N", default: "3" },
    { name: "nodes", description: "how many storage nodes each member has", valueHint: "N", default: "3" },
    { name: "tree", description: "what to store", valueHint: "DIR", default: "the current directory" },
    { name: "dir", description: "where to keep everything; it stays afterwards", valueHint: "DIR", default: "a temporary folder" },
    { name: "keep", description: "leave the temporary folder there, too" },
  ],
  example: "collective demo --members 2 --nodes 4 --tree ~/Pictures",
  run: async ({ io, given, on }) => {
    const members = readCount("members", given("members") ?? "3", membersMax);
    const nodes = readCount("nodes", given("nodes") ?? "3", nodesMax);
    await runDemo(io, { members, nodes, dir: given("dir"), keep: on("keep"), tree: given("tree") });
  },
};
export default command;

function readCount(flag: string, text: string, max: number): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > max) throw usage(`--${flag} is a number from 1 to ${max}, not ${quoteInput(text)}`);
  return count;
}
