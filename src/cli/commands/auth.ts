import type { Command } from "../command.ts";
const command: Command = { name: "auth", description: "", example: "", run: async () => {} };
export default command;
