import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { identityKinds, localNameOf, parseGlobalName, parseLocalName } from "../../../protocol/ids.ts";
import { routes } from "../../../protocol/routes.ts";
import { auditTrail } from "../../client/audit-trail.ts";
import { openContexts } from "../../client/context-file.ts";
import { makeCredentials, remoteIssuer } from "../../client/new-credentials.ts";
import { loadServeConfig } from "../../core/config.ts";
import { parseValidity } from "../../core/config-values.ts";
import { formatDuration, quoteInput } from "../../core/units.ts";
import { localIssuer, ownAuthority } from "../../daemon/authority.ts";
import { type CertificateInfo, readCertificate } from "../../pki/certificate.ts";
import { type Command, type CommandGroup, jsonFlag, usage } from "../command.ts";
import { chooseContext } from "../contexts.ts";
import type { Io } from "../io.ts";
import { jsonAuditEntry, renderAudit } from "../output/audit.ts";
import { expiryOf, jsonCertificate, renderCertificate } from "../output/certificates.ts";
import { printJson } from "../output/json.ts";
import { openSession } from "../session.ts";
import { initRoot, refuseBesideRoot, signMember } from "./_federation-root.ts";

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
  description: "make a member's certificate authority, before its coordinator is started for the first time; or the root of a federation",
  flags: [
    { name: "member", description: "whose authority", valueHint: "MEMBER" },
    { name: "data-dir", description: "where the coordinator will keep its data", valueHint: "DIR" },
    { name: "root", description: "make a federation root, which signs the authorities of members and is kept offline" },
    { name: "output", description: "folder for the federation root", valueHint: "DIR" },
    jsonFlag,
  ],
  example: "collective auth init --member alice@home.collective.local --data-dir ./data/alice",
  run: async (invocation) => {
    const { io, given, on } = invocation;
    if (on("root")) {
      refuseBesideRoot(invocation, ["member", "data-dir"]);
      await initRoot(invocation);
      return;
    }
    if (given("output") !== undefined) throw usage("--output goes with --root; an authority is made in --data-dir");
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
  description:
    "make a key and have it certified, by the coordinator or the authority in its data directory; or sign a member with a federation root",
  flags: [
    { name: "kind", description: "for what", valueHint: "KIND", values: identityKinds },
    { name: "name", description: "for whom: dora, node-01; for a coordinator its member", valueHint: "NAME" },
    {
      name: "validity",
      description: "how long it lives, 30s to 397d; by default as the coordinator is told, or a day with --data-dir",
      valueHint: "DURATION",
    },
    {
      name: "output",
      description: "folder for key.pem, cert.pem and ca.pem, ./NAME by default; with --root the file for --federation-root, ./SITE.pem",
      valueHint: "DIR",
    },
    { name: "data-dir", description: "sign with the authority in this data directory of a coordinator", valueHint: "DIR" },
    { name: "root", description: "sign a member's authority with the federation root in this folder", valueHint: "DIR" },
    { name: "member-ca", description: "the member's authority: authority/ca.pem in its coordinator's data directory", valueHint: "FILE" },
    jsonFlag,
  ],
  example: "collective auth cert --kind user --name dora --output ./dora",
  run: async (invocation) => {
    const { io, given, on } = invocation;
    const rootDir = given("root");
    if (rootDir !== undefined) {
      refuseBesideRoot(invocation, ["kind", "name", "validity", "data-dir"]);
      await signMember(invocation, rootDir);
      return;
    }
    if (given("member-ca") !== undefined) throw usage("--member-ca goes with --root");
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

const renew: Command = {
  name: "renew",
  description: "get a new certificate for the context in use now; the key stays, and by itself it happens at two thirds of the life",
  flags: [jsonFlag],
  example: "collective auth renew",
  run: async ({ io, on }) => {
    const { info: certificate, identity } = await (await openSession(io)).credentials.renew();
    const nowMs = io.clock.wallMs();
    if (on("json")) printJson(jsonCertificate({ file: await certificateInUse(io), certificate, nowMs }), io.stdout);
    else io.stdout.write(`renewed the certificate of ${identity.name}: valid for ${formatDuration(certificate.notAfterMs - nowMs)}\n`);
  },
};

const revoke: Command = {
  name: "revoke",
  description:
    "let a person, with all that it was granted and has granted, or a node in no more, from now on; or one certificate, by its serial",
  positionals: [{ name: "NAME-OR-SERIAL", description: "dora, node-01@home.collective.local, or a serial as auth info shows it" }],
  flags: [
    { name: "kind", description: "what the name is, where both are called so", valueHint: "KIND", values: ["user", "node"] },
    jsonFlag,
  ],
  example: "collective auth revoke dora",
  run: async ({ io, positionals, given, on }) => {
    const [who = ""] = positionals;
    const kind = revocableKinds.find((known) => known === given("kind"));
    const { remote } = await openSession(io);
    const revoked = await remote.control.call(routes.revoke, { who: who.trim().toLowerCase(), kind }, { signal: io.signal });
    if (on("json")) printJson(revoked, io.stdout);
    else io.stdout.write(`revoked the ${shownKinds[revoked.kind]} ${revoked.name}\n`);
  },
};

const revocableKinds = ["user", "node"] as const;
const shownKinds = { user: "person", node: "node", certificate: "certificate" } as const;

const log: Command = {
  name: "log",
  description: "the audit trail: who joined, was granted, was revoked, made and removed what, when and by whom",
  flags: [{ name: "limit", description: "how many of the newest entries", valueHint: "N", default: "100" }, jsonFlag],
  example: "collective auth log --limit 20",
  run: async ({ io, text, on }) => {
    const limit = parseLimit(text("limit") ?? "");
    const { remote } = await openSession(io);
    const entries = await auditTrail(remote, { limit, signal: io.signal });
    if (on("json")) printJson(entries.map(jsonAuditEntry), io.stdout);
    else if (entries.length === 0) io.stdout.write("nothing has been recorded yet\n");
    else io.stdout.write(`${renderAudit(entries, io.out)}\n`);
  },
};

const auditEntriesMax = 1_000_000;

function parseLimit(text: string): number {
  const limit = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > auditEntriesMax) throw usage(`--limit is a number from 1 to ${auditEntriesMax}, not ${quoteInput(text)}`);
  return limit;
}

const group: CommandGroup = {
  name: "auth",
  description: "certificates: show, renew and revoke them, make an authority, have keys certified; the audit trail",
  commands: [info, renew, revoke, log, init, cert],
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
