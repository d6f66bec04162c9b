/**
 * How a node comes to its certificate: it has one, it joins with a code, or it takes one from a coordinator's
 * directory on the same machine. What the code's answer told of the collective is kept in `joined.json`
 * beside the data, so that later starts need neither the code nor what it stood for.
 */
import { join } from "node:path";
import { z } from "zod";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, globalName, type Identity, type LocalName, parseGlobalName, siteOf } from "../../protocol/ids.ts";
import { parseInviteCode } from "../../protocol/invite.ts";
import { claim, type Membership } from "../client/redeem.ts";
import type { NodeConfig } from "../core/config.ts";
import { checkJson, formatMistake, parsedText } from "../core/json-file.ts";
import { credentialFiles, readOptional } from "../pki/credential-files.ts";
import { type Credentials, enrolFromAuthorityDir, loadCredentials, saveCredentials } from "../pki/credentials.ts";
import { generateKeyPair, writeSecretFile } from "../pki/keys.ts";
import { authorityDirOf } from "./authority.ts";
import { usableCredentials } from "./renewal.ts";
import type { Surroundings } from "./role.ts";

export interface NodeEnrolment {
  /** Undefined when the code, now or on the first start, tells. */
  readonly member: GlobalName | undefined;
  readonly config: NodeConfig;
  readonly credentialsDir: string;
  readonly certValidityMs: number;
}

export interface EnrolledNode {
  readonly name: GlobalName;
  readonly member: GlobalName;
  readonly coordinatorAddress: string;
  readonly credentials: Credentials;
}

const joinedSchema = z.strictObject({ member: parsedText(parseGlobalName), coordinator: z.string() });
type JoinedCollective = z.output<typeof joinedSchema>;

/** Throws `configuration` for what is missing, and whatever joining throws. Durable on return. */
export async function enrolNode(enrolment: NodeEnrolment, around: Surroundings): Promise<EnrolledNode> {
  const { config, credentialsDir } = enrolment;
  const joinedFile = join(config.dataDir, "joined.json");
  let known = await loadCredentials(credentialsDir).catch(absent);
  if (config.join !== undefined && known === undefined) known = await joinByCode(config.join, enrolment, { joinedFile, around });
  else if (config.join !== undefined) around.log.info("the invite code is not used, this node has joined already", { node: config.nodeId });
  const joined = await readJoined(joinedFile);
  const member = enrolment.member ?? joined?.member;
  if (member === undefined) {
    throw new CollectiveError(
      "configuration",
      "member_id: missing, set --member, COLLECTIVE_MEMBER_ID or member_id in a configuration file",
      {
        hint: "or let the node join with an invite code: --join CODE",
      },
    );
  }
  const coordinatorAddress = config.coordinatorAddress ?? joined?.coordinator;
  if (coordinatorAddress === undefined)
    throw new CollectiveError("configuration", "the node does not know its coordinator", { hint: "name it with --coordinator HOST:PORT" });
  const name = globalName(config.nodeId, siteOf(member));
  const credentials = await ownCredentials({ ...enrolment, identity: { kind: "node", name }, known }, around);
  return { name, member, coordinatorAddress, credentials };
}

interface OwnCredentials extends NodeEnrolment {
  readonly identity: Identity;
  readonly known: Credentials | undefined;
}

async function ownCredentials(
  { config, credentialsDir, certValidityMs, identity, known }: OwnCredentials,
  { clock }: Surroundings,
): Promise<Credentials> {
  if (config.enrolFrom !== undefined) {
    const authorityDir = authorityDirOf(config.enrolFrom);
    const usable = await usableCredentials(credentialsDir, identity, clock.wallMs());
    return usable ?? (await enrolFromAuthorityDir({ authorityDir, credentialsDir, identity, validityMs: certValidityMs, clock }));
  }
  if (known === undefined) {
    throw new CollectiveError("configuration", `the node ${identity.name} has no certificate in ${credentialsDir}`, {
      hint: "start it once with --join CODE, or with --enrol-from DIR, the coordinator's data directory",
    });
  }
  if (known.identity.name !== identity.name || known.identity.kind !== identity.kind) {
    throw new CollectiveError(
      "configuration",
      `${credentialsDir} holds the certificate of the ${known.identity.kind} ${known.identity.name}, not of the node ${identity.name}`,
    );
  }
  return known;
}

/** The key is on disk before it is used and the certificate last: a start that is cut off is gone on with, by the same key. */
async function joinByCode(
  text: string,
  { member, config, credentialsDir }: NodeEnrolment,
  { joinedFile, around }: { readonly joinedFile: string; readonly around: Surroundings },
): Promise<Credentials> {
  const code = parseInviteCode(text);
  const keyFile = join(credentialsDir, credentialFiles.key);
  const privateKeyPem = (await readOptional(keyFile)) ?? generateKeyPair().privateKeyPem;
  await writeSecretFile(keyFile, privateKeyPem);
  const membership = await claim(
    code,
    { kind: "node", privateKeyPem, name: config.nodeId, consider: async ({ site }) => assertSite(site, member, config.nodeId) },
    around,
  );
  await writeJoined(joinedFile, membership);
  around.log.info("joined", { node: membership.credentials.identity.name, coordinator: membership.coordinator });
  return await saveCredentials(credentialsDir, membership.credentials);
}

function assertSite(site: string, member: GlobalName | undefined, nodeId: LocalName): void {
  if (member === undefined || siteOf(member) === site) return;
  throw new CollectiveError("configuration", `the code is of ${site}, ${nodeId} is to be a node of ${member}`, {
    hint: "leave --member out, or ask for a code of the right collective",
  });
}

async function writeJoined(file: string, { member, coordinator }: Membership): Promise<void> {
  const joined: JoinedCollective = { member, coordinator };
  await writeSecretFile(file, `${JSON.stringify(joined, null, 2)}\n`);
}

async function readJoined(file: string): Promise<JoinedCollective | undefined> {
  const text = await readOptional(file);
  if (text === undefined) return undefined;
  const checked = checkJson(text, joinedSchema);
  if (checked.ok) return checked.value;
  throw new CollectiveError("configuration", `${file}: ${checked.mistakes.map(formatMistake).join("; ")}`);
}

function absent(error: unknown): undefined {
  if (error instanceof CollectiveError && error.code === "not_found") return undefined;
  throw error;
}
