import { CollectiveError } from "../../../protocol/errors.ts";
import { quoteInput } from "../../core/units.ts";
import { type Command, usage } from "../command.ts";
import { runDemo } from "../demo/run.ts";

const nodesMax = 16;

const command: Command = {
  name: "demo",
  description: "a collective of real processes on this machine: stores real files, loses a node, and proves that every byte comes back",
  flags: [
    { name: "members", description: "how many members; this version knows one", valueHint: "N", default: "1" },
    { name: "nodes", description: "how many storage nodes the member has", valueHint: "N", default: "3" },
    { name: "tree", description: "what to store", valueHint: "DIR", default: "the current directory" },
    { name: "dir", description: "where to keep everything; it stays afterwards", valueHint: "DIR", default: "a temporary folder" },
    { name: "keep", description: "leave the temporary folder there, too" },
  ],
  example: "collective demo --nodes 4 --tree ~/Pictures",
  run: async ({ io, given, on }) => {
    if (readCount("members", given("members") ?? "1") !== 1) {
      throw new CollectiveError("unsupported", "other members join with the federation, which this version does not have yet", {
        hint: "leave --members out",
      });
    }
    const nodes = readCount("nodes", given("nodes") ?? "3");
    await runDemo(io, { nodes, dir: given("dir"), keep: on("keep"), tree: given("tree") });
  },
};
export default command;

function readCount(flag: string, text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > nodesMax) throw usage(`--${flag} is a number from 1 to ${nodesMax}, not ${quoteInput(text)}`);
  return count;
}
