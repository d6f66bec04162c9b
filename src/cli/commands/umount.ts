import { unmountAt } from "../../fuse/mount.ts";
import type { Command } from "../command.ts";

const command: Command = {
  name: "umount",
  description: "end a mount; what was written and closed is stored already",
  positionals: [{ name: "PATH", description: "where it is mounted" }],
  example: "collective umount /mnt/collective",
  run: async ({ positionals }) => {
    await unmountAt(positionals[0] ?? "");
  },
};
export default command;
