/**
 * The rights matrix: for each route what may be asked, and what becomes of it for every kind of caller. A new route does not
 * compile here without a row. Whom a case does not name gets `not_found` when it is a person,
 * `permission_denied` when it is a machine, and `not_authenticated` when it was revoked.
 */
import type { Inode } from "../../protocol/ids.ts";
import type { RouteInput, RouteName, routes } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { encodeGossip } from "../../src/gossip/seal.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { lock } from "./messages.ts";
import { createStore, newUpload } from "./metadata.ts";
import { alice, bob } from "./pki.ts";
import { type CallerKind, callers, carol, nodeName, type RightsWorld, someone } from "./rights-world.ts";

export interface Case<K extends RouteName> {
  readonly what: string;
  /** Called anew for each caller, so that it may name things that go by being asked for. */
  readonly input: (world: RightsWorld, kind: CallerKind) => Promise<RouteInput<(typeof routes)[K]>> | RouteInput<(typeof routes)[K]>;
  readonly ok: readonly CallerKind[];
  readonly denied?: readonly CallerKind[];
}

export const machines: readonly CallerKind[] = ["node", "coordinator", "node of another member", "coordinator of another member"];
const admin = "administrator" satisfies CallerKind;
const expired = "holder of an expired grant" satisfies CallerKind;
const ofHome: readonly CallerKind[] = [
  ...([admin, "person without grants", "reader", "writer", "editor", "sharer", "dropper", expired] as const),
  "person with a grant from one who may not share",
];
const ofGarage: readonly CallerKind[] = ["person of another member without grants", "person of another member who may read"];
const people = [...ofHome, ...ofGarage];
const others = people.filter((kind) => kind !== admin);
/** Who has `read` on /shared/open, and so sees the way to it. */
const readers: readonly CallerKind[] = [admin, "reader", "writer", "editor", "sharer", "person of another member who may read"];
const writers: readonly CallerKind[] = [admin, "writer", "editor"];
const editors: readonly CallerKind[] = [admin, "editor"];
const readersOnly = without([...readers, expired], writers);
const seeShared = [...readers, "dropper" as const];

function without(kinds: readonly CallerKind[], ...gone: readonly (readonly CallerKind[])[]): CallerKind[] {
  return kinds.filter((kind) => !gone.some((some) => some.includes(kind)));
}

const directory = (parent: number, name: string) => ({ directories: [{ parent, name, mode: 0o755 }], existing: "fail" as const });
const symlink = (parent: number, name: string) => ({ links: [{ parent, name, target: "x", mtimeNs: 1n }] });
const fifo = (parent: number, name: string) => ({ parent, name, type: "fifo" as const, mode: 0o600, device: 0 });
const setAttribute = (inode: number) => ({ inode, attribute: { name: "user.a", value: new Uint8Array(1) }, existing: "either" as const });
export const lockOn = (inode: number, type: "read" | "none") => ({ inode, lock: { ...lock, type } });
const atOnce = { wait: false, since: null };
const commit = (...files: { parent: number; name: string }[]) => ({
  upload: newUpload(),
  files: files.map((file) => ({ ...file, mode: 0o644, mtimeNs: 1n, sizeBytes: 0, extents: [] })),
  receipts: [],
  last: true,
});
const range = (inode: number) => ({ inode, offset: 0, lengthBytes: 10 });
const csr = async (privateKeyPem: string) => ({ csrPem: await createCsr({ privateKeyPem, commonName: "x" }) });

async function chunkOf({ member }: RightsWorld, inode: Inode): Promise<string> {
  const [extent] = await member.metadata.extents(inode, { offset: 0, lengthBytes: 1, limit: 1 });
  if (!extent) throw new Error("the file has no chunk");
  return extent.chunk;
}

