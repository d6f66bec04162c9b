import type { Command } from "../command.ts";
const command: Command = { name: "client", description: "", example: "", run: async () => {} };
export default command;
