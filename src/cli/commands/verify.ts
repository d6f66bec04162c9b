import type { Command } from "../command.ts";
const command: Command = { name: "verify", description: "", example: "", run: async () => {} };
export default command;
