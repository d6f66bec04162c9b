import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { identityKinds, localNameOf, parseGlobalName, parseLocalName } from "../../../protocol/ids.ts";
import { openContexts } from "../../client/context-file.ts";
import { makeCredentials, remoteIssuer } from "../../client/new-credentials.ts";
import { loadServeConfig } from "../../core/config.ts";
import { parseValidity } from "../../core/config-values.ts";
import { localIssuer, ownAuthority } from "../../daemon/authority.ts";
import { type CertificateInfo, readCertificate } from "../../pki/certificate.ts";
import { type Command, type CommandGroup, jsonFlag, usage } from "../command.ts";
import { chooseContext } from "../contexts.ts";
import type { Io } from "../io.ts";
import { expiryOf, jsonCertificate, renderCertificate } from "../output/certificates.ts";
import { printJson } from "../output/json.ts";
import { openSession } from "../session.ts";

const info: Command = {
  name: "info",
  description: "what a certificate says and how long it lives; that of the context in use by default",
  positionals: [{ name: "FILE", description: "a certificate in PEM, or a folder with cert.pem", optional: true }],
  flags: [jsonFlag],
  example: "collective auth info ./dora",
  run: async ({ io, positionals, on }) => {
    const [given] = positionals;
    const file = given === undefined ? await certificateInUse(io) : await certificateFileOf(given);
    const certificate = await readCertificateFile(file);
    const nowMs = io.clock.wallMs();
    if (on("json")) {
      printJson(jsonCertificate({ file, certificate, nowMs }), io.stdout);
      return;
    }
    io.stdout.write(`${renderCertificate({ file, certificate, nowMs }, io.out)}\n`);
    const { warning } = expiryOf(certificate, nowMs);
    if (warning !== undefined) io.stderr.write(`${io.err.colours.warn("warning:")} ${warning}\n`);
  },
};

const init: Command = {
  name: "init",
  description: "make a member's certificate authority, before its coordinator is started for the first time",
  flags: [
    { name: "member", description: "whose authority", valueHint: "MEMBER" },
    { name: "data-dir", description: "where the coordinator will keep its data", valueHint: "DIR" },
    jsonFlag,
  ],
  example: "collective auth init --member alice@home.collective.local --data-dir ./data/alice",
  run: async ({ io, given, on }) => {
    const flags = { member: given("member"), "data-dir": given("data-dir") };
    const { member, coordinator } = loadServeConfig({ role: "coordinator", flags, environment: io.environment });
    if (!coordinator || member === undefined) throw new CollectiveError("internal", "the coordinator's configuration was not read");
    const { authority, dir, isNew } = await ownAuthority(coordinator.dataDir, member, io.clock);
    if (!isNew) throw new CollectiveError("already_exists", `the certificate authority of ${authority.site} is in ${dir} already`);
    const file = join(dir, "ca.pem");
    const certificate = readCertificate(authority.certificatePem);
    if (on("json")) printJson(jsonCertificate({ file, certificate, nowMs: io.clock.wallMs() }), io.stdout);
    else io.stdout.write(`made the certificate authority of ${authority.site} in ${dir}; keep ca.key secret and back it up\n`);
  },
};

const cert: Command = {
  name: "cert",
  description: "make a key and have it certified: by the coordinator, or by the authority in its data directory",
  flags: [
    { name: "kind", description: "for what", valueHint: "KIND", values: identityKinds },
    { name: "name", description: "for whom: dora, node-01; for a coordinator its member", valueHint: "NAME" },
    {
      name: "validity",
      description: "how long it lives, 5m to 397d; 90d for people and a day for others by default",
      valueHint: "DURATION",
    },
    { name: "output", description: "folder for key.pem, cert.pem and ca.pem, ./NAME by default", valueHint: "DIR" },
    { name: "data-dir", description: "sign with the authority in this data directory of a coordinator", valueHint: "DIR" },
    jsonFlag,
  ],
  example: "collective auth cert --kind user --name dora --output ./dora",
  run: async ({ io, given, on }) => {
    const [kindText, name] = [given("kind"), given("name")];
    const kind = identityKinds.find((known) => known === kindText);
    if (!kind) throw usage("--kind is missing");
    if (name === undefined) throw usage("--name is missing");
    const localName = name.includes("@") ? localNameOf(parseGlobalName(name)) : parseLocalName(name);
    const validity = given("validity");
    const wish = { kind, name, validityMs: validity === undefined ? undefined : parseValidity(validity) };
    const dataDir = given("data-dir");
    const issuer = dataDir === undefined ? remoteIssuer((await openSession(io)).remote, io.signal) : localIssuer(dataDir, io.clock);
    const output = given("output") ?? `./${localName}`;
    const { info: certificate, identity } = await makeCredentials(output, { wish, issuer });
    if (on("json")) printJson(jsonCertificate({ file: join(output, "cert.pem"), certificate, nowMs: io.clock.wallMs() }), io.stdout);
    else io.stdout.write(`made key.pem, cert.pem and ca.pem of the ${identity.kind} ${identity.name} in ${output}\n`);
  },
};

const group: CommandGroup = {
  name: "auth",
  description: "certificates: show them, make an authority, have keys certified",
  commands: [info, init, cert],
};
export default group;

async function certificateInUse(io: Io): Promise<string> {
  const flags = { context: io.contextName };
  return (await chooseContext({ flags, environment: io.environment, contexts: openContexts(io.home) })).credentials.certificateFile;
}

async function certificateFileOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true ? join(path, "cert.pem") : path;
}

async function readCertificateFile(file: string): Promise<CertificateInfo> {
  try {
    return readCertificate(await readFile(file, "utf8"));
  } catch (error) {
    const { code, message, hint } = toCollectiveError(error);
    throw new CollectiveError(code, code === "not_found" ? `there is no certificate ${file}` : `${file}: ${message}`, {
      hint,
      cause: error,
    });
  }
}
