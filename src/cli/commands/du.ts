import type { Command } from "../command.ts";
const command: Command = { name: "du", description: "", example: "", run: async () => {} };
export default command;
