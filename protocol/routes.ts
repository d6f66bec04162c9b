/**
 * The control API, defined once: the coordinator serves these routes and clients call them, both
 * typed by the same object. Every route is a POST of one msgpack value that answers one msgpack
 * value, or an error body with the status of its code. Unknown fields are ignored, so that a newer
 * peer may say more.
 */
import { z } from "zod";
import { federationRoutes } from "./federation-routes.ts";
import { identityKinds } from "./ids.ts";
import { inodeRoutes } from "./inode-routes.ts";
import {
  bootstrapAddressesMax,
  grantsPerInviteMax,
  inviteDescriptionCharactersMax,
  inviteKinds,
  inviteUsesMax,
  inviteValidityMsMax,
  inviteValidityMsMin,
} from "./invite.ts";
import { auditPageEntriesMax, chunksPerTicketMax, directoryPageEntriesMax, filesPerCommitMax } from "./limits.ts";
import { rightsSchema } from "./rights.ts";
import { type Route, route } from "./route.ts";
import {
  accessGrantSchema,
  attrSchema,
  bytesSchema,
  chunkCodecs,
  chunkIdSchema,
  chunkPartSchema,
  componentsSchema,
  copyStates,
  elsewhereSchema,
  entryRefSchema,
  entrySchema,
  fileCommitSchema,
  globalNameSchema,
  healthSchema,
  heartbeatSchema,
  inodeSchema,
  listedStoreSchema,
  modeSchema,
  nameSchema,
  nodeSchema,
  nodeTrustSchema,
  offeredChunkSchema,
  posixOwnerSchema,
  sizeSchema,
  storePolicySchema,
  storeSchema,
  subjectSchema,
  symlinkTargetSchema,
  ticketedNodeSchema,
  timeNsSchema,
  totalsSchema,
  withdrawalsSchema,
} from "./schema.ts";
import { sessionRoutes } from "./session-routes.ts";

const empty = z.object({});
/** Signed receipts as nodes gave them, see protocol/ticket.ts. */
const receiptsSchema = z.array(z.object({ node: globalNameSchema, receipt: bytesSchema })).max(chunksPerTicketMax * 16);
const uploadIdSchema = z.string().min(16).max(64);
const inviteSchema = z.object({
  id: z.string(),
  kind: z.enum(inviteKinds),
  name: globalNameSchema.nullable(),
  /** A path is null when the directory is gone: then the code cannot be redeemed. */
  grants: z.array(z.object({ path: z.string().nullable(), rights: rightsSchema })),
  usesMax: sizeSchema,
  uses: sizeSchema,
  description: z.string(),
  createdMs: z.number(),
  createdBy: globalNameSchema,
  expiresMs: z.number(),
  revokedMs: z.number().nullable(),
});
export type InviteSummary = z.output<typeof inviteSchema>;

