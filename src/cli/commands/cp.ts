import type { Command } from "../command.ts";
const command: Command = { name: "cp", description: "", example: "", run: async () => {} };
export default command;
