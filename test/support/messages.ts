/** One valid message of every kind, to send, to compare and to spoil. */
import { chunkIdToBytes, parseGlobalName, parseInode, siteOf } from "../../protocol/ids.ts";
import { parseSubjectPattern } from "../../protocol/rights.ts";
import type { RouteInput, RouteName, RouteOutput, routes } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { chunkId, knownNode } from "./metadata.ts";

const inode = 7;
const entry = { parent: inode, name: "ä.mkv" };
const mtimeNs = 1_700_000_000_123_456_789n;
const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
const node = "node-01@home.collective.local";
const receipts = [{ node, receipt: bytes }];
const extents = [
  { chunk: chunkId("a"), plainBytes: 65_536 },
  { chunk: chunkId("b"), plainBytes: 17 },
];
const changes = [
  { offset: 4_096, extents: [{ chunk: chunkId("a"), plainBytes: 100, chunkOffset: 17, chunkBytes: 4_096 }] },
  { offset: 65_536, extents: [{ chunk: null, plainBytes: 1 }] },
];
const file = { ...entry, mode: 0o644, mtimeNs, sizeBytes: 65_553, extents, replaces: { inode, version: 3 } };

type Inputs = { readonly [K in RouteName]: RouteInput<(typeof routes)[K]> };
/** As they come out of the schema, which is also how they go in. */
type Outputs = { readonly [K in RouteName]: RouteOutput<(typeof routes)[K]> };

export const lock = { style: "posix", owner: "a1", type: "write", startByte: 5, endByte: null, pid: 12 } as const;
const news = {
  ...{ cursor: { epoch: "e", at: 7 }, reset: false },
  ...{ changed: [parseInode(8)], renamed: [parseInode(9)], recalled: [parseInode(7)] },
};

export const sampleInputs: Inputs = {
  resolve: { components: ["media", "films", "a.mkv"] },
  list: { inode, after: "b", limit: 100 },
  getAttr: { inode },
  makeDirectories: { directories: [{ ...entry, mode: 0o755 }], existing: "keep" },
  makeSymlinks: { links: [{ ...entry, target: "../a", mtimeNs }], existing: "fail" },
  setAttr: { inode, mode: 0o4600, uid: 0, atimeNs: "now", mtimeNs: -1n },
  lookup: entry,
  rightsOn: { inode },
  makeNode: { ...entry, type: "character_device", mode: 0o600, device: 259, uid: 0, gid: 6 },
  link: { inode, to: entry },
  exchange: { one: entry, other: { parent: 8, name: "b" } },
  extendedAttributes: { inode },
  setExtendedAttribute: { inode, attribute: { name: "user.colour", value: bytes }, existing: "create" },
  removeExtendedAttribute: { inode, name: "user.colour" },
  open: { inode, access: "read_write" },
  yieldLease: { inode, locks: [lock] },
  lock: { inode, lock, wait: true, since: null },
  testLock: { inode, lock: { ...lock, type: "none" } },
  makeDurable: {},
  hold: { inodes: [inode, 8] },
  release: { inodes: "all" },
  watch: { since: { epoch: "e", at: 5 } },
  remove: { ...entry, kind: "tree" },
  rename: { from: entry, to: { parent: 8, name: "b" }, replace: true },
  clone: { source: inode, to: entry, replace: false },
  usage: { inode },
  layout: { inode, after: -1, limit: 10 },
  allocate: {
    upload: "an-upload-of-a-test",
    store: inode,
    chunks: [{ id: chunkId("a"), storedBytes: 100, codec: "zstd" }],
    exclude: [node],
    receipts,
  },
  commit: { upload: "an-upload-of-a-test", files: [file, { ...file, inode, extents: undefined, changes }], receipts, last: true },
  locate: { files: [{ inode, offset: 5, lengthBytes: 10, ifVersion: 1 }] },
  verifyTickets: { store: inode, chunks: [chunkId("a")] },
  reportCopies: { store: inode, node, chunks: [chunkId("a")] },
  createStore: { name: "media", policy: defaultStorePolicy },
  listStores: {},
  setStore: { name: "media", policy: { replicas: 3, quotaBytes: null } },
  removeStore: { name: "media", dryRun: true },
  storeKey: { store: inode },
  grantAccess: { inode, subject: "*@garage.collective.local", rights: ["read", "write"], validityMs: 60_000 },
  listAccess: { inode },
  revokeAccess: { inode, subject: "dora@home.collective.local" },
  heartbeat: {
    ...{ address: "127.0.0.1:7001", capacityBytes: 100, usedBytes: 10, freeBytes: 90, chunkCount: 3, version: "0.1.0" },
    guests: [{ site: "garage.collective.local", usedBytes: 5, chunkCount: 2 }],
  },
  status: {},
  gossip: { message: bytes },
  addPeer: { code: "2075M-Q451R" },
  connectPeer: { member: "bob@garage.collective.local", address: "nas.example:8001" },
  removePeer: { member: "bob@garage.collective.local" },
  listPeers: {},
  findPeer: { member: "bob@garage.collective.local" },
  showPledge: {},
  setPledge: { pledgedBytes: 1_000 },
  host: {
    holder: "dora@home.collective.local",
    nodes: [{ node: "node-01@garage.collective.local", chunks: [{ id: chunkId("a"), storedBytes: 74 }] }],
  },
  renewCertificate: { csrPem: "-----BEGIN CERTIFICATE REQUEST-----" },
  revoke: { who: "mallory", kind: "user" },
  listAudit: { beforeSeq: 100, limit: 10 },
  issueCertificate: { csrPem: "-----BEGIN CERTIFICATE REQUEST-----", kind: "node", name: "node-01", validityMs: 1_000 },
  createInvite: {
    ...{ kind: "person", name: "dora", usesMax: 10, validityMs: 86_400_000, description: "for dora", addresses: ["nas.home:9001"] },
    grants: [{ components: ["media", "films"], rights: ["read", "write"] }],
  },
  listInvites: {},
  revokeInvite: { invite: { secretHash: bytes } },
};