export const routes = {
  /** Walks from the root. `attr` is null when only the last component is missing; a missing parent is `not_found`. */
  resolve: route("/v1/fs/resolve", {
    input: z.object({ components: componentsSchema }),
    output: z.object({ parent: attrSchema.nullable(), attr: attrSchema.nullable() }),
    idempotent: true,
  }),
  /** Sorted by the names' UTF-8 bytes. */
  list: route("/v1/fs/list", {
    input: z.object({ inode: inodeSchema, after: z.string().optional(), limit: z.number().int().min(1).max(directoryPageEntriesMax) }),
    output: z.object({ entries: z.array(entrySchema), more: z.boolean() }),
    idempotent: true,
  }),
  /** A directory in the root becomes a datastore with the default policy. With `existing: "keep"` an existing directory is returned as it is. */
  makeDirectories: route("/v1/fs/mkdir", {
    input: z.object({
      directories: z
        .array(z.object({ ...entryRefSchema.shape, ...posixOwnerSchema.shape, mode: modeSchema }))
        .min(1)
        .max(filesPerCommitMax),
      existing: z.enum(["keep", "fail"]),
    }),
    output: z.object({ attrs: z.array(attrSchema) }),
    idempotent: false,
  }),
  makeSymlinks: route("/v1/fs/symlink", {
    input: z.object({
      links: z
        .array(z.object({ ...entryRefSchema.shape, ...posixOwnerSchema.shape, target: symlinkTargetSchema, mtimeNs: timeNsSchema }))
        .min(1)
        .max(filesPerCommitMax),
      /** Left out, an existing link of the same name is replaced. */
      existing: z.enum(["replace", "fail"]).optional(),
    }),
    output: z.object({ attrs: z.array(attrSchema) }),
    idempotent: false,
  }),
  remove: route("/v1/fs/remove", {
    input: entryRefSchema.extend({ kind: z.enum(["file", "directory", "tree"]) }),
    output: z.object({ changedNs: timeNsSchema }),
    idempotent: false,
  }),
  rename: route("/v1/fs/rename", {
    input: z.object({ from: entryRefSchema, to: entryRefSchema, replace: z.boolean() }),
    output: empty,
    idempotent: false,
  }),
  /** A second file with the same chunks, inside one datastore; no byte moves. */
  clone: route("/v1/fs/clone", {
    input: z.object({ source: inodeSchema, to: entryRefSchema, replace: z.boolean() }),
    output: attrSchema,
    idempotent: false,
  }),
  usage: route("/v1/fs/usage", {
    input: z.object({ inode: inodeSchema }),
    output: z.object({ files: sizeSchema, directories: sizeSchema, logicalBytes: sizeSchema, storedBytes: sizeSchema }),
    idempotent: true,
  }),
  /** What a file consists of in order, holes left out, with where the copies are. */
  layout: route("/v1/fs/layout", {
    input: z.object({ inode: inodeSchema, after: z.number().int().min(-1), limit: z.number().int().min(1).max(directoryPageEntriesMax) }),
    output: z.object({
      chunks: z.array(
        z.object({
          offset: sizeSchema,
          id: chunkIdSchema,
          plainBytes: sizeSchema,
          ...chunkPartSchema.shape,
          storedBytes: sizeSchema,
          codec: z.enum(chunkCodecs),
          copies: z.array(z.object({ node: globalNameSchema, state: z.enum(copyStates) })),
        }),
      ),
      more: z.boolean(),
    }),
    idempotent: true,
  }),

  ...inodeRoutes,
  ...sessionRoutes,

  /**
   * Announces chunks of an upload: which of them are stored well enough already, and where the
   * others go. `receipts` of earlier chunks make those known, so an upload that is cut off resumes.
   */
  allocate: route("/v1/uploads/allocate", {
    input: z.object({
      upload: uploadIdSchema,
      store: inodeSchema,
      chunks: z.array(offeredChunkSchema).max(chunksPerTicketMax),
      exclude: z.array(globalNameSchema).max(64),
      receipts: receiptsSchema,
    }),
    output: z.object({
      /** By chunk: indexes into `nodes` to send it to; empty when enough copies exist. */
      targets: z.array(z.array(sizeSchema)),
      /** By chunk: copies that exist already. */
      stored: z.array(sizeSchema),
      nodes: z.array(ticketedNodeSchema),
    }),
    idempotent: true,
  }),
  /** Publishes files, all or none, durable when it answers unless told. A changed version is `conflict`, a chunk without a confirmed copy too. */
  commit: route("/v1/uploads/commit", {
    input: z.object({
      upload: uploadIdSchema,
      files: z.array(fileCommitSchema).max(filesPerCommitMax),
      receipts: receiptsSchema,
      /** The upload ends with this commit: what it announced and did not commit may be collected. */
      last: z.boolean(),
      /** A power failure may undo it until `makeDurable`. */
      isRelaxed: z.boolean().optional(),
    }),
    output: z.object({
      attrs: z.array(attrSchema),
      degradedChunks: sizeSchema,
      /** New files are open to this client alone, as by `open`. */
      leased: z.boolean(),
      /** Why chunks may have fewer copies than asked for, in words; for people of the own site. */
      because: z.array(z.string()),
    }),
    idempotent: false,
  }),
  /** Chunks of ranges of files, copies in the order to try them, and tickets to fetch them. At most `chunksPerTicketMax` chunks; the rest is asked again. */
  locate: route("/v1/files/locate", {
    input: z.object({
      files: z
        .array(z.object({ inode: inodeSchema, offset: sizeSchema, lengthBytes: sizeSchema, ifVersion: sizeSchema.optional() }))
        .min(1)
        .max(chunksPerTicketMax),
    }),
    output: z.object({
      files: z.array(
        z.object({
          version: sizeSchema,
          sizeBytes: sizeSchema,
          store: inodeSchema,
          /** How far the answer reaches; what no extent covers before that is a hole. Left out by who knows no holes. */
          endOffset: sizeSchema.optional(),
          extents: z.array(
            z.object({
              offset: sizeSchema,
              chunk: chunkIdSchema,
              plainBytes: sizeSchema,
              ...chunkPartSchema.shape,
              storedBytes: sizeSchema,
              nodes: z.array(sizeSchema),
            }),
          ),
        }),
      ),
      nodes: z.array(ticketedNodeSchema),
    }),
    idempotent: true,
  }),
  /** Tickets to have copies checked where they lie. */
  verifyTickets: route("/v1/files/verify", {
    input: z.object({ store: inodeSchema, chunks: z.array(chunkIdSchema).min(1).max(chunksPerTicketMax) }),
    output: z.object({ copies: z.array(z.array(sizeSchema)), nodes: z.array(ticketedNodeSchema) }),
    idempotent: true,
  }),
  /** A copy that a client could not verify: the coordinator has the node check it, and the node quarantines it. */
  reportCopies: route("/v1/files/report", {
    input: z.object({ store: inodeSchema, node: globalNameSchema, chunks: z.array(chunkIdSchema).min(1).max(chunksPerTicketMax) }),
    output: z.object({ states: z.array(z.enum(["ok", "damaged", "missing"])) }),
    idempotent: true,
  }),

  createStore: route("/v1/stores/create", {
    input: z.object({ name: nameSchema, policy: storePolicySchema }),
    output: storeSchema,
    idempotent: false,
  }),
  listStores: route("/v1/stores/list", { input: empty, output: z.object({ stores: z.array(listedStoreSchema) }), idempotent: true }),
  setStore: route("/v1/stores/set", {
    input: z.object({ name: nameSchema, policy: storePolicySchema.partial() }),
    output: storeSchema,
    idempotent: true,
  }),
  removeStore: route("/v1/stores/remove", {
    input: z.object({ name: nameSchema, dryRun: z.boolean() }),
    output: z.object({ files: sizeSchema, directories: sizeSchema, logicalBytes: sizeSchema, storedBytes: sizeSchema }),
    idempotent: false,
  }),
  /** The key that the chunks of a store are encrypted with, for whoever may read or write something in it. */
  storeKey: route("/v1/stores/key", {
    input: z.object({ store: inodeSchema }),
    output: z.object({ key: bytesSchema, encrypt: z.boolean() }),
    idempotent: true,
  }),

  /** Gives rights on a directory and all below it. Replaces what the caller granted to the same subject there. */
  grantAccess: route("/v1/access/grant", {
    input: z.object({
      inode: inodeSchema,
      subject: subjectSchema,
      rights: rightsSchema,
      /** From now on; without it as long as the caller has the rights itself. */
      validityMs: z.number().int().positive().optional(),
    }),
    output: accessGrantSchema,
    idempotent: true,
  }),
  /** Grants on a directory and below it, or all: those that the caller may share, and those to the caller. */
  listAccess: route("/v1/access/list", {
    input: z.object({ inode: inodeSchema.optional() }),
    output: z.object({ grants: z.array(accessGrantSchema) }),
    idempotent: true,
  }),
  revokeAccess: route("/v1/access/revoke", {
    input: z.object({ inode: inodeSchema, subject: subjectSchema }),
    output: empty,
    idempotent: false,
  }),

  heartbeat: route("/v1/nodes/heartbeat", {
    /** `withdrawals` and `trust`: the revisions that the node has. `roundTripMs`: how long the heartbeat before took. */
    input: heartbeatSchema.extend({
      withdrawals: z.string().max(64).optional(),
      trust: z.string().max(64).optional(),
      roundTripMs: z.number().nonnegative().optional(),
    }),
    output: z.object({
      nowMs: z.number(),
      coordinatorCertificatePem: z.string(),
      /** Each whole, when the node has another revision. */
      withdrawals: withdrawalsSchema.optional(),
      trust: nodeTrustSchema.optional(),
    }),
    idempotent: true,
  }),
  status: route("/v1/status", {
    input: empty,
    output: z.object({
      member: globalNameSchema,
      address: z.string(),
      version: z.string(),
      uptimeMs: z.number(),
      health: healthSchema,
      healthScore: z.number(),
      reasons: z.array(z.string()),
      nodes: z.array(nodeSchema),
      totals: totalsSchema,
      elsewhere: elsewhereSchema,
    }),
    idempotent: true,
  }),

  ...federationRoutes,

  /** A new certificate for the caller's own identity and key. The one route that is open to a certificate which has expired. */
  renewCertificate: route("/v1/auth/renew", {
    input: z.object({ csrPem: z.string().max(8192) }),
    output: z.object({ certificatePem: z.string(), authorityPem: z.string() }),
    idempotent: true,
  }),
  /** A certificate for somebody else, by the administrator. */
  issueCertificate: route("/v1/auth/issue", {
    input: z.object({
      csrPem: z.string().max(8192),
      kind: z.enum(identityKinds),
      name: z.string(),
      validityMs: z.number().int().positive().optional(),
    }),
    output: z.object({ certificatePem: z.string(), authorityPem: z.string() }),
    idempotent: true,
  }),

  /** Answers the code, which is kept nowhere: only the hash of its secret is. */
  createInvite: route("/v1/invites/create", {
    input: z.object({
      kind: z.enum(inviteKinds),
      /** `dora` or `dora@home.collective.local`: the code is for that name, and may add a key to one that is taken. */
      name: z.string().max(255).optional(),
      grants: z.array(z.object({ components: componentsSchema, rights: rightsSchema })).max(grantsPerInviteMax),
      usesMax: z.number().int().min(1).max(inviteUsesMax),
      validityMs: z.number().int().min(inviteValidityMsMin).max(inviteValidityMsMax),
      description: z.string().max(inviteDescriptionCharactersMax),
      /** Where the code leads to, `host:port`, in place of the coordinator's own bootstrap addresses. */
      addresses: z.array(z.string().max(300)).min(1).max(bootstrapAddressesMax).optional(),
    }),
    output: z.object({ code: z.string(), addresses: z.array(z.string()), invite: inviteSchema }),
    idempotent: false,
  }),
  /** Oldest first. Never a secret. */
  listInvites: route("/v1/invites/list", { input: empty, output: z.object({ invites: z.array(inviteSchema) }), idempotent: true }),
  /** By its id, or by the SHA-256 of its secret for whoever has only the code. */
  revokeInvite: route("/v1/invites/revoke", {
    input: z.object({ invite: z.union([z.object({ id: z.string().max(64) }), z.object({ secretHash: bytesSchema })]) }),
    output: inviteSchema,
    idempotent: true,
  }),

  /** A person or node with all its keys, or one certificate by its serial; by the administrator. `kind` is needed where a name is both. */
  revoke: route("/v1/auth/revoke", {
    input: z.object({ who: z.string().max(300), kind: z.enum(["user", "node"]).optional() }),
    output: z.object({ kind: z.enum(["user", "node", "certificate"]), name: z.string() }),
    idempotent: true,
  }),
  /** Newest first; for the administrator. */
  listAudit: route("/v1/auth/log", {
    input: z.object({ beforeSeq: sizeSchema.optional(), limit: z.number().int().min(1).max(auditPageEntriesMax) }),
    output: z.object({
      entries: z.array(
        z.object({
          seq: sizeSchema,
          atMs: z.number(),
          actor: z.string(),
          action: z.string(),
          subject: z.string(),
          details: z.record(z.string(), z.unknown()),
        }),
      ),
    }),
    idempotent: true,
  }),
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof routes;
export type { Route, RouteInput, RouteOutput } from "./route.ts";

export const contentTypeMessage = "application/msgpack";
