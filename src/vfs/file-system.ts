/**
 * What a mounted file system answers, in the terms of POSIX and without a word of how it was asked:
 * `src/fuse` asks on behalf of Linux, and another kernel's protocol could.
 *
 * - **Files have numbers**, `rootInode` for the root, at most 2^53 - 1, and never one that named another file before. A
 *   number is good from the moment it was answered until `forget`, also when its last name is gone by then. `forget` may cross
 *   a `lookup` that is being answered, so a file that still has a name must be found by its number even after it.
 * - **Errors** are `CollectiveError`s of the closed list in protocol/errors.ts, which says the errno of each; thrown or
 *   rejected, it is the same. Anything else that is thrown counts as `internal`, EIO.
 * - **Answers may be immediate**: what is in memory is best returned without a promise. Calls run concurrently, also on one
 *   file or handle, and may end in any order; whatever must exclude each other is the file system's to order.
 * - **Bytes**: `data` that a call is given belongs to the caller again when the answer has settled; keep a copy, never a
 *   view. Bytes that are answered must stay as they are until the next turn of the event loop.
 * - **Time**: `signal` aborts when whoever asked was interrupted or the time limit has passed. A call that has changed nothing yet then ends
 *   with `cancelled`; one that is nearly done may succeed. Neither ends soon enough: the asker is answered all the same, what comes
 *   later is thrown away (an `open` is followed by `release`, a number that was not taken by `forget`).
 * - **Permissions** by mode and owner are checked before a call gets here (`default_permissions`), sticky bits and who may chown
 *   included. What remains: rights that are no mode bits (`permission_denied`, `read_only`), and the set-id bits (`clearSetIds`).
 * - **Names** are one component, never empty, `.` or `..`, without `/` and NUL, well-formed Unicode of at most `nameBytesMax` bytes
 *   (protocol/limits.ts). Extended attributes are `user.`, `trusted.` and `security.` ones. Modes arrive with the umask applied.
 */
export const rootInode = 1;

export type Answer<T> = T | Promise<T>;

export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** 0 when the kernel asks for itself, as it does for pages that it writes later. */
  readonly pid: number;
  /** Of calls that make something; 0 in all others. */
  readonly umask: number;
}

export interface Call {
  readonly caller: Caller;
  /** Made when it is first asked for: calls that never wait need none. */
  readonly signal: AbortSignal;
  /** Something was achieved, so the time limit begins anew: for calls whose work has no bound, like making a large file durable. */
  progress(): void;
}

export type FileKind = "file" | "directory" | "symlink" | "fifo" | "socket" | "character_device" | "block_device";

export interface Attributes {
  readonly inode: number;
  readonly kind: FileKind;
  /** Permission, set-id and sticky bits: at most 0o7777. */
  readonly mode: number;
  /** Names that lead to it; 0 when it is open or remembered without one. A directory has 2 and one for each directory in it. */
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Number of a device as `dev_t`, 0 for all else. */
  readonly device: number;
  readonly sizeBytes: number;
  /** What it takes, holes left out; in units of 512 bytes when shown. */
  readonly storedBytes: number;
  readonly accessedNs: bigint;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
}

/** The times say how long the kernel may believe it without asking; what changes sooner goes to `KernelCaches`. */
export interface AttributesReply {
  readonly attributes: Attributes;
  readonly attributesValidMs: number;
}

export interface EntryReply extends AttributesReply {
  readonly nameValidMs: number;
  /**
   * Another one than before has the kernel forget all that it held of the file, also the size and times that are its own in write-back
   * mode. What is open there fails. 0 when left out.
   */
  readonly generation?: number;
}

/** There is no such name, and the kernel may believe that for a while. To say it just once, throw `not_found`. */
export interface NoEntry {
  readonly attributes: undefined;
  readonly nameValidMs: number;
}

/** Only what is present changes. */
export interface AttributesChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
  readonly accessed?: bigint | "now";
  readonly modified?: bigint | "now";
  /** Given only by a kernel that keeps the times itself, in write-back mode. */
  readonly changed?: bigint;
  /**
   * In the same change clear set-user-id, and set-group-id where the group may execute or an ordinary caller is not of the group; of what
   * is no directory.
   */
  readonly clearSetIds: boolean;
  /** The open file through which it was asked for, as by `ftruncate`. */
  readonly handle?: number;
}

/** A name in a directory. */
export interface Place {
  readonly parent: number;
  readonly name: string;
}

/** What `mknod` makes; directories and symbolic links have calls of their own. */
export interface NewNode extends Place {
  readonly kind: Exclude<FileKind, "directory" | "symlink">;
  readonly mode: number;
  readonly device: number;
}