const name = parseGlobalName(node);
const attr = {
  inode: parseInode(inode),
  type: "symlink" as const,
  sizeBytes: 4,
  mode: 0o777,
  mtimeNs,
  ctimeNs: mtimeNs,
  atimeNs: mtimeNs,
  uid: 1_000,
  gid: null,
  links: 2,
  extendedAttributes: 1,
  owner: "dora@home.collective.local",
  version: 1,
  store: parseInode(2),
  target: "../a",
};
const ticketed = { node: name, address: "127.0.0.1:7001", ticket: bytes };
const usage = { files: 1, directories: 2, logicalBytes: 3, storedBytes: 4 };
const store = {
  ...{ inode: parseInode(2), name: "media", owner: "dora@home.collective.local", createdMs: 1_000, policy: defaultStorePolicy },
  ...{ files: 1, logicalBytes: 2, chunks: 3, storedBytes: 4, degradedChunks: 0 },
};
const { publicKeyRaw: _, ...summary } = knownNode(name);
const invite = {
  ...{ id: "k7m2q9xa", kind: "person" as const, name: null, usesMax: 10, uses: 1, description: "", createdBy: name },
  ...{ createdMs: 1_000, expiresMs: 2_000, revokedMs: null },
  grants: [{ path: "/media/films", rights: ["read" as const] }],
};

const grant: RouteOutput<typeof routes.grantAccess> = {
  ...{ path: "/media/films", subject: parseSubjectPattern("*@garage.collective.local"), rights: ["read", "share"], inForce: ["read"] },
  ...{ grantedBy: parseGlobalName("dora@home.collective.local"), grantedMs: 1_000, expiresMs: null },
};
const certificate = { certificatePem: "-----BEGIN CERTIFICATE-----", authorityPem: "-----BEGIN CERTIFICATE-----" };

const pledge = { pledgedBytes: 10, givenBytes: 5, takenBytes: 4, capacityBytes: 100, shareBytes: 10, giveToGet: 1 };

