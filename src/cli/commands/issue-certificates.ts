import { text } from "node:stream/consumers";
import { runCertificateJobs } from "../../daemon/certificate-process.ts";
import type { Command } from "../command.ts";

const command: Command = {
  name: "issue-certificates",
  description: "the part of a coordinator that holds its authority's key; started by the coordinator itself",
  example: "echo '[]' | collective issue-certificates",
  run: async ({ io }) => void io.stdout.write(await runCertificateJobs(await text(process.stdin))),
};
export default command;
