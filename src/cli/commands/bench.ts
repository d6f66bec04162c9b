import type { Command } from "../command.ts";
const command: Command = { name: "bench", description: "", example: "", run: async () => {} };
export default command;
