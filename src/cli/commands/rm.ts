import type { Command } from "../command.ts";
const command: Command = { name: "rm", description: "", example: "", run: async () => {} };
export default command;