export interface OpenOptions {
  readonly access: "read" | "write" | "read_write";
  readonly append: boolean;
  /** Open as empty, at once. */
  readonly truncate: boolean;
  /** O_SYNC or O_DSYNC: each write is durable when it is answered. */
  readonly synchronous: boolean;
  /** O_DIRECT. */
  readonly direct: boolean;
  readonly clearSetIds: boolean;
}

export interface OpenReply {
  /** Chosen by the file system, at most 2^53 - 1; good until `release`. */
  readonly handle: number;
  /** Pages of an earlier open are still true. Without it the kernel drops them. */
  readonly keepCache?: boolean;
  /** Past the kernel's page cache: each read and write comes here. Shared `mmap` then fails. */
  readonly directIo?: boolean;
  /** A close has nothing to report, so `flush` need not be called. */
  readonly noFlush?: boolean;
}

export interface CreateReply extends OpenReply {
  readonly entry: EntryReply;
}

export interface OpenFile {
  readonly inode: number;
  readonly handle: number;
}

export interface ReadOptions {
  readonly offset: number;
  readonly lengthBytes: number;
}

export interface WriteOptions {
  readonly offset: number;
  /** Opened with O_APPEND: `offset` is where the kernel believes the end to be, and the true end is meant. */
  readonly append: boolean;
  /** From the kernel's page cache, later and on nobody's behalf; the handle may be any that is open for writing. */
  readonly fromCache: boolean;
  readonly clearSetIds: boolean;
}

export interface ListedEntry {
  readonly name: string;
  readonly inode: number;
  readonly kind: FileKind;
  /** Where a listing goes on after this entry: from 1 to 2^53 - 1, and good until the directory is released, whatever changes in it. */
  readonly cookie: number;
  /** Present when attributes were asked for and are at hand. It counts as a `lookup`. Never for `.` and `..`. */
  readonly entry?: EntryReply;
}

export interface ListOptions {
  /** 0 for the start, or the cookie of the last entry that was taken. */
  readonly after: number;
  readonly withAttributes: boolean;
  /** More are not looked at. Fewer do not mean the end; none does. */
  readonly entriesMax: number;
}

export interface FileSystemUsage {
  readonly blockBytes: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Of the free ones, what an ordinary user may take. */
  readonly availableBytes: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly nameBytesMax: number;
}

export interface LockRange {
  /** "none" gives back. */
  readonly type: "read" | "write" | "none";
  readonly startByte: number;
  /** The last byte that is locked; Infinity for all to come. */
  readonly endByte: number;
  readonly pid: number;
}

export interface LockRequest extends LockRange {
  /** `fcntl` locks belong to a process and go with its first close of the file; `flock` locks belong to an open file. */
  readonly style: "posix" | "flock";
  /** Who holds it: locks of one owner never exclude each other. */
  readonly owner: bigint;
}

export interface Space {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** "reserve" promises room, "punch" and "zero" make the bytes read as zero; punching also gives the room back, and always keeps the size. */
export interface SpaceChange extends Space {
  readonly action: "reserve" | "punch" | "zero";
  readonly keepSize: boolean;
}

export interface CopyRequest {
  readonly from: OpenFile & { readonly offset: number };
  readonly to: OpenFile & { readonly offset: number };
  readonly lengthBytes: number;
}

/** How it is now, and where, from the root of the mount. */
export interface ChangedFile {
  readonly inode: number;
  readonly path: readonly string[];
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
}

/**
 * Tells the kernel that what it believes is no longer true. Each resolves when the kernel has dropped it, and never rejects: what
 * it does not know is dropped already. To await one inside a call about the same file or directory is a deadlock, for the kernel
 * waits for that call first; tell it without awaiting, or afterwards.
 */
export interface KernelCaches {
  /** Attributes alone. */
  dropAttributes(inode: number): Promise<void>;
  /** Attributes, and pages: of the whole file, or of a part. Pages that were written and not yet sent come here first. */
  dropData(inode: number, part?: Space): Promise<void>;
  dropName(place: Place): Promise<void>;
  /**
   * As `dropData`, of a file that is open here and that another client has changed: also its size and times, which are the kernel's in
   * write-back mode. False when the kernel did not take them.
   */
  dropFile(file: ChangedFile): Promise<boolean>;
}

export interface FileSystem {
  /** What the kernel is told when it mounts; each is constant. */
  readonly traits: {
    /** Locks are asked for here. Otherwise the kernel keeps them, and they hold on this mount only. */
    readonly locks: boolean;
    /** Otherwise there are none, and the kernel stops asking. */
    readonly extendedAttributes: boolean;
    /**
     * The kernel keeps what is written through its page cache for a while, writes whole pages, and is the one who knows sizes and times
     * meanwhile. `dropData` has it write them first.
     */
    readonly writeBack: boolean;
  };
  /** Called once, when the kernel has agreed and before the first call. */
  attach(caches: KernelCaches): void;

