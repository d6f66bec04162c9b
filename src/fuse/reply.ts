/** Answers in the kernel's layouts. One writer serves a whole session: an answer is written and sent before the next one begins. */
import type {
  Attributes,
  AttributesReply,
  EntryReply,
  FileKind,
  FileSystemUsage,
  ListedEntry,
  LockRange,
  OpenReply,
} from "../vfs/file-system.ts";
import {
  FUSE_REC_ALIGN,
  fopen,
  fuse_attr,
  fuse_attr_out,
  fuse_dirent,
  fuse_entry_out,
  fuse_file_lock,
  fuse_kstatfs,
  fuse_open_out,
  fuse_out_header,
  pageBytes,
} from "./protocol.ts";

/** The longest answers that are copied are listings and extended attributes; the kernel asks for no attribute above 64 KiB. */
const copiedBytesMax = 128 * 1024;
const twoTo32 = 2 ** 32;
const nsPerSecond = 1_000_000_000n;

/** `S_IFMT` of each kind; a quarter of a byte further right it is the type in a listing. */
export const kindBits = {
  fifo: 0o010000,
  character_device: 0o020000,
  directory: 0o040000,
  block_device: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const satisfies Record<FileKind, number>;
export const kindMask = 0o170000;

/** F_RDLCK, F_WRLCK and F_UNLCK of Linux. */
export const lockTypes = ["read", "write", "none"] as const;
/** What the kernel calls "up to whatever comes". */
export const lockEndForever = 2n ** 63n - 1n;

export interface ReplyWriter {
  readonly memory: Buffer;
  /** Header included. */
  readonly copiedBytes: number;
  /** Sent behind what was copied. */
  readonly pieces: readonly Uint8Array[];
  begin(): void;
  /** Zeroes that follow, for a structure; answers where they begin. */
  room(sizeBytes: number): number;
  roomLeft(): number;
  u16(at: number, value: number): void;
  u32(at: number, value: number): void;
  u64(at: number, value: number): void;
  i64Exact(at: number, value: bigint): void;
  copy(bytes: Uint8Array): void;
  send(pieces: readonly Uint8Array[]): void;
  /** Completes the header. */
  finish(unique: number, error: number): void;
}

export function createReplyWriter(): ReplyWriter {
  return new Writer();
}

class Writer implements ReplyWriter {
  readonly memory: Buffer;
  copiedBytes: number = fuse_out_header.size;
  pieces: readonly Uint8Array[] = [];
  readonly #view: DataView;

  constructor() {
    const memory = new ArrayBuffer(copiedBytesMax + pageBytes);
    this.memory = Buffer.from(memory);
    this.#view = new DataView(memory);
  }

  begin(): void {
    this.copiedBytes = fuse_out_header.size;
    this.pieces = [];
  }

  room(sizeBytes: number): number {
    const at = this.copiedBytes;
    this.copiedBytes += sizeBytes;
    this.memory.fill(0, at, this.copiedBytes);
    return at;
  }

  roomLeft(): number {
    return this.memory.length - this.copiedBytes;
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  u64(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
    this.#view.setUint32(at + 4, Math.floor(value / twoTo32), true);
  }

  i64Exact(at: number, value: bigint): void {
    this.#view.setBigInt64(at, value, true);
  }

  copy(bytes: Uint8Array): void {
    this.memory.set(bytes, this.room(bytes.length));
  }

  send(pieces: readonly Uint8Array[]): void {
    this.pieces = pieces;
  }

  finish(unique: number, error: number): void {
    let length = this.copiedBytes;
    for (const piece of this.pieces) length += piece.length;
    this.u32(fuse_out_header.len, length);
    this.#view.setInt32(fuse_out_header.error, -error, true);
    this.u64(fuse_out_header.unique, unique);
  }
}

export function writeAttributes(out: ReplyWriter, reply: AttributesReply): void {
  const at = out.room(fuse_attr_out.size);
  writeDuration(out, at + fuse_attr_out.attr_valid, at + fuse_attr_out.attr_valid_nsec, reply.attributesValidMs);
  writeAttr(out, at + fuse_attr_out.attr, reply.attributes);
}

export function writeEntry(out: ReplyWriter, { attributes, attributesValidMs, nameValidMs, generation = 0 }: EntryReply): void {
  const at = out.room(fuse_entry_out.size);
  out.u64(at + fuse_entry_out.nodeid, attributes.inode);
  out.u64(at + fuse_entry_out.generation, generation);
  writeDuration(out, at + fuse_entry_out.entry_valid, at + fuse_entry_out.entry_valid_nsec, nameValidMs);
  writeDuration(out, at + fuse_entry_out.attr_valid, at + fuse_entry_out.attr_valid_nsec, attributesValidMs);
  writeAttr(out, at + fuse_entry_out.attr, attributes);
}

/** Node number 0: there is no such name, which the kernel may remember. */
export function writeNoEntry(out: ReplyWriter, nameValidMs: number): void {
  const at = out.room(fuse_entry_out.size);
  writeDuration(out, at + fuse_entry_out.entry_valid, at + fuse_entry_out.entry_valid_nsec, nameValidMs);
}

function writeAttr(out: ReplyWriter, at: number, attributes: Attributes): void {
  out.u64(at + fuse_attr.ino, attributes.inode);
  out.u64(at + fuse_attr.size_, attributes.sizeBytes);
  out.u64(at + fuse_attr.blocks, Math.ceil(attributes.storedBytes / 512));
  writeTime(out, at + fuse_attr.atime, at + fuse_attr.atimensec, attributes.accessedNs);
  writeTime(out, at + fuse_attr.mtime, at + fuse_attr.mtimensec, attributes.modifiedNs);
  writeTime(out, at + fuse_attr.ctime, at + fuse_attr.ctimensec, attributes.changedNs);
  out.u32(at + fuse_attr.mode, kindBits[attributes.kind] | attributes.mode);
  out.u32(at + fuse_attr.nlink, attributes.links);
  out.u32(at + fuse_attr.uid, attributes.uid);
  out.u32(at + fuse_attr.gid, attributes.gid);
  out.u32(at + fuse_attr.rdev, attributes.device);
  out.u32(at + fuse_attr.blksize, pageBytes);
}

/** Before 1970 the seconds are negative and the nanoseconds count up from them. */
function writeTime(out: ReplyWriter, secondsAt: number, nanosecondsAt: number, timeNs: bigint): void {
  let seconds = timeNs / nsPerSecond;
  let rest = Number(timeNs % nsPerSecond);
  if (rest < 0) {
    seconds -= 1n;
    rest += Number(nsPerSecond);
  }
  out.i64Exact(secondsAt, seconds);
  out.u32(nanosecondsAt, rest);
}

function writeDuration(out: ReplyWriter, secondsAt: number, nanosecondsAt: number, ms: number): void {
  const seconds = Math.floor(ms / 1000);
  out.u64(secondsAt, seconds);
  out.u32(nanosecondsAt, Math.round((ms - seconds * 1000) * 1e6));
}

export function writeOpen(out: ReplyWriter, reply: OpenReply): void {
  const at = out.room(fuse_open_out.size);
  out.u64(at + fuse_open_out.fh, reply.handle);
  out.u32(
    at + fuse_open_out.open_flags,
    (reply.directIo ? fopen.FOPEN_DIRECT_IO | fopen.FOPEN_PARALLEL_DIRECT_WRITES : 0) |
      (reply.keepCache ? fopen.FOPEN_KEEP_CACHE : 0) |
      (reply.noFlush ? fopen.FOPEN_NOFLUSH : 0),
  );
}

export function writeUsage(out: ReplyWriter, usage: FileSystemUsage): void {
  const at = out.room(fuse_kstatfs.size);
  const blocks = (bytes: number): number => Math.floor(bytes / usage.blockBytes);
  out.u64(at + fuse_kstatfs.blocks, blocks(usage.totalBytes));
  out.u64(at + fuse_kstatfs.bfree, blocks(usage.freeBytes));
  out.u64(at + fuse_kstatfs.bavail, blocks(usage.availableBytes));
  out.u64(at + fuse_kstatfs.files, usage.inodes);
  out.u64(at + fuse_kstatfs.ffree, usage.freeInodes);
  out.u32(at + fuse_kstatfs.bsize, usage.blockBytes);
  out.u32(at + fuse_kstatfs.namelen, usage.nameBytesMax);
  out.u32(at + fuse_kstatfs.frsize, usage.blockBytes);
}

export function writeLock(out: ReplyWriter, lock: LockRange): void {
  const at = out.room(fuse_file_lock.size);
  out.u64(at + fuse_file_lock.start, lock.startByte);
  out.i64Exact(at + fuse_file_lock.end, lock.endByte === Number.POSITIVE_INFINITY ? lockEndForever : BigInt(lock.endByte));
  out.u32(at + fuse_file_lock.type, lockTypes.indexOf(lock.type));
  out.u32(at + fuse_file_lock.pid, lock.pid);
}

/** `fuse_dirent`, after a `fuse_entry_out` when `plus`. False, and nothing written, when it does not fit into `bytesLeft`. */
export function writeListed(
  out: ReplyWriter,
  listed: ListedEntry,
  options: { readonly plus: boolean; readonly bytesLeft: number },
): boolean {
  const nameBytes = Buffer.byteLength(listed.name);
  const record = FUSE_REC_ALIGN(fuse_dirent.name + nameBytes);
  if ((options.plus ? fuse_entry_out.size : 0) + record > Math.min(options.bytesLeft, out.roomLeft())) return false;
  if (options.plus) {
    if (listed.entry) writeEntry(out, listed.entry);
    else out.room(fuse_entry_out.size);
  }
  const at = out.room(record);
  out.u64(at + fuse_dirent.ino, listed.inode);
  out.u64(at + fuse_dirent.off, listed.cookie);
  out.u32(at + fuse_dirent.namelen, nameBytes);
  out.u32(at + fuse_dirent.type, kindBits[listed.kind] >> 12);
  out.memory.write(listed.name, at + fuse_dirent.name);
  return true;
}

/** How many entries may fit at most, so that no more are looked up. */
export function entriesThatFit(bytes: number, plus: boolean): number {
  return Math.floor(Math.min(bytes, copiedBytesMax) / ((plus ? fuse_entry_out.size : 0) + FUSE_REC_ALIGN(fuse_dirent.name + 1)));
}
