import type { Command } from "../command.ts";
const command: Command = { name: "init", description: "", example: "", run: async () => {} };
export default command;
