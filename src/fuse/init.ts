/** The first exchange: what the kernel can do, and what of it is wanted. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { FileSystem } from "../vfs/file-system.ts";
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_MINOR_VERSION_MIN,
  FUSE_KERNEL_VERSION,
  fuse_init_in,
  fuse_init_out,
  init_flags,
  init_flags2,
  maxWriteBytes,
  pageBytes,
} from "./protocol.ts";
import type { ReplyWriter } from "./reply.ts";
import type { Request } from "./request.ts";

/** Asynchronous requests that the kernel has under way at once: read-ahead, write-back, direct access without waiting. */
const maxBackground = 24;
const congestionThreshold = (maxBackground * 3) / 4;

/**
 * Wanted always. What is left out has a reason: AUTO_INVAL_DATA asks for attributes before each read and is replaced by `KernelCaches`;
 * DONT_MASK is for access control lists; EXPORT_SUPPORT needs numbers to be found after `forget`, across restarts.
 */
const wantedFlags =
  init_flags.FUSE_ASYNC_READ |
  init_flags.FUSE_ATOMIC_O_TRUNC |
  init_flags.FUSE_BIG_WRITES |
  init_flags.FUSE_DO_READDIRPLUS |
  init_flags.FUSE_READDIRPLUS_AUTO |
  init_flags.FUSE_ASYNC_DIO |
  init_flags.FUSE_PARALLEL_DIROPS |
  init_flags.FUSE_MAX_PAGES |
  init_flags.FUSE_CACHE_SYMLINKS |
  init_flags.FUSE_HANDLE_KILLPRIV_V2 |
  init_flags.FUSE_INIT_EXT;

/** Wanted where the kernel knows it (Linux 6.6): files that are open past the page cache can be mapped, too. */
const wantedFlags2 = init_flags2.FUSE_DIRECT_IO_ALLOW_MMAP;

/** Without these the set-id bits would stay on a changed file, and requests would be of one page. */
const neededFlags = init_flags.FUSE_ATOMIC_O_TRUNC | init_flags.FUSE_BIG_WRITES | init_flags.FUSE_MAX_PAGES;

export interface Agreement {
  readonly minor: number;
  readonly maxReadAheadBytes: number;
  readonly flags: number;
  readonly flags2: number;
}

/** "again" when the kernel is newer and has to ask in this version. Throws `unsupported` when it is too old. */
export function agree(request: Request, traits: FileSystem["traits"]): Agreement | "again" {
  request.require(fuse_init_in.size);
  const [major, minor] = [request.u32(fuse_init_in.major), request.u32(fuse_init_in.minor)];
  if (major > FUSE_KERNEL_VERSION) return "again";
  const offered = request.u32(fuse_init_in.flags);
  const isTooOld = major < FUSE_KERNEL_VERSION || minor < FUSE_KERNEL_MINOR_VERSION_MIN || (offered & neededFlags) !== neededFlags;
  if (isTooOld) {
    throw new CollectiveError("unsupported", `this kernel's FUSE is version ${major}.${minor}, which is too old`, {
      hint: "mount on Linux 4.20 or later",
    });
  }
  const isExtended = (offered & init_flags.FUSE_INIT_EXT) !== 0;
  if (isExtended) request.require(fuse_init_in.size_ext);
  const locks = traits.locks ? init_flags.FUSE_POSIX_LOCKS | init_flags.FUSE_FLOCK_LOCKS : 0;
  const writeBack = traits.writeBack ? init_flags.FUSE_WRITEBACK_CACHE : 0;
  return {
    minor: Math.min(minor, FUSE_KERNEL_MINOR_VERSION),
    maxReadAheadBytes: request.u32(fuse_init_in.max_readahead),
    flags: offered & (wantedFlags | locks | writeBack),
    flags2: isExtended ? request.u32(fuse_init_in.flags2) & wantedFlags2 : 0,
  };
}

export function writeAgreement(out: ReplyWriter, agreed: Agreement | "again"): void {
  const at = out.room(fuse_init_out.size);
  out.u32(at + fuse_init_out.major, FUSE_KERNEL_VERSION);
  out.u32(at + fuse_init_out.minor, agreed === "again" ? FUSE_KERNEL_MINOR_VERSION : agreed.minor);
  if (agreed === "again") return;
  out.u32(at + fuse_init_out.max_readahead, agreed.maxReadAheadBytes);
  out.u32(at + fuse_init_out.flags, agreed.flags);
  out.u32(at + fuse_init_out.flags2, agreed.flags2);
  out.u16(at + fuse_init_out.max_background, maxBackground);
  out.u16(at + fuse_init_out.congestion_threshold, congestionThreshold);
  out.u32(at + fuse_init_out.max_write, maxWriteBytes);
  out.u32(at + fuse_init_out.time_gran, 1);
  out.u16(at + fuse_init_out.max_pages, maxWriteBytes / pageBytes);
}
