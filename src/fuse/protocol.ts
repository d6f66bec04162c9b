/**
 * The kernel's FUSE protocol: numbers and layouts under the names of include/uapi/linux/fuse.h, so that each can be looked up
 * there. A structure is the offsets of its fields and its size, in bytes; all numbers are little-endian, as is every platform that
 * this program is built for. Structures begin at multiples of 8.
 */

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor version whose structures are those below; an older kernel is answered in its own. */
export const FUSE_KERNEL_MINOR_VERSION = 38;
/** Older kernels have a shorter `fuse_init_out` and no MAX_PAGES; Linux 4.20 brought this one. */
export const FUSE_KERNEL_MINOR_VERSION_MIN = 28;

export const fuse_opcode = {
  FUSE_LOOKUP: 1,
  FUSE_FORGET: 2,
  FUSE_GETATTR: 3,
  FUSE_SETATTR: 4,
  FUSE_READLINK: 5,
  FUSE_SYMLINK: 6,
  FUSE_MKNOD: 8,
  FUSE_MKDIR: 9,
  FUSE_UNLINK: 10,
  FUSE_RMDIR: 11,
  FUSE_RENAME: 12,
  FUSE_LINK: 13,
  FUSE_OPEN: 14,
  FUSE_READ: 15,
  FUSE_WRITE: 16,
  FUSE_STATFS: 17,
  FUSE_RELEASE: 18,
  FUSE_FSYNC: 20,
  FUSE_SETXATTR: 21,
  FUSE_GETXATTR: 22,
  FUSE_LISTXATTR: 23,
  FUSE_REMOVEXATTR: 24,
  FUSE_FLUSH: 25,
  FUSE_INIT: 26,
  FUSE_OPENDIR: 27,
  FUSE_READDIR: 28,
  FUSE_RELEASEDIR: 29,
  FUSE_FSYNCDIR: 30,
  FUSE_GETLK: 31,
  FUSE_SETLK: 32,
  FUSE_SETLKW: 33,
  FUSE_ACCESS: 34,
  FUSE_CREATE: 35,
  FUSE_INTERRUPT: 36,
  FUSE_BMAP: 37,
  FUSE_DESTROY: 38,
  FUSE_IOCTL: 39,
  FUSE_POLL: 40,
  FUSE_NOTIFY_REPLY: 41,
  FUSE_BATCH_FORGET: 42,
  FUSE_FALLOCATE: 43,
  FUSE_READDIRPLUS: 44,
  FUSE_RENAME2: 45,
  FUSE_LSEEK: 46,
  FUSE_COPY_FILE_RANGE: 47,
  FUSE_SYNCFS: 50,
  FUSE_TMPFILE: 51,
  FUSE_STATX: 52,
} as const;

/** In the error field of a message that the kernel did not ask for. */
export const fuse_notify_code = { FUSE_NOTIFY_INVAL_INODE: 2, FUSE_NOTIFY_INVAL_ENTRY: 3 } as const;

/** `flags` of INIT. */
export const init_flags = {
  FUSE_ASYNC_READ: 1 << 0,
  FUSE_POSIX_LOCKS: 1 << 1,
  FUSE_ATOMIC_O_TRUNC: 1 << 3,
  FUSE_BIG_WRITES: 1 << 5,
  FUSE_FLOCK_LOCKS: 1 << 10,
  FUSE_DO_READDIRPLUS: 1 << 13,
  FUSE_READDIRPLUS_AUTO: 1 << 14,
  FUSE_ASYNC_DIO: 1 << 15,
  FUSE_WRITEBACK_CACHE: 1 << 16,
  FUSE_PARALLEL_DIROPS: 1 << 18,
  FUSE_MAX_PAGES: 1 << 22,
  FUSE_CACHE_SYMLINKS: 1 << 23,
  FUSE_HANDLE_KILLPRIV_V2: 1 << 28,
  FUSE_INIT_EXT: 1 << 30,
} as const;

