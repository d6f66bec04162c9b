import type { Command } from "../command.ts";
const command: Command = { name: "put", description: "", example: "", run: async () => {} };
export default command;
