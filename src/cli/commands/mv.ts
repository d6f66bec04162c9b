import type { Command } from "../command.ts";
const command: Command = { name: "mv", description: "", example: "", run: async () => {} };
export default command;
