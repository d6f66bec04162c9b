/**
 * A member with something to hide: a datastore with a directory that is shared, one that is not and one to drop things in,
 * another datastore beside it, and callers of every kind.
 *
 *   /shared/open/file, /shared/open/sub/   what was granted to those who were granted anything
 *   /shared/closed/file                    what was granted to nobody
 *   /shared/drop/file                      write only, for `dropper`
 *   /private/file
 */
import type { GlobalName, Identity, Inode } from "../../protocol/ids.ts";
import { parseGlobalName } from "../../protocol/ids.ts";
import { type Right, rights, type SubjectPattern } from "../../protocol/rights.ts";
import { routes } from "../../protocol/routes.ts";
import type { ControlClient } from "../../src/net/control-client.ts";
import type { Authority } from "../../src/pki/authority.ts";
import type { Credentials } from "../../src/pki/credentials.ts";
import { content, ingestFile } from "./content.ts";
import { foreignCredentials, nameAt, startTestMember, type TestMember, type TestNode } from "./member.ts";
import { createStore } from "./metadata.ts";
import { alice, authorityOf, bob, garage, identityOf } from "./pki.ts";

export interface Place {
  readonly directory: Inode;
  readonly file: Inode;
}

export interface RightsWorld extends AsyncDisposable {
  readonly member: TestMember;
  readonly garageAuthority: Authority;
  readonly node: TestNode;
  readonly shared: Inode;
  readonly private: Place;
  readonly open: Place & { readonly sub: Inode };
  readonly closed: Place;
  readonly drop: Place;
  readonly clients: Readonly<Record<CallerKind, ControlClient>>;
  readonly credentials: Readonly<Record<CallerKind, Credentials>>;
  /** A file of its own, to be changed or removed. */
  newFile(directory: Inode): Promise<{ readonly name: string; readonly inode: Inode }>;
  newName(): string;
  /** By which the member becomes a peer of carol. */
  readonly peerCode: string;
}

const person = (name: string, held: readonly Right[] = []) => ({ identity: identityOf("user", name), held });

/** Everybody who may come, with what was granted on /shared/open. */
export const callers = {
  administrator: person(alice),
  "person without grants": person("nina@home.collective.local"),
  reader: person("rosa@home.collective.local", ["read"]),
  writer: person("walt@home.collective.local", ["read", "write"]),
  editor: person("edda@home.collective.local", ["read", "write", "delete"]),
  sharer: person("sven@home.collective.local", ["read", "share"]),
  dropper: person("drew@home.collective.local"),
  "holder of an expired grant": person("emil@home.collective.local", rights),
  "revoked person": person("rita@home.collective.local", rights),
  "person with a grant from one who may not share": person("fred@home.collective.local"),
  "person of another member without grants": person("zoe@garage.collective.local"),
  "person of another member who may read": person(bob, ["read"]),
  node: { identity: identityOf("node", "node-01@home.collective.local"), held: [] },
  coordinator: { identity: { kind: "coordinator", name: alice }, held: [] },
  "node of another member": { identity: identityOf("node", "node-01@garage.collective.local"), held: [] },
  "coordinator of another member": { identity: { kind: "coordinator", name: bob }, held: [] },
} as const satisfies Record<string, { readonly identity: Identity; readonly held: readonly Right[] }>;

export type CallerKind = keyof typeof callers;
export const callerKinds = Object.keys(callers) as CallerKind[];

const expiredAfterMs = 1_000;

