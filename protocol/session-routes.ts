/**
 * The part of the control API by which clients of one collective see each other's changes: files that are held open, what has changed
 * elsewhere. A client is known by its session, a token that it says with every call and that nobody else is told.
 */
import { z } from "zod";
import { CollectiveError } from "./errors.ts";
import { changesPerAnswerMax, heldInodesPerCallMax, locksPerFileMax, recalledPerAnswerMax } from "./limits.ts";
import { route } from "./route.ts";
import { attrSchema, inodeSchema, sizeSchema } from "./schema.ts";

export const sessionHeader = "collective-session";
export const sessionTokenBytes = 16;
const tokenPattern = /^[A-Za-z0-9_-]{16,64}$/;

/** Undefined where none was said: such a client is told of its own changes, and can hold nothing. */
export function parseSessionToken(text: string | undefined): string | undefined {
  if (text === undefined || tokenPattern.test(text)) return text;
  throw new CollectiveError("invalid_argument", `the header ${sessionHeader} is not a session's token`, {
    hint: "update the older program",
  });
}

const inodesSchema = z.array(inodeSchema).max(heldInodesPerCallMax);
/** How far a client has been told. `epoch`: of the coordinator's memory, which ends with its process. */
const changeCursorSchema = z.object({ epoch: z.string().max(64), at: sizeSchema });
export type ChangeCursor = z.output<typeof changeCursorSchema>;

const lockSchema = z
  .object({
    style: z.enum(["posix", "flock"]),
    /** Chosen by the client: locks of one owner never exclude each other. */
    owner: z.string().max(64),
    type: z.enum(["read", "write", "none"]),
    startByte: sizeSchema,
    /** The last one that is locked; null for all to come. */
    endByte: sizeSchema.nullable(),
    pid: z.number().int().min(0),
  })
  .refine(({ startByte, endByte }) => endByte === null || startByte <= endByte, "a lock begins before it ends");
export type WireLock = z.output<typeof lockSchema>;

const newsSchema = z.object({
  cursor: changeCursorSchema,
  /** More than is remembered, so nothing that was believed before is certain. */
  reset: z.boolean(),
  /** Attributes, content, or of a directory the names in it. */
  changed: z.array(inodeSchema).max(changesPerAnswerMax),
  /** What has gained, lost or changed a name. */
  renamed: z.array(inodeSchema).max(changesPerAnswerMax),
  /** Leases to be yielded at once: somebody waits. */
  recalled: z.array(inodeSchema).max(recalledPerAnswerMax),
});
export type WireNews = z.output<typeof newsSchema>;

export const sessionRoutes = {
  /**
   * The attributes as they are now, and the file is held: see `hold`. `leased`: nobody else has it open, so what is written may be stored
   * a moment after it was closed, until `watch` asks for it.
   */
  open: route("/v1/fs/open", {
    input: z.object({ inode: inodeSchema, access: z.enum(["read", "write", "read_write"]) }),
    output: z.object({ attr: attrSchema, leased: z.boolean() }),
    idempotent: true,
  }),
  /**
   * What was closed is stored, and what is closed from now on is stored first. With the locks that the client has on the file; `kept` is
   * false when another's is in the way of one: then it has none. `isStoring`: only the locks are told, the lease ends with another call.
   */
  yieldLease: route("/v1/fs/yield", {
    input: z.object({ inode: inodeSchema, locks: z.array(lockSchema).max(locksPerFileMax), isStoring: z.boolean().optional() }),
    output: z.object({ kept: z.boolean() }),
    idempotent: true,
  }),
  /** What the caller was answered before survives a power failure when this is answered. */
  makeDurable: route("/v1/fs/sync", { input: z.object({}), output: z.object({}), idempotent: true }),
  /**
   * Files that a client has open, which then stay when their last name goes. Asked again at least every third of
   * `sessionSilentMsMax`, also with no inodes: a session that is silent for longer than that has released all.
   */
  hold: route("/v1/fs/hold", {
    input: z.object({ inodes: inodesSchema }),
    /** Those that are no more, or not for the caller. */
    output: z.object({ gone: z.array(inodeSchema) }),
    idempotent: true,
  }),
  release: route("/v1/fs/release", {
    input: z.object({ inodes: z.union([inodesSchema, z.literal("all")]) }),
    output: z.object({}),
    idempotent: true,
  }),
  /**
   * What others have changed since: answered as soon as there is something, or with nothing after `watchMs`. Of datastores in which the
   * caller may read something.
   */
  watch: route("/v1/fs/watch", {
    input: z.object({ since: changeCursorSchema.nullable() }),
    output: newsSchema,
    idempotent: true,
  }),
  /**
   * Takes a lock, or gives one back, that excludes those of other clients; nobody who uses the file is kept from it otherwise. `granted` is
   * false when it could not be had for `watchMs`: then it is asked again. With it comes what `watch` would answer now, so that
   * whoever has a lock knows what was changed before.
   */
  lock: route("/v1/fs/lock", {
    input: z.object({ inode: inodeSchema, lock: lockSchema, wait: z.boolean(), since: changeCursorSchema.nullable() }),
    output: z.object({ granted: z.boolean(), news: newsSchema }),
    idempotent: true,
  }),
  testLock: route("/v1/fs/testlock", {
    input: z.object({ inode: inodeSchema, lock: lockSchema }),
    output: z.object({ obstacle: lockSchema.nullable() }),
    idempotent: true,
  }),
};
