import type { Command } from "../command.ts";
const command: Command = { name: "df", description: "", example: "", run: async () => {} };
export default command;
