/**
 * Joining a collective with a code, from nothing to a context that works. Everything that can be refused
 * here is refused before the secret is sent; what is written is written after the answer, and asking again
 * with the same key gives the same answer.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import {
  type GlobalName,
  type IdentityKind,
  type LocalName,
  localNameOf,
  parseGlobalName,
  parseLocalName,
  siteOf,
} from "../../protocol/ids.ts";
import type { InviteCode } from "../../protocol/invite.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { formatHostPort, isLoopback, parseHostPort } from "../core/units.ts";
import { type BootstrapClient, createBootstrapClient, type FoundCollective, type Redemption } from "../net/bootstrap-client.ts";
import { createCsr } from "../pki/authority.ts";
import { readOptional } from "../pki/credential-files.ts";
import { assembleCredentials, type Credentials, loadCredentials, saveCredentials } from "../pki/credentials.ts";
import { generateKeyPair, writePublicFile, writeSecretFile } from "../pki/keys.ts";
import { type Contexts, type NamedContext, openContexts, parseContextName } from "./context-file.ts";
import { openIdentity } from "./identity.ts";

export interface Around {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
}

export interface Membership {
  readonly member: GlobalName;
  readonly credentials: Credentials;
  /** `host:port` */
  readonly coordinator: string;
  readonly grants: Redemption["grants"];
}

export interface Claim {
  readonly kind: Exclude<IdentityKind, "coordinator">;
  readonly privateKeyPem: string;
  /** Who the joiner is and insists on being; its site has to be the collective's when it has one. */
  readonly name?: string | undefined;
  /** Taken when the code leaves it open. */
  readonly suggestedName?: string | undefined;
  /** Called when it is known where the code leads and nothing was sent yet; throws to leave it at that. */
  readonly consider?: (found: FoundCollective) => Promise<void>;
}

/** Takes a use of the code for a key. Writes nothing. Throws `invalid_argument` for a code of another kind, and what `BootstrapClient` throws. */
export async function claim(code: InviteCode, wish: Claim, around: Around): Promise<Membership> {
  assertKind(code, wish.kind);
  const client: BootstrapClient = createBootstrapClient(around);
  const found = await client.find(code);
  await wish.consider?.(found);
  const { privateKeyPem, name, suggestedName } = wish;
  const csrPem = await createCsr({ privateKeyPem, commonName: name ?? suggestedName ?? "joining" });
  const answer = await client.redeem(found, { secret: code.secret, csrPem, name, suggestedName });
  const { authorityPem, site } = found;
  const credentials = assembleCredentials({
    certificatePem: answer.certificatePem,
    privateKeyPem,
    authorityPem,
    trustedAuthorityPems: [],
  });
  const [coordinator] = answer.coordinators;
  if (credentials.identity.kind !== wish.kind || siteOf(answer.member) !== site || coordinator === undefined)
    throw new CollectiveError("unavailable", `the answer of ${found.address} makes no sense`);
  return { member: answer.member, credentials, coordinator: reachedLike(found.address, coordinator), grants: answer.grants };
}

/**
 * A coordinator that was told no address of its own names this machine, or its own as it sees it. Whoever
 * found it elsewhere finds the control API there too; it is known by its name, whatever the address.
 */
export function reachedLike(foundAt: string, coordinator: string): string {
  const [found, told] = [parseHostPort(foundAt), parseHostPort(coordinator)];
  return isLoopback(told) && !isLoopback(found) ? formatHostPort({ host: found.host, port: told.port }) : coordinator;
}

function assertKind({ kind }: InviteCode, wanted: Claim["kind"]): void {
  if (kind === "member")
    throw new CollectiveError("invalid_argument", "this code is for another member's coordinator", {
      hint: "use it there: collective federation peer add CODE",
    });
  if (kind === "node" && wanted === "user")
    throw new CollectiveError("invalid_argument", "this code is for a storage node, not for a person", {
      hint: "use it there: collective serve --role node --join CODE",
    });
  if (kind === "person" && wanted === "node")
    throw new CollectiveError("invalid_argument", "this code is for a person, not for a node", {
      hint: "make another one with: collective invite generate --for node",
    });
}

export interface JoinWish {
  readonly code: InviteCode;
  /** Name of the context; that of the member unless told. */
  readonly contextName?: string | undefined;
  /** `dora`, or `dora@home.collective.local`. */
  readonly as?: string | undefined;
  /** Of the person at this machine, who may not have said who he is. */
  readonly loginName?: string | undefined;
}

export interface Joined extends Membership {
  readonly context: NamedContext;
}

