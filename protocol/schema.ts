/** Shapes of the namespace, of stores and of nodes as they travel between processes. */
import { z } from "zod";
import { CollectiveError } from "./errors.ts";
import { parseChunkId, parseGlobalName, parseInode, parseSite } from "./ids.ts";
import {
  changesPerCommitMax,
  extendedAttributeNameBytesMax,
  extendedAttributeValueBytesMax,
  extentsPerCommitMax,
  fileBytesMax,
  guestsPerNodeMax,
  largeChunkBytes,
  pathComponentsMax,
  replicasMax,
  storedChunkBytesMax,
  symlinkTargetBytesMax,
  trustedSitesMax,
  withdrawalsMax,
} from "./limits.ts";
import { parseName } from "./path.ts";
import { parseSubjectPattern, rights, rightsSchema } from "./rights.ts";

/** A parser that throws becomes a schema whose output has the parsed type. */
function parsedBy<I extends z.ZodType, O>(base: I, parse: (value: z.output<I>) => O) {
  return base.transform((value, context): O => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof CollectiveError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

export const inodeSchema = parsedBy(z.number(), parseInode);
export const chunkIdSchema = parsedBy(z.string(), parseChunkId);
export const globalNameSchema = parsedBy(z.string().max(255), parseGlobalName);
export const siteSchema = parsedBy(z.string().max(255), parseSite);
export const subjectSchema = parsedBy(z.string().max(300), parseSubjectPattern);
export const nameSchema = parsedBy(z.string().max(1024), parseName);
const pemSchema = z.string().max(4096);
export const bytesSchema = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "expected bytes");
const countSchema = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
export const sizeSchema = countSchema;
/** Nanoseconds since 1970; msgpack decodes small ones as numbers. */
export const timeNsSchema = z.union([z.bigint(), z.number().int()]).transform((value) => BigInt(value));
export const modeSchema = z.number().int().min(0).max(0o7777);

/** Those that have nothing but a name and attributes. */
export const specialTypes = ["fifo", "socket", "character_device", "block_device"] as const;
export const fileTypes = ["directory", "file", "symlink", ...specialTypes] as const;
export type FileType = (typeof fileTypes)[number];
export type SpecialType = (typeof specialTypes)[number];
/** Of a user or a group; -1 stands for "nobody" in system calls and names none. */
export const posixIdSchema = z.number().int().min(0).max(0xffff_fffe);
export const posixOwnerSchema = z.object({ uid: posixIdSchema.optional(), gid: posixIdSchema.optional() });
/** A device as `dev_t`. */
export const deviceSchema = countSchema;

export const attrSchema = z.object({
  inode: inodeSchema,
  type: z.enum(fileTypes),
  sizeBytes: sizeSchema,
  mode: modeSchema,
  mtimeNs: timeNsSchema,
  ctimeNs: timeNsSchema,
  atimeNs: timeNsSchema,
  owner: z.string(),
  /** Null until somebody says; faces then show their own. */
  uid: posixIdSchema.nullable(),
  gid: posixIdSchema.nullable(),
  /** Names that lead to it, those in a tree that is being removed included. A directory has 2 and one for each directory in it. */
  links: countSchema,
  /** How many of them it has. */
  extendedAttributes: countSchema,
  /** Of a device. */
  device: deviceSchema.optional(),
  /** Counts committed contents, from 1. */
  version: countSchema,
  /** Of a file: of its size, what is stored nowhere and reads as zero. */
  holeBytes: sizeSchema.optional(),
  /** Root directory of the datastore it lives in; undefined for `/` itself. */
  store: inodeSchema.optional(),
  /** Of a symbolic link. */
  target: z.string().optional(),
});
export type Attr = z.output<typeof attrSchema>;

export type PosixOwner = z.output<typeof posixOwnerSchema>;

/** As far as somebody has said it, to be said again of a copy. */
export function posixOwnerOf({ uid, gid }: Pick<Attr, "uid" | "gid">): PosixOwner {
  return { ...(uid === null ? {} : { uid }), ...(gid === null ? {} : { gid }) };
}

export const entryRefSchema = z.object({ parent: inodeSchema, name: nameSchema });
export const entrySchema = z.object({ name: z.string(), attr: attrSchema });
export type DirectoryEntry = z.output<typeof entrySchema>;

/** As setxattr(2) takes them. */
export const extendedAttributeNameSchema = z
  .string()
  .min(1)
  .refine(
    (name) => !name.includes("\0") && Buffer.byteLength(name) <= extendedAttributeNameBytesMax,
    `an attribute's name has at most ${extendedAttributeNameBytesMax} bytes`,
  );
export const extendedAttributeSchema = z.object({
  name: extendedAttributeNameSchema,
  value: bytesSchema.refine(
    (value) => value.length <= extendedAttributeValueBytesMax,
    `an attribute's value has at most ${extendedAttributeValueBytesMax} bytes`,
  ),
});
export type ExtendedAttribute = z.output<typeof extendedAttributeSchema>;

export const componentsSchema = z.array(nameSchema).max(pathComponentsMax);
export const symlinkTargetSchema = z
  .string()
  .min(1)
  .refine(
    (target) => !target.includes("\0") && Buffer.byteLength(target) <= symlinkTargetBytesMax,
    `a link's target has at most ${symlinkTargetBytesMax} bytes`,
  );

/** The next bytes of a file: part of the plaintext of a chunk, all of it unless more is said; or a hole, zeros that are stored nowhere. */
export const extentSchema = z
  .object({
    chunk: chunkIdSchema.nullable(),
    plainBytes: z.number().int().positive().max(fileBytesMax),
    /** Where in the chunk they begin, and how long its plaintext is. */
    chunkOffset: z.number().int().nonnegative().max(largeChunkBytes).optional(),
    chunkBytes: z.number().int().positive().max(largeChunkBytes).optional(),
  })
  .refine(
    ({ chunk, plainBytes, chunkOffset = 0, chunkBytes = chunkOffset + plainBytes }) =>
      chunk === null || (chunkOffset + plainBytes <= chunkBytes && chunkBytes <= largeChunkBytes),
    "an extent lies within its chunk",
  );
export type Extent = z.output<typeof extentSchema>;
/** One follows the other. */
export const extentsSchema = z.array(extentSchema).max(extentsPerCommitMax);
/** Of an extent that an answer shows. A coordinator that does not say it has only whole chunks. */
export const chunkPartSchema = z.object({ chunkOffset: sizeSchema.optional(), chunkBytes: sizeSchema.optional() });
export function chunkPartOf({ plainBytes, chunkOffset = 0, chunkBytes = chunkOffset + plainBytes }: PartialExtent) {
  return { chunkOffset, chunkBytes };
}
type PartialExtent = z.output<typeof chunkPartSchema> & { readonly plainBytes: number };

/** What the extents cover, from `offset` on, they replace. */
const contentChangeSchema = z.object({ offset: sizeSchema.max(fileBytesMax), extents: extentsSchema });
export type ContentChange = z.output<typeof contentChangeSchema>;

/** One content of one file. A name may stand for another file later, which counts from 1 again; inodes are never used again. */
export const contentVersionSchema = z.object({ inode: inodeSchema, version: countSchema });
export type ContentVersion = z.output<typeof contentVersionSchema>;

/**
 * The content is given whole, by `extents`, whose lengths add up to the size; or by `changes` to the version that `replaces` names,
 * made one after the other when the content has been cut or lengthened by a hole to the new size.
 */
export const fileCommitSchema = z
  .object({
    parent: inodeSchema,
    name: nameSchema,
    /** This very file instead of what has the name: it may have moved, or be open and have no name any more. */
    inode: inodeSchema.optional(),
    /** A file that is known by its inode keeps its own where they are left out. */
    mode: modeSchema.optional(),
    mtimeNs: timeNsSchema.optional(),
    /** When it was written, for a client that stores it later; believed between the last change and now. Left out, now. */
    changedNs: timeNsSchema.optional(),
    sizeBytes: sizeSchema.max(fileBytesMax),
    extents: extentsSchema.optional(),
    changes: z.array(contentChangeSchema).max(changesPerCommitMax).optional(),
    /** Left out, a file that is replaced keeps its own. */
    ...posixOwnerSchema.shape,
    /** The content that must stand there, null for "nothing"; left out, the last commit wins. */
    replaces: contentVersionSchema.nullable().optional(),
  })
  .refine(({ extents, changes }) => (extents === undefined) !== (changes === undefined), "a commit has either extents or changes")
  .refine(
    ({ inode, mode, mtimeNs }) => inode !== undefined || (mode !== undefined && mtimeNs !== undefined),
    "a file that may be new has a mode and a time",
  )
  .refine(({ changes, replaces }) => changes === undefined || replaces, "changes are to a version")
  .refine(
    ({ changes = [] }) => changes.reduce((sum, { extents }) => sum + extents.length, 0) <= extentsPerCommitMax,
    `a commit has at most ${extentsPerCommitMax} extents`,
  );
export type FileCommit = z.output<typeof fileCommitSchema>;

export const strategies = ["media", "backup", "hybrid"] as const;
export type Strategy = (typeof strategies)[number];
export const storePolicySchema = z.object({
  strategy: z.enum(strategies),
  replicas: z.number().int().min(1).max(replicasMax),
  /** Upper limit of the sum of file sizes; null is none. */
  quotaBytes: z.number().int().positive().nullable(),
  minMembers: z.number().int().min(1).max(64),
  encrypt: z.boolean(),
});
export type StorePolicy = z.output<typeof storePolicySchema>;
export const defaultStorePolicy: StorePolicy = { strategy: "hybrid", replicas: 2, quotaBytes: null, minMembers: 1, encrypt: true };

export const storeSchema = z.object({
  inode: inodeSchema,
  name: z.string(),
  owner: z.string(),
  createdMs: z.number(),
  policy: storePolicySchema,
  files: countSchema,
  logicalBytes: sizeSchema,
  chunks: countSchema,
  /** Of one copy of each chunk. */
  storedBytes: sizeSchema,
  degradedChunks: countSchema,
});
export type Store = z.output<typeof storeSchema>;

/** A store as it is shown to somebody: what it holds in all is for those who may read all of it, null for others. */
export const listedStoreSchema = storeSchema.extend({
  files: countSchema.nullable(),
  logicalBytes: sizeSchema.nullable(),
  chunks: countSchema.nullable(),
  storedBytes: sizeSchema.nullable(),
  degradedChunks: countSchema.nullable(),
});
export type ListedStore = z.output<typeof listedStoreSchema>;

export const accessGrantSchema = z.object({
  path: z.string(),
  subject: subjectSchema,
  rights: rightsSchema,
  /** What it is worth now: not more than who granted it still has, and nothing once it has expired. */
  inForce: z.array(z.enum(rights)),
  grantedBy: globalNameSchema,
  grantedMs: z.number(),
  expiresMs: z.number().nullable(),
});
export type ListedGrant = z.output<typeof accessGrantSchema>;

export const nodeStates = ["alive", "suspect", "dead", "draining"] as const;
export type NodeState = (typeof nodeStates)[number];

/** What a node keeps for another member. */
export const guestSchema = z.object({ site: siteSchema, usedBytes: sizeSchema, chunkCount: countSchema });
export type Guest = z.output<typeof guestSchema>;

export const heartbeatSchema = z.object({
  address: z.string().max(300),
  capacityBytes: sizeSchema,
  /** This and the count: of the own member's chunks and of all guests' together. */
  usedBytes: sizeSchema,
  /** What can really still be written: the capacity's rest or the disk's, whichever is less. */
  freeBytes: sizeSchema,
  chunkCount: countSchema,
  version: z.string().max(64),
  guests: z.array(guestSchema).max(guestsPerNodeMax).optional(),
});
export type Heartbeat = z.output<typeof heartbeatSchema>;

/** Tickets of this holder, of a pattern of holders, or with `*` of everybody, that were issued until then are void. */
export const withdrawalSchema = z.object({ holder: z.string().max(300), untilMs: z.number() });
export type Withdrawal = z.output<typeof withdrawalSchema>;

/** What each member has taken back: of what it has issued, and of what others have issued to put chunks for it. */
export const withdrawalsSchema = z.object({
  revision: z.string().max(64),
  lists: z.array(z.object({ issuer: siteSchema, list: z.array(withdrawalSchema).max(withdrawalsMax) })).max(trustedSitesMax),
});
export type IssuerWithdrawals = z.output<typeof withdrawalsSchema>["lists"][number];

/** Whose people may come with tickets, and where a certificate of its coordinator is given, whose tickets may be shown. */
export const nodeTrustSchema = z.object({
  revision: z.string().max(64),
  authorities: z.array(z.object({ authorityPem: pemSchema, coordinatorPem: pemSchema.optional() })).max(trustedSitesMax),
});
export type NodeTrust = z.output<typeof nodeTrustSchema>;

export const nodeSchema = heartbeatSchema.extend({ name: globalNameSchema, state: z.enum(nodeStates), lastSeenMs: z.number() });
export type NodeSummary = z.output<typeof nodeSchema>;

export const copyStates = ["offered", "stored", "damaged", "deleting"] as const;
export type CopyState = (typeof copyStates)[number];

/** How a chunk's payload is packed; the position is the number in the chunk's header and in the database, so append only. */
export const chunkCodecs = ["none", "zstd"] as const;
export type ChunkCodec = (typeof chunkCodecs)[number];

/** The codec is for people to see: whoever reads a chunk believes the chunk's own header. */
export const offeredChunkSchema = z.object({
  id: chunkIdSchema,
  storedBytes: z.number().int().positive().max(storedChunkBytesMax),
  codec: z.enum(chunkCodecs),
});
export type OfferedChunk = z.output<typeof offeredChunkSchema>;

/** A node to speak to, with the authority to do so. */
export const ticketedNodeSchema = z.object({
  node: globalNameSchema,
  address: z.string(),
  ticket: bytesSchema,
  /** Of another member's node: the authority that certifies it, which the caller may not know. */
  authorityPem: pemSchema.optional(),
});
export type TicketedNode = z.output<typeof ticketedNodeSchema>;

/** A node of another member, as placement sees it. */
export const elsewhereSchema = z.object({
  nodes: z.array(
    z.object({
      name: globalNameSchema,
      member: globalNameSchema,
      state: z.enum(nodeStates),
      freeBytes: sizeSchema,
      latencyMs: z.number().nonnegative(),
      memberFreeBytes: sizeSchema,
      othersFreeBytes: sizeSchema,
    }),
  ),
  /** Limits that are nearer than the space on those nodes, and what would raise each, in words. */
  limits: z.array(z.object({ limit: z.string(), raise: z.string() })),
});
export type Elsewhere = z.output<typeof elsewhereSchema>;

export const healthSchema = z.enum(["healthy", "degraded", "unhealthy"]);
export const totalsSchema = z.object({
  files: countSchema,
  chunks: countSchema,
  degradedChunks: countSchema,
  lostChunks: countSchema,
});
export type Totals = z.output<typeof totalsSchema>;