async function granted({ member, open }: RightsWorld, grantedBy: typeof alice): Promise<{ inode: number; subject: string }> {
  const subject = someone;
  await member.metadata.grant({ inode: open.directory, subject: subject as never, rights: ["read"], grantedBy, expiresMs: null });
  return { inode: open.directory, subject };
}

async function newInvite({ member, newName }: RightsWorld): Promise<string> {
  const id = newName();
  const invite = { id, kind: "person" as const, name: null, grants: [], usesMax: 1, description: "", createdMs: 0, expiresMs: 1e15 };
  await member.metadata.createInvite({ ...invite, createdBy: alice, secretHash: new TextEncoder().encode(id) });
  return id;
}

export const rows: { readonly [K in RouteName]: readonly Case<K>[] } = {
  resolve: [
    { what: "the root", input: () => ({ components: [] }), ok: people },
    { what: "what is shared", input: () => ({ components: ["shared", "open", "file"] }), ok: readers },
    { what: "the way there", input: () => ({ components: ["shared"] }), ok: people },
    { what: "what is not shared", input: () => ({ components: ["shared", "closed", "file"] }), ok: [admin] },
    { what: "another store", input: () => ({ components: ["private", "file"] }), ok: [admin] },
    { what: "what was dropped", input: () => ({ components: ["shared", "drop", "file"] }), ok: [admin, "dropper"] },
  ],
  list: [
    { what: "the root", input: () => ({ inode: 1, limit: 10 }), ok: people },
    { what: "the way", input: ({ shared }) => ({ inode: shared, limit: 10 }), ok: seeShared },
    { what: "what is shared", input: ({ open }) => ({ inode: open.directory, limit: 10 }), ok: readers, denied: [expired] },
    { what: "below it", input: ({ open }) => ({ inode: open.sub, limit: 10 }), ok: readers, denied: [expired] },
    { what: "what is not shared", input: ({ closed }) => ({ inode: closed.directory, limit: 10 }), ok: [admin] },
    { what: "write only", input: ({ drop }) => ({ inode: drop.directory, limit: 10 }), ok: [admin], denied: ["dropper"] },
  ],
  getAttr: [
    { what: "the root", input: () => ({ inode: 1 }), ok: people },
    { what: "the way", input: ({ shared }) => ({ inode: shared }), ok: seeShared },
    { what: "what is shared", input: ({ open }) => ({ inode: open.file }), ok: readers, denied: [expired] },
    { what: "what is not shared", input: ({ closed }) => ({ inode: closed.file }), ok: [admin] },
    { what: "write only", input: ({ drop }) => ({ inode: drop.directory }), ok: [admin, "dropper"] },
    { what: "what was dropped", input: ({ drop }) => ({ inode: drop.file }), ok: [admin] },
    { what: "nothing", input: () => ({ inode: 999_999 }), ok: [] },
  ],
  makeDirectories: [
    { what: "in the root", input: ({ newName }) => directory(1, newName()), ok: [admin], denied: others },
    { what: "in what is shared", input: ({ open, newName }) => directory(open.directory, newName()), ok: writers, denied: readersOnly },
    { what: "on the way", input: ({ shared, newName }) => directory(shared, newName()), ok: [admin], denied: without(seeShared, [admin]) },
    { what: "in what is not shared", input: ({ closed, newName }) => directory(closed.directory, newName()), ok: [admin] },
    { what: "write only", input: ({ drop, newName }) => directory(drop.directory, newName()), ok: [admin, "dropper"] },
    {
      what: "here and there",
      input: ({ open, closed, newName }) => ({
        directories: [open, closed].map((place) => ({ parent: place.directory, name: newName(), mode: 0o755 })),
        existing: "fail",
      }),
      ok: [admin],
      denied: readersOnly,
    },
  ],
  makeSymlinks: [
    { what: "in what is shared", input: ({ open, newName }) => symlink(open.directory, newName()), ok: writers, denied: readersOnly },
    { what: "in what is not shared", input: ({ closed, newName }) => symlink(closed.directory, newName()), ok: [admin] },
  ],
  setAttr: [
    { what: "of what is shared", input: ({ open }) => ({ inode: open.file, mode: 0o600 }), ok: writers, denied: readersOnly },
    { what: "of the way", input: ({ shared }) => ({ inode: shared, mode: 0o755 }), ok: [admin], denied: without(seeShared, [admin]) },
    { what: "of what is not shared", input: ({ closed }) => ({ inode: closed.file, mode: 0o600 }), ok: [admin] },
  ],
  lookup: [
    { what: "what is shared", input: ({ open }) => ({ parent: open.directory, name: "file" }), ok: readers, denied: [expired] },
    { what: "the way", input: ({ shared }) => ({ parent: shared, name: "closed" }), ok: seeShared },
    { what: "in the root", input: () => ({ parent: 1, name: "shared" }), ok: people },
    { what: "what is not shared", input: ({ closed }) => ({ parent: closed.directory, name: "file" }), ok: [admin] },
    { what: "what was dropped", input: ({ drop }) => ({ parent: drop.directory, name: "file" }), ok: [admin, "dropper"] },
  ],
  rightsOn: [
    { what: "the root", input: () => ({ inode: 1 }), ok: people },
    { what: "the way", input: ({ shared }) => ({ inode: shared }), ok: seeShared },
    { what: "what is shared", input: ({ open }) => ({ inode: open.file }), ok: readers, denied: [expired] },
    { what: "what is not shared", input: ({ closed }) => ({ inode: closed.file }), ok: [admin] },
    { what: "write only", input: ({ drop }) => ({ inode: drop.directory }), ok: [admin, "dropper"] },
    { what: "what was dropped", input: ({ drop }) => ({ inode: drop.file }), ok: [admin] },
  ],
  makeNode: [
    { what: "in what is shared", input: ({ open, newName }) => fifo(open.directory, newName()), ok: writers, denied: readersOnly },
    { what: "in what is not shared", input: ({ closed, newName }) => fifo(closed.directory, newName()), ok: [admin] },
    { what: "write only", input: ({ drop, newName }) => fifo(drop.directory, newName()), ok: [admin, "dropper"] },
  ],
  link: [
    { what: "inside what is shared", input: (world) => link(world, "open", "open"), ok: writers, denied: readersOnly },
    {
      what: "below it, where nothing else is granted",
      input: ({ open, newName }) => ({ inode: open.file, to: { parent: open.sub, name: newName() } }),
      ok: writers,
      denied: readersOnly,
    },
    { what: "out of it", input: (world) => link(world, "open", "closed"), ok: [admin], denied: [expired] },
    { what: "into it", input: (world) => link(world, "closed", "open"), ok: [admin] },
    { what: "what was dropped", input: (world) => link(world, "drop", "drop"), ok: [admin] },
  ],
  exchange: [
    { what: "inside what is shared", input: (world) => exchange(world, "open", "open"), ok: writers, denied: readersOnly },
    {
      what: "with another directory",
      input: async (world) => ({ ...(await exchange(world, "open", "open")), other: await newPlace(world, world.open.sub) }),
      ok: editors,
      denied: without([...readers, expired], editors),
    },
    {
      what: "out of it",
      input: (world) => exchange(world, "open", "closed"),
      ok: [admin],
      denied: without([...readers, expired], editors),
    },
    { what: "into it", input: (world) => exchange(world, "closed", "open"), ok: [admin] },
  ],
  extendedAttributes: [
    { what: "of what is shared", input: ({ open }) => ({ inode: open.file }), ok: readers, denied: [expired] },
    { what: "of what is not shared", input: ({ closed }) => ({ inode: closed.file }), ok: [admin] },
    { what: "of what was dropped", input: ({ drop }) => ({ inode: drop.file }), ok: [admin] },
  ],
  setExtendedAttribute: [
    { what: "of what is shared", input: ({ open }) => setAttribute(open.file), ok: writers, denied: readersOnly },
    { what: "of what is not shared", input: ({ closed }) => setAttribute(closed.file), ok: [admin] },
    { what: "of what was dropped", input: ({ drop }) => setAttribute(drop.file), ok: [admin] },
  ],
  removeExtendedAttribute: [
    { what: "of what is shared", input: (world) => withAttribute(world, world.open.file), ok: writers, denied: readersOnly },
    { what: "of what is not shared", input: (world) => withAttribute(world, world.closed.file), ok: [admin] },
  ],
  open: [
    { what: "to read what is shared", input: ({ open }) => ({ inode: open.file, access: "read" }), ok: readers, denied: [expired] },
    { what: "to write what is shared", input: ({ open }) => ({ inode: open.file, access: "write" }), ok: writers, denied: readersOnly },
    { what: "what is not shared", input: ({ closed }) => ({ inode: closed.file, access: "read" }), ok: [admin] },
    { what: "what was dropped", input: ({ drop }) => ({ inode: drop.file, access: "write" }), ok: [admin] },
  ],
  watch: [{ what: "what changes, as far as one may read", input: () => ({ since: null }), ok: people }],
  yieldLease: [{ what: "what one has oneself", input: ({ open }) => ({ inode: open.file, locks: [] }), ok: people }],
  lock: [
    { what: "what is shared", input: ({ open }) => ({ ...lockOn(open.file, "read"), ...atOnce }), ok: readers, denied: [expired] },
    { what: "what is not shared", input: ({ closed }) => ({ ...lockOn(closed.file, "read"), ...atOnce }), ok: [admin] },
    { what: "no more", input: ({ closed }) => ({ ...lockOn(closed.file, "none"), ...atOnce }), ok: people },
  ],
  testLock: [
    { what: "what is shared", input: ({ open }) => lockOn(open.file, "read"), ok: readers, denied: [expired] },
    { what: "what is not shared", input: ({ closed }) => lockOn(closed.file, "read"), ok: [admin] },
  ],
  makeDurable: [{ what: "", input: () => ({}), ok: people }],
  hold: [
    // What is not for the caller is answered as gone.
    { what: "what is shared", input: ({ open }) => ({ inodes: [open.file] }), ok: people },
    { what: "what is not shared", input: ({ closed }) => ({ inodes: [closed.file] }), ok: people },
  ],
  release: [{ what: "what one holds oneself", input: () => ({ inodes: "all" }), ok: people }],
  remove: [
    {
      what: "from what is shared",
      input: async ({ open, newFile }) => ({ parent: open.directory, name: (await newFile(open.directory)).name, kind: "file" }),
      ok: editors,
      denied: without([...readers, expired], editors),
    },
    {
      what: "from the way",
      input: async ({ shared, newFile }) => ({ parent: shared, name: (await newFile(shared)).name, kind: "tree" }),
      ok: [admin],
      denied: without(seeShared, [admin]),
    },
    {
      what: "from what is not shared",
      input: async ({ closed, newFile }) => ({ parent: closed.directory, name: (await newFile(closed.directory)).name, kind: "file" }),
      ok: [admin],
    },
    {
      what: "from where only writing is allowed",
      input: async ({ drop, newFile }) => ({ parent: drop.directory, name: (await newFile(drop.directory)).name, kind: "file" }),
      ok: [admin],
      denied: ["dropper"],
    },
    {
      what: "a store",
      input: async ({ member, newName }) => ({ parent: 1, name: (await createStore(member.metadata, newName())).name, kind: "tree" }),
      ok: [admin],
      denied: others,
    },
  ],
  rename: [
    { what: "inside what is shared", input: (world) => rename(world, "open", "open"), ok: writers, denied: readersOnly },
    {
      what: "to another directory",
      input: async (world) => ({ ...(await rename(world, "open", "open")), to: { parent: world.open.sub, name: world.newName() } }),
      ok: editors,
      denied: without([...readers, expired], editors),
    },
    { what: "out of it", input: (world) => rename(world, "open", "closed"), ok: [admin], denied: without([...readers, expired], editors) },
    { what: "into it", input: (world) => rename(world, "closed", "open"), ok: [admin] },
    { what: "where only writing is allowed", input: (world) => rename(world, "drop", "drop"), ok: [admin, "dropper"] },
    {
      what: "a store",
      input: async ({ member, newName }) => ({
        from: { parent: 1, name: (await createStore(member.metadata, newName())).name },
        to: { parent: 1, name: newName() },
        replace: false,
      }),
      ok: [admin],
      denied: others,
    },
  ],
  clone: [
    { what: "inside what is shared", input: (world) => clone(world, "open", "open"), ok: writers, denied: readersOnly },
    { what: "out of what is not shared", input: (world) => clone(world, "closed", "open"), ok: [admin] },
    { what: "into what is not shared", input: (world) => clone(world, "open", "closed"), ok: [admin], denied: [expired] },
    { what: "what was dropped", input: (world) => clone(world, "drop", "drop"), ok: [admin] },
  ],
  usage: [
    { what: "of what is shared", input: ({ open }) => ({ inode: open.directory }), ok: readers, denied: [expired] },
    { what: "of the way", input: ({ shared }) => ({ inode: shared }), ok: [admin], denied: without(seeShared, [admin]) },
    { what: "of everything", input: () => ({ inode: 1 }), ok: [admin], denied: others },
    { what: "of what is not shared", input: ({ closed }) => ({ inode: closed.directory }), ok: [admin] },
  ],
  layout: [
    { what: "of what is shared", input: ({ open }) => ({ inode: open.file, after: -1, limit: 1 }), ok: readers, denied: [expired] },
    { what: "of what is not shared", input: ({ closed }) => ({ inode: closed.file, after: -1, limit: 1 }), ok: [admin] },
    { what: "of what was dropped", input: ({ drop }) => ({ inode: drop.file, after: -1, limit: 1 }), ok: [admin] },
  ],
  allocate: [
    { what: "in a store", input: ({ shared }) => allocate(shared), ok: [...writers, "dropper"], denied: readersOnly },
    { what: "in another store", input: (world) => allocate(world.private.directory), ok: [admin] },
  ],
  commit: [
    { what: "in what is shared", input: ({ open, newName }) => commit(at(open, newName)), ok: writers, denied: readersOnly },
    {
      what: "over a file",
      input: async ({ open, newFile }) => commit({ parent: open.directory, name: (await newFile(open.directory)).name }),
      ok: writers,
      denied: readersOnly,
    },
    { what: "in what is not shared", input: ({ closed, newName }) => commit(at(closed, newName)), ok: [admin] },
    {
      what: "here and there",
      input: ({ open, closed, newName }) => commit(at(open, newName), at(closed, newName)),
      ok: [admin],
      denied: readersOnly,
    },
    { what: "where only writing is allowed", input: ({ drop, newName }) => commit(at(drop, newName)), ok: [admin, "dropper"] },
    { what: "nothing", input: () => commit(), ok: [...writers, "dropper"], denied: without(people, writers, ["dropper"]) },
  ],
  locate: [
    { what: "what is shared", input: ({ open }) => ({ files: [range(open.file)] }), ok: readers, denied: [expired] },
    { what: "what is not shared", input: ({ closed }) => ({ files: [range(closed.file)] }), ok: [admin] },
    { what: "both", input: ({ open, closed }) => ({ files: [range(open.file), range(closed.file)] }), ok: [admin], denied: [expired] },
    { what: "what was dropped", input: ({ drop }) => ({ files: [range(drop.file)] }), ok: [admin] },
  ],
  verifyTickets: [
    {
      what: "in a store",
      input: async (world) => ({ store: world.shared, chunks: [await chunkOf(world, world.open.file)] }),
      ok: readers,
      denied: ["dropper", expired],
    },
    {
      what: "in another store",
      input: async (world) => ({ store: world.private.directory, chunks: [await chunkOf(world, world.private.file)] }),
      ok: [admin],
    },
  ],
  reportCopies: [
    {
      what: "in a store",
      input: async (world) => ({ store: world.shared, node: nodeName, chunks: [await chunkOf(world, world.open.file)] }),
      ok: readers,
      denied: ["dropper", expired],
    },
    {
      what: "in another store",
      input: async (world) => ({ store: world.private.directory, node: nodeName, chunks: [await chunkOf(world, world.private.file)] }),
      ok: [admin],
    },
  ],
  createStore: [
    { what: "", input: ({ newName }) => ({ name: newName(), policy: defaultStorePolicy }), ok: [admin], denied: others },
    { what: "that exists", input: () => ({ name: "private", policy: defaultStorePolicy }), ok: [], denied: others },
  ],
  listStores: [{ what: "", input: () => ({}), ok: people }],
  setStore: [
    { what: "", input: () => ({ name: "shared", policy: {} }), ok: [admin], denied: others },
    { what: "that does not exist", input: () => ({ name: "nothing", policy: {} }), ok: [], denied: others },
  ],
  removeStore: [{ what: "", input: () => ({ name: "shared", dryRun: true }), ok: [admin], denied: others }],
  storeKey: [
    { what: "", input: ({ shared }) => ({ store: shared }), ok: [...readers, "dropper"], denied: [expired] },
    { what: "of another store", input: (world) => ({ store: world.private.directory }), ok: [admin] },
    { what: "of what is no store", input: ({ open }) => ({ store: open.directory }), ok: [] },
  ],
  grantAccess: [
    {
      what: "to read",
      input: ({ open }) => grant(open.directory, "read"),
      ok: [admin, "sharer"],
      denied: without([...readers, expired], [admin, "sharer"]),
    },
    { what: "to write", input: ({ open }) => grant(open.directory, "write"), ok: [admin], denied: without([...readers, expired], [admin]) },
    { what: "on the way", input: ({ shared }) => grant(shared, "read"), ok: [admin], denied: without(seeShared, [admin]) },
    { what: "on what is not shared", input: ({ closed }) => grant(closed.directory, "read"), ok: [admin] },
  ],
  listAccess: [
    { what: "everywhere", input: () => ({}), ok: people },
    { what: "on what is shared", input: ({ open }) => ({ inode: open.directory }), ok: readers, denied: [expired] },
    { what: "on what is not shared", input: ({ closed }) => ({ inode: closed.directory }), ok: [admin] },
  ],
  revokeAccess: [
    { what: "what another granted", input: (world) => granted(world, alice), ok: [admin], denied: ["sharer", expired] },
    {
      what: "what the sharer granted",
      input: (world) => granted(world, callers.sharer.identity.name),
      ok: [admin, "sharer"],
      denied: [expired],
    },
    {
      what: "on what is not shared",
      input: ({ closed }) => ({ inode: closed.directory, subject: "nobody@garage.collective.local" }),
      ok: [],
    },
  ],
  heartbeat: [
    {
      what: "",
      input: ({ node }) => ({
        address: node.address,
        capacityBytes: 1e9,
        usedBytes: 0,
        freeBytes: 1e9,
        chunkCount: 0,
        version: "0",
        guests: [],
      }),
      ok: ["node"],
      denied: people,
    },
  ],
  status: [{ what: "", input: () => ({}), ok: ofHome, denied: ofGarage }],
  gossip: [
    {
      what: "news",
      input: () => ({ message: encodeGossip({ kind: "news", news: [] }) }),
      ok: ["coordinator of another member"],
      denied: people,
    },
  ],
  addPeer: [{ what: "", input: ({ peerCode }) => ({ code: peerCode }), ok: [admin], denied: others }],
  connectPeer: [
    { what: "whom nobody vouches for", input: () => ({ member: "nobody@nowhere.collective.local" }), ok: [], denied: others },
    { what: "that is a peer", input: () => ({ member: bob }), ok: [admin], denied: others },
  ],
  removePeer: [{ what: "", input: () => ({ member: carol }), ok: [admin], denied: others }],
  listPeers: [{ what: "", input: () => ({}), ok: ofHome, denied: ofGarage }],
  showPledge: [{ what: "", input: () => ({}), ok: ofHome, denied: ofGarage }],
  setPledge: [{ what: "", input: () => ({ pledgedBytes: 1_000 }), ok: [admin], denied: others }],
  host: [
    {
      what: "",
      input: ({ node }) => ({ holder: bob, nodes: [{ node: node.name, chunks: [{ id: "a".repeat(64), storedBytes: 74 }] }] }),
      ok: ["coordinator of another member"],
      denied: people,
    },
  ],
  findPeer: [{ what: "", input: () => ({ member: bob }), ok: ofHome, denied: ofGarage }],
  renewCertificate: [
    {
      what: "",
      input: ({ credentials }, kind) => csr(credentials[kind].privateKeyPem),
      ok: [...ofHome, "node", "coordinator"],
      denied: ofGarage,
    },
  ],
  issueCertificate: [
    {
      what: "",
      input: async () => ({ ...(await csr(generateKeyPair().privateKeyPem)), kind: "user", name: "eve" }),
      ok: [admin],
      denied: others,
    },
  ],
  revoke: [{ what: "", input: () => ({ who: "mallory", kind: "user" }), ok: [admin], denied: others }],
  listAudit: [{ what: "", input: () => ({ limit: 10 }), ok: [admin], denied: others }],
  createInvite: [
    {
      what: "",
      input: () => ({ kind: "person", grants: [], usesMax: 1, validityMs: 3_600_000, description: "" }),
      ok: [admin],
      denied: others,
    },
  ],
  listInvites: [{ what: "", input: () => ({}), ok: [admin], denied: others }],
  revokeInvite: [{ what: "", input: async (world) => ({ invite: { id: await newInvite(world) } }), ok: [admin], denied: others }],
};