export const sampleOutputs: Outputs = {
  resolve: { parent: attr, attr: null },
  list: { entries: [{ name: "a", attr }], more: true },
  getAttr: attr,
  makeDirectories: { attrs: [attr] },
  makeSymlinks: { attrs: [attr] },
  setAttr: attr,
  lookup: { attr },
  rightsOn: { rights: ["read", "write"] },
  makeNode: attr,
  link: attr,
  exchange: {},
  extendedAttributes: { attributes: [{ name: "user.colour", value: bytes }] },
  setExtendedAttribute: {},
  removeExtendedAttribute: {},
  open: { attr, leased: true },
  yieldLease: { kept: true },
  lock: { granted: true, news },
  testLock: { obstacle: lock },
  makeDurable: {},
  hold: { gone: [parseInode(8)] },
  release: {},
  watch: news,
  remove: { changedNs: 1_700_000_000_000_000_001n },
  rename: {},
  clone: attr,
  usage,
  layout: {
    chunks: [{ offset: 0, id: chunkId("a"), plainBytes: 10, storedBytes: 74, codec: "none", copies: [{ node: name, state: "stored" }] }],
    more: false,
  },
  allocate: { targets: [[0], []], stored: [0, 1], nodes: [ticketed] },
  commit: { attrs: [attr], degradedChunks: 1, leased: true, because: ["bob lends nothing"] },
  locate: {
    files: [
      {
        ...{ version: 1, sizeBytes: 10, store: parseInode(2) },
        extents: [{ offset: 0, chunk: chunkId("a"), plainBytes: 10, chunkOffset: 2, chunkBytes: 20, storedBytes: 74, nodes: [0] }],
        endOffset: 10,
      },
    ],
    nodes: [ticketed],
  },
  verifyTickets: { copies: [[0]], nodes: [ticketed] },
  reportCopies: { states: ["damaged"] },
  createStore: store,
  listStores: { stores: [store] },
  setStore: store,
  removeStore: usage,
  storeKey: { key: bytes, encrypt: true },
  grantAccess: grant,
  listAccess: { grants: [grant] },
  revokeAccess: {},
  heartbeat: {
    ...{ nowMs: 1_000, coordinatorCertificatePem: "-----BEGIN CERTIFICATE-----" },
    withdrawals: { revision: "r", lists: [{ issuer: siteOf(name), list: [{ holder: "*@garage.collective.local", untilMs: 1_000 }] }] },
    trust: { revision: "r", authorities: [{ authorityPem: "-----BEGIN CERTIFICATE-----", coordinatorPem: "-----BEGIN CERTIFICATE-----" }] },
  },
  status: {
    ...{ member: name, address: "127.0.0.1:8001", version: "0.1.0", uptimeMs: 5, health: "degraded", healthScore: 80, reasons: ["one"] },
    nodes: [{ ...summary, name, state: "alive" }],
    totals: { files: 1, chunks: 2, degradedChunks: 3, lostChunks: 0 },
    elsewhere: {
      nodes: [{ name, member: name, state: "alive", freeBytes: 5, latencyMs: 1.5, memberFreeBytes: 4, othersFreeBytes: 3 }],
      limits: [{ limit: "3 of 3 used", raise: "pledge more" }],
    },
  },
  gossip: { message: bytes },
  addPeer: { member: name, address: "127.0.0.1:8001" },
  connectPeer: { address: "127.0.0.1:8001", trust: "introduced", introducer: name },
  removePeer: {},
  listPeers: {
    peers: [
      {
        ...{
          member: name,
          address: "127.0.0.1:8001",
          state: "suspect",
          introducer: null,
          underRoot: false,
          addedMs: 1_000,
          latencyMs: 1.5,
          shares: true,
        },
        nodes: [{ name, address: "127.0.0.1:7001", state: "alive", capacityBytes: 10, freeBytes: 5 }],
        pledge: { pledgedBytes: 10, givenBytes: 5, takenBytes: 4, givenHereBytes: 3, takenHereBytes: 2 },
      },
    ],
    vouched: [{ member: name, address: null, introducers: [name] }],
  },
  findPeer: { address: "127.0.0.1:8001", authorityPem: "-----BEGIN CERTIFICATE-----" },
  showPledge: pledge,
  setPledge: pledge,
  host: {
    nodes: [{ ...ticketed, publicKeyRaw: bytes }],
    refused: [{ node: name, code: "quota_exceeded", message: "bob takes no more", hint: "pledge more" }],
  },
  renewCertificate: certificate,
  issueCertificate: certificate,
  createInvite: { code: "2075M-Q451R", addresses: ["nas.home:9001"], invite },
  listInvites: { invites: [invite] },
  revokeInvite: invite,
  revoke: { kind: "user", name: "dora@home.collective.local" },
  listAudit: {
    entries: [{ seq: 1, atMs: 1_000, actor: name, action: "person.joined", subject: "dora@home.collective.local", details: { a: [1] } }],
  },
};

/** Of the data API, as they are encoded. */
export const sampleBatches = {
  storeMany: { chunks: [{ id: chunkIdToBytes(chunkId("a")), data: bytes }] },
  chunkIds: { ids: [chunkIdToBytes(chunkId("a")), chunkIdToBytes(chunkId("b"))] },
  fetchedMany: { chunks: [bytes, null] },
  verifiedMany: { states: ["ok", "missing"] },
  deletedMany: { deletedBytes: 5 },
  replicate: { source: ticketed, chunks: [{ id: chunkIdToBytes(chunkId("a")), storedBytes: 74 }] },
  replicated: { receipt: bytes, failed: [{ id: chunkIdToBytes(chunkId("b")), code: "not_found", message: "no" }] },
  error: { code: "conflict", message: "no", hint: "try", details: { version: 3 } },
} as const;
