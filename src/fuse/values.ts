/** Fields of requests that are flags to Linux and words to the file system. */
import { constants } from "node:fs";
import { CollectiveError } from "../../protocol/errors.ts";
import type { AttributesChange, FileKind, LockRequest, NewNode, OpenOptions, Place, SpaceChange } from "../vfs/file-system.ts";
import {
  FUSE_LK_FLOCK,
  FUSE_OPEN_KILL_SUIDGID,
  fuse_fallocate_in,
  fuse_file_lock,
  fuse_lk_in,
  fuse_mknod_in,
  fuse_setattr_in,
  setattr_valid,
} from "./protocol.ts";
import { kindBits, kindMask, lockEndForever, lockTypes } from "./reply.ts";
import type { Request } from "./request.ts";

/** Flags of open(2), as this platform numbers them. */
export const openFlags = {
  O_EXCL: constants.O_EXCL,
  O_TRUNC: constants.O_TRUNC,
  O_APPEND: constants.O_APPEND,
  O_DIRECT: constants.O_DIRECT,
  /** O_SYNC includes it. */
  O_DSYNC: constants.O_DSYNC,
} as const;

const accessModes = ["read", "write", "read_write"] as const;

export function openOptionsOf(flags: number, killFlags: number): OpenOptions {
  const access = accessModes[flags & 3];
  if (access === undefined) throw new CollectiveError("invalid_argument", "a file is opened neither to read nor to write");
  return {
    access,
    append: (flags & openFlags.O_APPEND) !== 0,
    truncate: (flags & openFlags.O_TRUNC) !== 0,
    synchronous: (flags & openFlags.O_DSYNC) !== 0,
    direct: (flags & openFlags.O_DIRECT) !== 0,
    clearSetIds: (killFlags & FUSE_OPEN_KILL_SUIDGID) !== 0,
  };
}

export function attributesChangeOf(request: Request): AttributesChange {
  request.require(fuse_setattr_in.size);
  const valid = request.u32(fuse_setattr_in.valid);
  const has = (flag: number): boolean => (valid & flag) !== 0;
  const time = (seconds: number, nanoseconds: number): bigint =>
    request.i64Exact(seconds) * 1_000_000_000n + BigInt(request.u32(nanoseconds));
  return {
    ...(has(setattr_valid.FATTR_MODE) && { mode: request.u32(fuse_setattr_in.mode) & 0o7777 }),
    ...(has(setattr_valid.FATTR_UID) && { uid: request.u32(fuse_setattr_in.uid) }),
    ...(has(setattr_valid.FATTR_GID) && { gid: request.u32(fuse_setattr_in.gid) }),
    ...(has(setattr_valid.FATTR_SIZE) && { sizeBytes: request.u64(fuse_setattr_in.size_) }),
    ...(has(setattr_valid.FATTR_ATIME) && {
      accessed: has(setattr_valid.FATTR_ATIME_NOW) ? "now" : time(fuse_setattr_in.atime, fuse_setattr_in.atimensec),
    }),
    ...(has(setattr_valid.FATTR_MTIME) && {
      modified: has(setattr_valid.FATTR_MTIME_NOW) ? "now" : time(fuse_setattr_in.mtime, fuse_setattr_in.mtimensec),
    }),
    ...(has(setattr_valid.FATTR_CTIME) && { changed: time(fuse_setattr_in.ctime, fuse_setattr_in.ctimensec) }),
    ...(has(setattr_valid.FATTR_FH) && { handle: request.u64(fuse_setattr_in.fh) }),
    // The kernel leaves it unsaid that a new owner must not inherit them.
    clearSetIds: has(setattr_valid.FATTR_KILL_SUIDGID | setattr_valid.FATTR_UID | setattr_valid.FATTR_GID),
  };
}