type PlaceName = "open" | "closed" | "drop";

function at({ directory: parent }: { readonly directory: number }, newName: () => string) {
  return { parent, name: newName() };
}

async function rename(world: RightsWorld, from: PlaceName, to: PlaceName) {
  const { name } = await world.newFile(world[from].directory);
  return { from: { parent: world[from].directory, name }, to: at(world[to], world.newName), replace: false };
}

/** Of a file of its own: who may read it is another matter afterwards. */
async function link(world: RightsWorld, from: PlaceName, to: PlaceName) {
  return { inode: (await world.newFile(world[from].directory)).inode, to: at(world[to], world.newName) };
}

async function newPlace({ newFile }: RightsWorld, directory: Inode) {
  return { parent: directory, name: (await newFile(directory)).name };
}

async function exchange(world: RightsWorld, from: PlaceName, to: PlaceName) {
  return { one: await newPlace(world, world[from].directory), other: await newPlace(world, world[to].directory) };
}

async function withAttribute({ member }: RightsWorld, inode: Inode) {
  await member.metadata.setExtendedAttribute(inode, { name: "user.b", value: new Uint8Array(1) }, "either");
  return { inode, name: "user.b" };
}

function clone(world: RightsWorld, from: PlaceName, to: PlaceName) {
  return { source: world[from].file, to: at(world[to], world.newName), replace: false };
}

function allocate(store: number) {
  const chunks = [{ id: "ab".repeat(32), storedBytes: 100, codec: "none" as const }];
  return { upload: newUpload(), store, chunks, exclude: [], receipts: [] };
}

function grant(inode: number, right: "read" | "write") {
  return { inode, subject: someone, rights: [right] };
}