export async function startRightsWorld(): Promise<RightsWorld> {
  const garageAuthority = await authorityOf(garage);
  const member = await startTestMember({ trusted: [garageAuthority.certificatePem] });
  const { metadata } = member;
  const node = await member.startNode("node-01");
  const [shared, secret] = [await createStore(metadata, "shared"), await createStore(metadata, "private")];
  const makeDirectory = async (parent: Inode, name: string): Promise<Inode> => {
    const [attr] = await metadata.makeDirectories([{ parent, name, mode: 0o755 }], { existing: "fail", owner: alice });
    if (!attr) throw new Error("no directory was made");
    return attr.inode;
  };
  let files = 0;
  const newName = (): string => `name-${++files}`;
  const writeFile = async (parent: Inode, name: string): Promise<Inode> => {
    const { store = parent } = await metadata.getAttr(parent);
    return (await ingestFile(member.remote(), { inode: store }, { name, source: content(100, ++files), parent })).attr.inode;
  };
  const placeAt = async (directory: Inode): Promise<Place> => ({ directory, file: await writeFile(directory, "file") });
  const grant = (inode: Inode, subject: GlobalName, granted: readonly Right[], more: { by?: GlobalName; expiresMs?: number } = {}) =>
    metadata.grant({
      inode,
      subject: subject as string as SubjectPattern,
      rights: granted,
      grantedBy: more.by ?? alice,
      expiresMs: more.expiresMs ?? null,
    });

  const open = await placeAt(await makeDirectory(shared.inode, "open"));
  const world = {
    member,
    garageAuthority,
    node,
    shared: shared.inode,
    private: await placeAt(secret.inode),
    open: { ...open, sub: await makeDirectory(open.directory, "sub") },
    closed: await placeAt(await makeDirectory(shared.inode, "closed")),
    drop: await placeAt(await makeDirectory(shared.inode, "drop")),
  };
  for (const [kind, { identity, held }] of Object.entries(callers)) {
    const expiresMs = member.clock.nowMs + expiredAfterMs;
    const ends = kind === "holder of an expired grant" ? { expiresMs } : {};
    if (held.length > 0) await grant(world.open.directory, identity.name, held, ends);
  }
  await grant(world.drop.directory, callers.dropper.identity.name, ["write"]);
  await grant(world.open.directory, callers["person with a grant from one who may not share"].identity.name, rights, {
    by: callers.writer.identity.name,
  });
  member.clock.nowMs += expiredAfterMs;
  await member.client().call(routes.revoke, { who: callers["revoked person"].identity.name, kind: "user" });

  const credentials = await Promise.all(
    Object.entries(callers).map(async ([kind, { identity }]) => {
      if (kind === "node") return [kind, node.credentials] as const;
      const isForeign = identity.name.endsWith(`@${garage}`);
      return [
        kind,
        isForeign ? await foreignCredentials(member, identity, garageAuthority) : await member.credentialsOf(identity),
      ] as const;
    }),
  );
  const ofKind = Object.fromEntries(credentials) as Record<CallerKind, Credentials>;
  const { certificatePem: coordinatorPem, authorityPem } = ofKind["coordinator of another member"];
  await metadata.addPeer({ member: bob, authorityPem, coordinatorPem, address: "127.0.0.1:1" }, alice);
  const other = await startTestMember({ member: carol });
  const atCarol = {
    authorityPem: other.authority.certificatePem,
    coordinatorPem: other.credentials.certificatePem,
    address: other.address,
  };
  await metadata.addPeer({ member: carol, ...atCarol }, alice);
  await member.service.peers.refresh();
  member.service.federation.start();
  const invite = { kind: "member" as const, grants: [], usesMax: 1, validityMs: 3_600_000, description: "" };
  const { code: peerCode } = await other.client().call(routes.createInvite, invite);
  const clients = credentials.map(([kind, own]) => [kind, member.client(own)] as const);
  return {
    ...world,
    clients: Object.fromEntries(clients) as Record<CallerKind, ControlClient>,
    credentials: ofKind,
    peerCode,
    newName,
    newFile: async (directory) => {
      const name = newName();
      return { name, inode: await writeFile(directory, name) };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([member[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
    },
  };
}

export const carol = parseGlobalName("carol@office.collective.local");
export const someone = parseGlobalName("someone@garage.collective.local");
export const nodeName = nameAt("node-01");
