import type { Command } from "../command.ts";
const command: Command = { name: "status", description: "", example: "", run: async () => {} };
export default command;
