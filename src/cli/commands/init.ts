import { parseGlobalName } from "../../../protocol/ids.ts";
import { openContexts } from "../../client/context-file.ts";
import { makeContext } from "../../client/new-context.ts";
import { parseTargetText } from "../../core/config-values.ts";
import { type Command, type Invocation, usage } from "../command.ts";

const command: Command = {
  name: "init",
  description: "make a context by hand: a coordinator, and credentials to speak to it",
  flags: [
    { name: "name", description: "what to call the context", valueHint: "NAME" },
    { name: "coordinator", description: "where the coordinator is", valueHint: "HOST:PORT" },
    { name: "member", description: "whose coordinator it is", valueHint: "MEMBER" },
    { name: "ca-cert", description: "certificate of the member's authority", valueHint: "FILE" },
    { name: "cert", description: "your certificate, together with --key", valueHint: "FILE" },
    { name: "key", description: "your private key", valueHint: "FILE" },
  ],
  example:
    "collective init --name home --coordinator nas.home:8001 --member alice@home.collective.local --ca-cert ca.pem --cert cert.pem --key key.pem",
  run: async (invocation) => {
    const { io, given } = invocation;
    const [certificateFile, keyFile] = [given("cert"), given("key")];
    if ((certificateFile === undefined) !== (keyFile === undefined)) throw usage("--cert and --key are needed together");
    const contexts = openContexts(io.home);
    const { context, credentials } = await makeContext(
      contexts,
      {
        name: required(invocation, "name"),
        member: parseGlobalName(required(invocation, "member")),
        coordinator: parseTargetText(required(invocation, "coordinator")),
        authorityFile: given("ca-cert"),
        certificate: certificateFile === undefined || keyFile === undefined ? undefined : { certificateFile, keyFile },
      },
      io.clock,
    );
    io.stdout.write(`context ${context.name}: ${context.member} at ${context.coordinator}${context.isCurrent ? ", current" : ""}\n`);
    if (!credentials) {
      io.stderr.write(
        `it has no credentials yet: have them made with collective auth cert, then run init again with --ca-cert, --cert and --key\n`,
      );
    } else if (!context.isCurrent) {
      io.stderr.write(`make it the current one with: collective config use-context ${context.name}\n`);
    }
  },
};
export default command;

function required({ given }: Invocation, flag: string): string {
  const value = given(flag);
  if (value === undefined) throw usage(`--${flag} is missing`);
  return value;
}
