import type { Command } from "../command.ts";
const command: Command = { name: "stat", description: "", example: "", run: async () => {} };
export default command;
