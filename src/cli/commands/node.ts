import type { Command } from "../command.ts";
import { runServe, serveFlagsFor } from "./_serve.ts";

const command: Command = {
  name: "node",
  description: "run a storage node: the same as serve --role node",
  flags: serveFlagsFor("node"),
  example: "collective node --member alice@home.collective.local --node-id node-01 --coordinator localhost:8001 --enrol-from ./data/alice",
  run: (invocation) => runServe(invocation, "node"),
};
export default command;
