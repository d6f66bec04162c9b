/** Requests about the content of files that are open, or being opened. */
import type { Answer } from "../vfs/file-system.ts";
import { type Context, giveUp, nothing, type OperationTable, opened, place, type Reply, then } from "./operation.ts";
import {
  FUSE_FSYNC_FDATASYNC,
  FUSE_RELEASE_FLOCK_UNLOCK,
  FUSE_WRITE_CACHE,
  FUSE_WRITE_KILL_SUIDGID,
  fuse_copy_file_range_in,
  fuse_create_in,
  fuse_fallocate_in,
  fuse_flush_in,
  fuse_fsync_in,
  fuse_lk_in,
  fuse_lseek_in,
  fuse_lseek_out,
  fuse_open_in,
  fuse_read_in,
  fuse_release_in,
  fuse_write_in,
  fuse_write_out,
  fuse_opcode as op,
} from "./protocol.ts";
import { writeEntry, writeLock, writeOpen } from "./reply.ts";
import { lockOf, openFlags, openOptionsOf, seekTargetOf, spaceChangeOf } from "./values.ts";

export const fileOperations: OperationTable = [
  [op.FUSE_OPEN, { name: "open", run: open }],
  [op.FUSE_CREATE, { name: "create", run: create }],
  [op.FUSE_READ, { name: "read", run: read }],
  [op.FUSE_WRITE, { name: "write", run: write, holdsBuffer: true }],
  [op.FUSE_FLUSH, { name: "flush", run: flush }],
  [op.FUSE_FSYNC, { name: "fsync", run: sync }],
  [op.FUSE_RELEASE, { name: "release", run: release }],
  [op.FUSE_FALLOCATE, { name: "fallocate", run: changeSpace }],
  [op.FUSE_LSEEK, { name: "lseek", run: seek }],
  [op.FUSE_COPY_FILE_RANGE, { name: "copy_file_range", run: copyRange }],
  [op.FUSE_GETLK, { name: "getlk", run: testLock }],
  [op.FUSE_SETLK, { name: "setlk", run: (on) => setLock(on, false) }],
  [op.FUSE_SETLKW, { name: "setlkw", run: (on) => setLock(on, true), waits: true }],
];

function open({ fs, call, request }: Context): Answer<Reply> {
  const inode = request.nodeid;
  const options = openOptionsOf(request.u32(fuse_open_in.flags), request.u32(fuse_open_in.open_flags));
  return then(fs.open(call, inode, options), (reply) => ({
    write: (out) => writeOpen(out, reply),
    lost: () => giveUp(() => fs.release(call, { inode, handle: reply.handle })),
  }));
}

function create(on: Context): Answer<Reply> {
  const { fs, call, nodes, request } = on;
  const flags = request.u32(fuse_create_in.flags);
  const options = {
    ...openOptionsOf(flags, request.u32(fuse_create_in.open_flags)),
    mode: request.u32(fuse_create_in.mode) & 0o7777,
    exclusive: (flags & openFlags.O_EXCL) !== 0,
  };
  return then(fs.create(call, place(on, fuse_create_in.size), options), (reply) => {
    const { inode } = reply.entry.attributes;
    return {
      write: (out) => {
        writeEntry(out, reply.entry);
        writeOpen(out, reply);
      },
      taken: () => nodes.remember(inode),
      lost: () => {
        giveUp(() => fs.release(call, { inode, handle: reply.handle }));
        nodes.dismiss(inode);
      },
    };
  });
}

function read(on: Context): Answer<Reply> {
  const { request } = on;
  request.require(fuse_read_in.size);
  const options = { offset: request.u64(fuse_read_in.offset), lengthBytes: request.u32(fuse_read_in.size_) };
  return then(on.fs.read(on.call, opened(on, fuse_read_in.fh), options), (bytes) => ({
    write: (out) => out.send(bytes instanceof Uint8Array ? [bytes] : bytes),
  }));
}

function write(on: Context): Answer<Reply> {
  const { request } = on;
  request.require(fuse_write_in.size);
  const writeFlags = request.u32(fuse_write_in.write_flags);
  const data = request.bytes(fuse_write_in.size, request.u32(fuse_write_in.size_));
  const options = {
    offset: request.u64(fuse_write_in.offset),
    append: (request.u32(fuse_write_in.flags) & openFlags.O_APPEND) !== 0,
    fromCache: (writeFlags & FUSE_WRITE_CACHE) !== 0,
    clearSetIds: (writeFlags & FUSE_WRITE_KILL_SUIDGID) !== 0,
  };
  return then(on.fs.write(on.call, opened(on, fuse_write_in.fh), data, options), countReply);
}

function countReply(bytes: number): Reply {
  return { write: (out) => out.u32(out.room(fuse_write_out.size), bytes) };
}

function flush(on: Context): Answer<Reply> {
  return then(on.fs.flush(on.call, opened(on, fuse_flush_in.fh), on.request.u64Exact(fuse_flush_in.lock_owner)), nothing);
}

function sync(on: Context): Answer<Reply> {
  const dataOnly = (on.request.u32(fuse_fsync_in.fsync_flags) & FUSE_FSYNC_FDATASYNC) !== 0;
  return then(on.fs.sync(on.call, opened(on, fuse_fsync_in.fh), { dataOnly }), nothing);
}

function release(on: Context): Answer<Reply> {
  const { request } = on;
  const endsFlock = (request.u32(fuse_release_in.release_flags) & FUSE_RELEASE_FLOCK_UNLOCK) !== 0;
  const owner = endsFlock ? request.u64Exact(fuse_release_in.lock_owner) : undefined;
  return then(on.fs.release(on.call, opened(on, fuse_release_in.fh), owner), nothing);
}

function changeSpace(on: Context): Answer<Reply> {
  return then(on.fs.changeSpace(on.call, opened(on, fuse_fallocate_in.fh), spaceChangeOf(on.request)), nothing);
}

function seek(on: Context): Answer<Reply> {
  const { fs, call, request } = on;
  const wanted = seekTargetOf(request.u32(fuse_lseek_in.whence));
  const found = fs.seek(call, opened(on, fuse_lseek_in.fh), request.u64(fuse_lseek_in.offset), wanted);
  return then(found, (offset) => ({ write: (out) => out.u64(out.room(fuse_lseek_out.size), offset) }));
}

function copyRange(on: Context): Answer<Reply> {
  const { request } = on;
  request.require(fuse_copy_file_range_in.size);
  const copied = on.fs.copyRange(on.call, {
    from: { ...opened(on, fuse_copy_file_range_in.fh_in), offset: request.u64(fuse_copy_file_range_in.off_in) },
    to: {
      inode: request.u64(fuse_copy_file_range_in.nodeid_out),
      handle: request.u64(fuse_copy_file_range_in.fh_out),
      offset: request.u64(fuse_copy_file_range_in.off_out),
    },
    lengthBytes: request.u64(fuse_copy_file_range_in.len),
  });
  return then(copied, countReply);
}

function testLock(on: Context): Answer<Reply> {
  const lock = lockOf(on.request);
  const inTheWay = on.fs.testLock(on.call, opened(on, fuse_lk_in.fh), lock);
  return then(inTheWay, (found) => ({ write: (out) => writeLock(out, found ?? { ...lock, type: "none" }) }));
}

function setLock(on: Context, wait: boolean): Answer<Reply> {
  return then(on.fs.setLock(on.call, opened(on, fuse_lk_in.fh), lockOf(on.request), { wait }), nothing);
}
