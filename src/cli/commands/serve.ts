import type { Command } from "../command.ts";
import { runServe, serveFlagsFor } from "./_serve.ts";

const command: Command = {
  name: "serve",
  description: "run a coordinator, a node or both, until SIGTERM",
  flags: serveFlagsFor(undefined),
  example: "collective serve --role all --member alice@home.collective.local --data-dir ./data",
  run: (invocation) => runServe(invocation, undefined),
};
export default command;
