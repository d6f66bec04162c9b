import type { Command } from "../command.ts";
const command: Command = { name: "completion", description: "", example: "", run: async () => {} };
export default command;
