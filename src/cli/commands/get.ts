import type { Command } from "../command.ts";
const command: Command = { name: "get", description: "", example: "", run: async () => {} };
export default command;
