/** Requests in words, for whoever wants to see what a program really asks of a mount. */
import {
  fuse_create_in,
  fuse_fallocate_in,
  fuse_getxattr_in,
  fuse_link_in,
  fuse_lseek_in,
  fuse_mkdir_in,
  fuse_mknod_in,
  fuse_opcode,
  fuse_open_in,
  fuse_read_in,
  fuse_rename_in,
  fuse_rename2_in,
  fuse_setattr_in,
  fuse_setxattr_in,
  fuse_write_in,
} from "./protocol.ts";
import type { Request } from "./request.ts";

type Words = (request: Request) => string;

const name =
  (at: number): Words =>
  (request) =>
    JSON.stringify(request.text(at));
const names =
  (at: number): Words =>
  (request) =>
    `${JSON.stringify(request.text(at))} ${JSON.stringify(request.text(request.afterText(at)))}`;
const range =
  (offsetAt: number, lengthAt: number): Words =>
  (request) =>
    `at ${request.u64(offsetAt)} ${request.u32(lengthAt)} bytes`;

const words: ReadonlyMap<number, Words> = new Map([
  [fuse_opcode.FUSE_LOOKUP, name(0)],
  [fuse_opcode.FUSE_SYMLINK, names(0)],
  [fuse_opcode.FUSE_MKNOD, name(fuse_mknod_in.size)],
  [fuse_opcode.FUSE_MKDIR, name(fuse_mkdir_in.size)],
  [fuse_opcode.FUSE_UNLINK, name(0)],
  [fuse_opcode.FUSE_RMDIR, name(0)],
  [fuse_opcode.FUSE_RENAME, names(fuse_rename_in.size)],
  [fuse_opcode.FUSE_RENAME2, names(fuse_rename2_in.size)],
  [fuse_opcode.FUSE_LINK, name(fuse_link_in.size)],
  [fuse_opcode.FUSE_CREATE, name(fuse_create_in.size)],
  [fuse_opcode.FUSE_SETXATTR, name(fuse_setxattr_in.size)],
  [fuse_opcode.FUSE_GETXATTR, name(fuse_getxattr_in.size)],
  [fuse_opcode.FUSE_REMOVEXATTR, name(0)],
  [fuse_opcode.FUSE_OPEN, (request) => `flags 0o${request.u32(fuse_open_in.flags).toString(8)}`],
  [fuse_opcode.FUSE_SETATTR, (request) => `valid 0x${request.u32(fuse_setattr_in.valid).toString(16)}`],
  [fuse_opcode.FUSE_READ, range(fuse_read_in.offset, fuse_read_in.size_)],
  [fuse_opcode.FUSE_READDIR, range(fuse_read_in.offset, fuse_read_in.size_)],
  [fuse_opcode.FUSE_READDIRPLUS, range(fuse_read_in.offset, fuse_read_in.size_)],
  [fuse_opcode.FUSE_WRITE, range(fuse_write_in.offset, fuse_write_in.size_)],
  [fuse_opcode.FUSE_FALLOCATE, (request) => `at ${request.u64(fuse_fallocate_in.offset)} ${request.u64(fuse_fallocate_in.length)} bytes`],
  [fuse_opcode.FUSE_LSEEK, (request) => `at ${request.u64(fuse_lseek_in.offset)} whence ${request.u32(fuse_lseek_in.whence)}`],
]);

export function describeRequest(request: Request): string {
  const about = `node ${request.nodeid} uid ${request.uid} pid ${request.pid}`;
  try {
    const more = words.get(request.opcode)?.(request);
    return more === undefined ? about : `${about} ${more}`;
  } catch {
    return `${about} (malformed)`;
  }
}

/** A line for each request, while the environment has `COLLECTIVE_FUSE_TRACE`. */
export function tracerOf(
  environment: Readonly<Record<string, string | undefined>>,
  write: (text: string) => void,
): ((line: string) => void) | undefined {
  const wanted = environment.COLLECTIVE_FUSE_TRACE ?? "";
  return wanted === "" || wanted === "0" ? undefined : (line) => write(`${line}\n`);
}