export function newNodeOf(request: Request, place: Place): NewNode {
  const bits = request.u32(fuse_mknod_in.mode);
  const kind = nodeKindOf(bits & kindMask);
  if (kind === undefined) throw new CollectiveError("invalid_argument", "there is no such kind of file");
  return { ...place, kind, mode: bits & 0o7777, device: request.u32(fuse_mknod_in.rdev) };
}

function nodeKindOf(bits: number): NewNode["kind"] | undefined {
  if (bits === 0) return "file";
  const found = (Object.keys(kindBits) as FileKind[]).find((kind) => kindBits[kind] === bits);
  return found === "directory" || found === "symlink" ? undefined : found;
}

export type RenameStyle = "replace" | "keep" | "exchange";
const renameStyles: readonly RenameStyle[] = ["replace", "keep", "exchange"];

/** RENAME_NOREPLACE is 1 and RENAME_EXCHANGE is 2; both together, and what came later, are nothing that can be done. */
export function renameStyleOf(flags: number): RenameStyle {
  const style = renameStyles[flags];
  if (style === undefined) throw new CollectiveError("invalid_argument", "this way of renaming is not known");
  return style;
}

const xattrChoices = ["either", "create", "replace"] as const;

/** XATTR_CREATE is 1 and XATTR_REPLACE is 2. */
export function xattrExistingOf(flags: number): (typeof xattrChoices)[number] {
  const choice = xattrChoices[flags];
  if (choice === undefined) throw new CollectiveError("invalid_argument", "an attribute is either made or replaced");
  return choice;
}

const xattrNamespaces = ["user.", "trusted.", "security."];

/** Access control lists, which are `system.` attributes, are not supported; other kinds do not exist. */
export function xattrNameOf(request: Request, at: number): string {
  const name = request.text(at);
  const namespace = xattrNamespaces.find((prefix) => name.startsWith(prefix));
  if (namespace === undefined) throw new CollectiveError("unsupported", "there are no attributes of this kind");
  if (name === namespace) throw new CollectiveError("invalid_argument", "the attribute has no name");
  return name;
}

/** SEEK_DATA and SEEK_HOLE; the others the kernel answers itself. */
const seekTargets: Readonly<Record<number, "data" | "hole">> = { 3: "data", 4: "hole" };

export function seekTargetOf(whence: number): "data" | "hole" {
  const target = seekTargets[whence];
  if (target === undefined) throw new CollectiveError("invalid_argument", "this way of seeking is not known");
  return target;
}

export function lockOf(request: Request): LockRequest {
  request.require(fuse_lk_in.size);
  const at = fuse_lk_in.lk;
  const type = lockTypes[request.u32(at + fuse_file_lock.type)];
  if (type === undefined) throw new CollectiveError("invalid_argument", "this kind of lock is not known");
  const end = request.u64Exact(at + fuse_file_lock.end);
  return {
    type,
    startByte: request.u64(at + fuse_file_lock.start),
    endByte: end >= lockEndForever ? Number.POSITIVE_INFINITY : Number(end),
    pid: request.u32(at + fuse_file_lock.pid),
    style: (request.u32(fuse_lk_in.lk_flags) & FUSE_LK_FLOCK) !== 0 ? "flock" : "posix",
    owner: request.u64Exact(fuse_lk_in.owner),
  };
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;

export function spaceChangeOf(request: Request): SpaceChange {
  request.require(fuse_fallocate_in.size);
  const mode = request.u32(fuse_fallocate_in.mode);
  const space = { offset: request.u64(fuse_fallocate_in.offset), lengthBytes: request.u64(fuse_fallocate_in.length) };
  const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  const rest = mode & ~FALLOC_FL_KEEP_SIZE;
  if (rest === 0) return { ...space, action: "reserve", keepSize };
  if (rest === FALLOC_FL_PUNCH_HOLE && keepSize) return { ...space, action: "punch", keepSize };
  if (rest === FALLOC_FL_ZERO_RANGE) return { ...space, action: "zero", keepSize };
  throw new CollectiveError("unsupported", "this change of a file's space is not known");
}
