import type { Command } from "../command.ts";
import { runServe, serveFlagsFor } from "./_serve.ts";

const command: Command = {
  name: "coordinator",
  description: "run a coordinator: the same as serve --role coordinator",
  flags: serveFlagsFor("coordinator"),
  example: "collective coordinator --member alice@home.collective.local --data-dir ./data/alice",
  run: (invocation) => runServe(invocation, "coordinator"),
};
export default command;