/** Joins as a person, with the identity of this home or a new one. Durable on return. */
export async function joinCollective(home: string, wish: JoinWish, around: Around): Promise<Joined> {
  assertKind(wish.code, "user");
  const contexts = openContexts(home);
  const folder = openIdentity(home, around);
  const known = await folder.read();
  const named = wish.as ?? (known && localNameOf(known.name));
  const suggestedName = named === undefined ? loginLocalName(wish.loginName) : undefined;
  const privateKeyPem = known?.privateKeyPem ?? (await folder.key());
  const contextName = wish.contextName === undefined ? undefined : parseContextName(wish.contextName);
  const membership = await claim(
    wish.code,
    {
      kind: "user",
      privateKeyPem,
      name: named,
      suggestedName,
      consider: async ({ site }) => {
        if (named?.includes("@") && siteOf(parseGlobalName(named)) !== site)
          throw new CollectiveError("invalid_argument", `the code is of ${site}, where nobody can be ${named}`, {
            hint: `name the person alone: --as ${named.slice(0, named.indexOf("@"))}`,
          });
        if (contextName === undefined || (await isFree(contexts, { name: contextName, site, privateKeyPem }))) return;
        throw new CollectiveError("already_exists", `there is a context ${contextName} already, of another identity`, {
          hint: "choose another name with --name",
        });
      },
    },
    around,
  );
  const { member, credentials, coordinator } = membership;
  const name = contextName ?? (await freeName(contexts, member, privateKeyPem));
  await saveCredentials(contexts.credentials(name).folder, credentials);
  await contexts.put(name, {
    member,
    coordinator,
    identity: credentials.identity.name,
    created: new Date(around.clock.wallMs()).toISOString(),
  });
  // Another command of the same home may have named it meanwhile.
  if (!(await folder.read())) await folder.create(credentials.identity.name);
  return { ...membership, context: await contexts.get(name) };
}

/** The nearest name that a login name gives; undefined when nothing is left of it. */
export function loginLocalName(login: string | undefined): LocalName | undefined {
  const near = (login ?? "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replace(/^-+|-+$/g, "");
  try {
    return parseLocalName(near);
  } catch {
    return undefined;
  }
}

interface ContextPlace {
  readonly name: string;
  readonly site: string;
  readonly privateKeyPem: string;
}

/** No context has the name, or one of the same key at the same site: then it is brought up to date. */
async function isFree(contexts: Contexts, { name, site, privateKeyPem }: ContextPlace): Promise<boolean> {
  const context = (await contexts.list()).find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (!context) return true;
  if (context.name !== name || siteOf(context.member) !== site) return false;
  const known = await loadCredentials(contexts.credentials(name).folder).catch(() => undefined);
  return known?.privateKeyPem === privateKeyPem;
}

/** `alice`, and when another alice is there, or another identity at this one, `alice-2`. */
async function freeName(contexts: Contexts, member: GlobalName, privateKeyPem: string): Promise<string> {
  const site = siteOf(member);
  const local = localNameOf(member);
  for (let number = 1; ; number++) {
    const name = number === 1 ? local : `${local}-${number}`;
    if (await isFree(contexts, { name, site, privateKeyPem })) return name;
  }
}

/** Files that credentials are to be in, in place of a context. */
export interface CredentialPlaces {
  readonly authorityFile: string;
  readonly certificateFile: string;
  /** Is read when it is there, made when it is not. */
  readonly keyFile: string;
}

/** Joins as a person without touching contexts or the identity of a home. Throws `already_exists` rather than replace a certificate. */
export async function joinWithFiles(
  places: CredentialPlaces,
  { code, as, loginName }: Omit<JoinWish, "contextName">,
  around: Around,
): Promise<Membership> {
  assertKind(code, "user");
  for (const file of [places.authorityFile, places.certificateFile])
    if ((await readOptional(file)) !== undefined) throw new CollectiveError("already_exists", `${file} exists already`);
  const known = await readOptional(places.keyFile);
  const privateKeyPem = known ?? generateKeyPair().privateKeyPem;
  // Before it is used, so that it is still there when the answer is lost.
  if (known === undefined) await writeSecretFile(places.keyFile, privateKeyPem);
  const suggestedName = as === undefined ? loginLocalName(loginName) : undefined;
  const membership = await claim(code, { kind: "user", privateKeyPem, name: as, suggestedName }, around);
  await writePublicFile(places.authorityFile, membership.credentials.authorityPem);
  await writePublicFile(places.certificateFile, membership.credentials.certificatePem);
  return membership;
}
