import type { Command } from "../command.ts";
const command: Command = { name: "demo", description: "", example: "", run: async () => {} };
export default command;
