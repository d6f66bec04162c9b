import type { Command } from "../command.ts";
const command: Command = { name: "store", description: "", example: "", run: async () => {} };
export default command;
