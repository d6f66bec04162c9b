import type { Command } from "../command.ts";
const command: Command = { name: "config", description: "", example: "", run: async () => {} };
export default command;