  lookup(call: Call, place: Place): Answer<EntryReply | NoEntry>;
  /** The kernel knows this number no more. Nothing to answer, and it must not throw. */
  forget(inode: number): void;
  getAttributes(call: Call, inode: number, handle?: number): Answer<AttributesReply>;
  setAttributes(call: Call, inode: number, change: AttributesChange): Answer<AttributesReply>;
  readLink(call: Call, inode: number): Answer<string>;

  /** As `create`, `makeNode` and the others that make a name: `already_exists` where it is taken. */
  makeDirectory(call: Call, place: Place, mode: number): Answer<EntryReply>;
  makeNode(call: Call, node: NewNode): Answer<EntryReply>;
  makeSymlink(call: Call, place: Place, target: string): Answer<EntryReply>;
  link(call: Call, inode: number, place: Place): Answer<EntryReply>;
  /** A file that is open lives on without a name until its last handle is released. A directory is `is_a_directory`. */
  unlink(call: Call, place: Place): Answer<void>;
  removeDirectory(call: Call, place: Place): Answer<void>;
  /** "replace" puts it over what is there, atomically; "keep" is `already_exists` instead; "exchange" needs both. */
  rename(call: Call, from: Place, to: Place, existing: "replace" | "keep" | "exchange"): Answer<void>;

  open(call: Call, inode: number, options: OpenOptions): Answer<OpenReply>;
  /** `place` was free a moment ago. With `exclusive` it must still be, else what has come there meanwhile is opened. */
  create(call: Call, place: Place, options: OpenOptions & { readonly mode: number; readonly exclusive: boolean }): Answer<CreateReply>;
  /** In write-back mode also through a file that is open to write alone: the kernel completes pages. Fewer bytes than asked for are the end of the file, nothing else. Pieces are sent on as they are, without a copy. */
  read(call: Call, file: OpenFile, options: ReadOptions): Answer<Uint8Array | readonly Uint8Array[]>;
  /** Answers how many bytes were taken; fewer than given only when there is room for no more. */
  write(call: Call, file: OpenFile, data: Uint8Array, options: WriteOptions): Answer<number>;
  /** At each close, of which one open file may have several: reports what could not be stored, and ends the `fcntl` locks of the owner. */
  flush(call: Call, file: OpenFile, lockOwner: bigint): Answer<void>;
  /** Durable in the sense of the file system when it is answered. */
  sync(call: Call, file: OpenFile, options: { readonly dataOnly: boolean }): Answer<void>;
  /** After the last close, exactly once for each handle; its error reaches nobody. `flockOwner` is whose `flock` ends. */
  release(call: Call, file: OpenFile, flockOwner?: bigint): Answer<void>;

  openDirectory(call: Call, inode: number): Answer<OpenReply>;
  /** Entries with `.` and `..`, in any order that stays. Each call may answer from a snapshot that was made at `after: 0`. */
  list(call: Call, directory: OpenFile, options: ListOptions): Answer<readonly ListedEntry[]>;
  syncDirectory(call: Call, directory: OpenFile): Answer<void>;
  releaseDirectory(call: Call, directory: OpenFile): Answer<void>;

  usage(call: Call, inode: number): Answer<FileSystemUsage>;

  /** `no_attribute` where there is none of that name. */
  getExtendedAttribute(call: Call, inode: number, name: string): Answer<Uint8Array>;
  /** "create" is `already_exists` where there is one, "replace" `no_attribute` where there is none. */
  setExtendedAttribute(call: Call, inode: number, name: string, value: Uint8Array, existing: "either" | "create" | "replace"): Answer<void>;
  listExtendedAttributes(call: Call, inode: number): Answer<readonly string[]>;
  removeExtendedAttribute(call: Call, inode: number, name: string): Answer<void>;

  changeSpace(call: Call, file: OpenFile, change: SpaceChange): Answer<void>;
  /** From `offset` on; `past_end` when it is at or after the end, and for "data" when only a hole follows. May await `dropData`. */
  seek(call: Call, file: OpenFile, offset: number, wanted: "data" | "hole"): Answer<number>;
  /** Answers how many bytes were copied. `unsupported` has the kernel read and write them. */
  copyRange(call: Call, request: CopyRequest): Answer<number>;

  /** The first lock that is in the way of this one, undefined when it could be had. */
  testLock(call: Call, file: OpenFile, lock: LockRequest): Answer<LockRange | undefined>;
  /** `locked` when it cannot be had at once and `wait` is false. A wait ends with `signal`; it has no time limit. */
  setLock(call: Call, file: OpenFile, lock: LockRequest, options: { readonly wait: boolean }): Answer<void>;
}