/** In `flags2`, which counts with FUSE_INIT_EXT. */
export const init_flags2 = {
  FUSE_DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const;

/** `valid` of SETATTR. */
export const setattr_valid = {
  FATTR_MODE: 1 << 0,
  FATTR_UID: 1 << 1,
  FATTR_GID: 1 << 2,
  FATTR_SIZE: 1 << 3,
  FATTR_ATIME: 1 << 4,
  FATTR_MTIME: 1 << 5,
  FATTR_FH: 1 << 6,
  FATTR_ATIME_NOW: 1 << 7,
  FATTR_MTIME_NOW: 1 << 8,
  FATTR_CTIME: 1 << 10,
  FATTR_KILL_SUIDGID: 1 << 11,
} as const;

/** `open_flags` of the answers to OPEN, CREATE and OPENDIR. */
export const fopen = {
  FOPEN_DIRECT_IO: 1 << 0,
  FOPEN_KEEP_CACHE: 1 << 1,
  FOPEN_NOFLUSH: 1 << 5,
  FOPEN_PARALLEL_DIRECT_WRITES: 1 << 6,
} as const;

export const FUSE_GETATTR_FH = 1 << 0;
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
export const FUSE_RELEASE_FLOCK_UNLOCK = 1 << 1;
export const FUSE_LK_FLOCK = 1 << 0;
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_FSYNC_FDATASYNC = 1 << 0;

export const fuse_in_header = { len: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32, size: 40 } as const;
export const fuse_out_header = { len: 0, error: 4, unique: 8, size: 16 } as const;

export const fuse_init_in = { major: 0, minor: 4, max_readahead: 8, flags: 12, size: 16, flags2: 16, size_ext: 20 } as const;
export const fuse_init_out = {
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  max_background: 16,
  congestion_threshold: 18,
  max_write: 20,
  time_gran: 24,
  max_pages: 28,
  flags2: 32,
  size: 64,
} as const;

export const fuse_attr = {
  ino: 0,
  size_: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  size: 88,
} as const;
export const fuse_attr_out = { attr_valid: 0, attr_valid_nsec: 8, attr: 16, size: 104 } as const;
export const fuse_entry_out = {
  nodeid: 0,
  generation: 8,
  entry_valid: 16,
  attr_valid: 24,
  entry_valid_nsec: 32,
  attr_valid_nsec: 36,
  attr: 40,
  size: 128,
} as const;
export const fuse_forget_in = { nlookup: 0, size: 8 } as const;
export const fuse_batch_forget_in = { count: 0, size: 8 } as const;
export const fuse_forget_one = { nodeid: 0, nlookup: 8, size: 16 } as const;
export const fuse_getattr_in = { getattr_flags: 0, fh: 8, size: 16 } as const;
export const fuse_setattr_in = {
  valid: 0,
  fh: 8,
  size_: 16,
  atime: 32,
  mtime: 40,
  ctime: 48,
  atimensec: 56,
  mtimensec: 60,
  ctimensec: 64,
  mode: 68,
  uid: 76,
  gid: 80,
  size: 88,
} as const;
export const fuse_mknod_in = { mode: 0, rdev: 4, umask: 8, size: 16 } as const;
export const fuse_mkdir_in = { mode: 0, umask: 4, size: 8 } as const;
export const fuse_rename_in = { newdir: 0, size: 8 } as const;
export const fuse_rename2_in = { newdir: 0, flags: 8, size: 16 } as const;
export const fuse_link_in = { oldnodeid: 0, size: 8 } as const;
export const fuse_open_in = { flags: 0, open_flags: 4, size: 8 } as const;
export const fuse_create_in = { flags: 0, mode: 4, umask: 8, open_flags: 12, size: 16 } as const;
export const fuse_open_out = { fh: 0, open_flags: 8, size: 16 } as const;
export const fuse_release_in = { fh: 0, flags: 8, release_flags: 12, lock_owner: 16, size: 24 } as const;
export const fuse_flush_in = { fh: 0, lock_owner: 16, size: 24 } as const;
export const fuse_read_in = { fh: 0, offset: 8, size_: 16, size: 40 } as const;
export const fuse_write_in = { fh: 0, offset: 8, size_: 16, write_flags: 20, lock_owner: 24, flags: 32, size: 40 } as const;
export const fuse_write_out = { size_: 0, size: 8 } as const;
export const fuse_kstatfs = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
  size: 80,
} as const;
export const fuse_fsync_in = { fh: 0, fsync_flags: 8, size: 16 } as const;
/** Without SETXATTR_EXT. */
export const fuse_setxattr_in = { size_: 0, flags: 4, size: 8 } as const;
export const fuse_getxattr_in = { size_: 0, size: 8 } as const;
export const fuse_getxattr_out = { size_: 0, size: 8 } as const;
export const fuse_file_lock = { start: 0, end: 8, type: 16, pid: 20, size: 24 } as const;
export const fuse_lk_in = { fh: 0, owner: 8, lk: 16, lk_flags: 40, size: 48 } as const;
export const fuse_interrupt_in = { unique: 0, size: 8 } as const;
export const fuse_fallocate_in = { fh: 0, offset: 8, length: 16, mode: 24, size: 32 } as const;
export const fuse_lseek_in = { fh: 0, offset: 8, whence: 16, size: 24 } as const;
export const fuse_lseek_out = { offset: 0, size: 8 } as const;
export const fuse_copy_file_range_in = {
  fh_in: 0,
  off_in: 8,
  nodeid_out: 16,
  fh_out: 24,
  off_out: 32,
  len: 40,
  flags: 48,
  size: 56,
} as const;
export const fuse_dirent = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const;
export const fuse_notify_inval_inode_out = { ino: 0, off: 8, len: 16, size: 24 } as const;
export const fuse_notify_inval_entry_out = { parent: 0, namelen: 8, flags: 12, size: 16 } as const;

/** Records of a directory begin at multiples of 8. */
export function FUSE_REC_ALIGN(bytes: number): number {
  return (bytes + 7) & ~7;
}

/** One request carries at most this much to write, and asks to read at most as much. */
export const maxWriteBytes = 1024 * 1024;
export const pageBytes = 4096;
/** A WRITE: its data, and its header within the page before. */
export const requestBufferBytes = maxWriteBytes + pageBytes;
