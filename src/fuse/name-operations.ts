/** Requests about names, attributes and directories. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Answer, FileSystem } from "../vfs/file-system.ts";
import {
  attributesReply,
  type Context,
  entryReply,
  giveUp,
  nameOf,
  nothing,
  type OperationTable,
  opened,
  place,
  type Reply,
  then,
} from "./operation.ts";
import {
  FUSE_GETATTR_FH,
  fuse_fsync_in,
  fuse_getattr_in,
  fuse_getxattr_in,
  fuse_getxattr_out,
  fuse_link_in,
  fuse_mkdir_in,
  fuse_mknod_in,
  fuse_read_in,
  fuse_release_in,
  fuse_rename_in,
  fuse_rename2_in,
  fuse_setxattr_in,
  fuse_opcode as op,
} from "./protocol.ts";
import { entriesThatFit, writeListed, writeOpen, writeUsage } from "./reply.ts";
import { attributesChangeOf, newNodeOf, type RenameStyle, renameStyleOf, xattrExistingOf, xattrNameOf } from "./values.ts";

export const nameOperations: OperationTable = [
  [op.FUSE_LOOKUP, { name: "lookup", run: (on) => then(on.fs.lookup(on.call, place(on, 0)), (entry) => entryReply(on, entry)) }],
  [op.FUSE_GETATTR, { name: "getattr", run: getAttributes }],
  [op.FUSE_SETATTR, { name: "setattr", run: setAttributes }],
  [op.FUSE_READLINK, { name: "readlink", run: readLink }],
  [op.FUSE_SYMLINK, { name: "symlink", run: makeSymlink }],
  [op.FUSE_MKNOD, { name: "mknod", run: makeNode }],
  [op.FUSE_MKDIR, { name: "mkdir", run: makeDirectory }],
  [op.FUSE_UNLINK, { name: "unlink", run: (on) => then(on.fs.unlink(on.call, place(on, 0)), nothing) }],
  [op.FUSE_RMDIR, { name: "rmdir", run: (on) => then(on.fs.removeDirectory(on.call, place(on, 0)), nothing) }],
  [op.FUSE_RENAME, { name: "rename", run: (on) => rename(on, fuse_rename_in.size, "replace") }],
  [
    op.FUSE_RENAME2,
    { name: "rename", run: (on) => rename(on, fuse_rename2_in.size, renameStyleOf(on.request.u32(fuse_rename2_in.flags))) },
  ],
  [op.FUSE_LINK, { name: "link", run: link }],
  [op.FUSE_STATFS, { name: "statfs", run: usage }],
  [op.FUSE_SETXATTR, { name: "setxattr", run: setExtendedAttribute, holdsBuffer: true }],
  [op.FUSE_GETXATTR, { name: "getxattr", run: getExtendedAttribute }],
  [op.FUSE_LISTXATTR, { name: "listxattr", run: listExtendedAttributes }],
  [op.FUSE_REMOVEXATTR, { name: "removexattr", run: removeExtendedAttribute }],
  [op.FUSE_OPENDIR, { name: "opendir", run: openDirectory }],
  [op.FUSE_READDIR, { name: "readdir", run: (on) => list(on, false) }],
  [op.FUSE_READDIRPLUS, { name: "readdirplus", run: (on) => list(on, true) }],
  [op.FUSE_RELEASEDIR, { name: "releasedir", run: (on) => then(on.fs.releaseDirectory(on.call, opened(on, fuse_release_in.fh)), nothing) }],
  [op.FUSE_FSYNCDIR, { name: "fsyncdir", run: (on) => then(on.fs.syncDirectory(on.call, opened(on, fuse_fsync_in.fh)), nothing) }],
];

function getAttributes({ fs, call, request }: Context): Answer<Reply> {
  request.require(fuse_getattr_in.size);
  const isOpen = (request.u32(fuse_getattr_in.getattr_flags) & FUSE_GETATTR_FH) !== 0;
  return then(fs.getAttributes(call, request.nodeid, isOpen ? request.u64(fuse_getattr_in.fh) : undefined), attributesReply);
}

function setAttributes({ fs, call, request }: Context): Answer<Reply> {
  return then(fs.setAttributes(call, request.nodeid, attributesChangeOf(request)), attributesReply);
}

function readLink({ fs, call, request }: Context): Answer<Reply> {
  return then(fs.readLink(call, request.nodeid), (target) => ({ write: (out) => out.copy(Buffer.from(target)) }));
}

function makeSymlink(on: Context): Answer<Reply> {
  const target = on.request.text(on.request.afterText(0));
  return then(on.fs.makeSymlink(on.call, place(on, 0), target), (entry) => entryReply(on, entry));
}

function makeNode(on: Context): Answer<Reply> {
  const node = newNodeOf(on.request, place(on, fuse_mknod_in.size));
  return then(on.fs.makeNode(on.call, node), (entry) => entryReply(on, entry));
}

function makeDirectory(on: Context): Answer<Reply> {
  const mode = on.request.u32(fuse_mkdir_in.mode) & 0o7777;
  return then(on.fs.makeDirectory(on.call, place(on, fuse_mkdir_in.size), mode), (entry) => entryReply(on, entry));
}

function rename(on: Context, namesAt: number, style: RenameStyle): Answer<Reply> {
  const { request } = on;
  const to = { parent: request.u64(fuse_rename_in.newdir), name: nameOf(request, request.afterText(namesAt)) };
  return then(on.fs.rename(on.call, place(on, namesAt), to, style), nothing);
}

function link(on: Context): Answer<Reply> {
  const inode = on.request.u64(fuse_link_in.oldnodeid);
  return then(on.fs.link(on.call, inode, place(on, fuse_link_in.size)), (entry) => entryReply(on, entry));
}

function usage({ fs, call, request }: Context): Answer<Reply> {
  return then(fs.usage(call, request.nodeid), (found) => ({ write: (out) => writeUsage(out, found) }));
}

function setExtendedAttribute({ fs, call, request }: Context): Answer<Reply> {
  assertAttributed(fs);
  const name = xattrNameOf(request, fuse_setxattr_in.size);
  const value = request.bytes(request.afterText(fuse_setxattr_in.size), request.u32(fuse_setxattr_in.size_));
  const existing = xattrExistingOf(request.u32(fuse_setxattr_in.flags));
  return then(fs.setExtendedAttribute(call, request.nodeid, name, value, existing), nothing);
}

function getExtendedAttribute({ fs, call, request }: Context): Answer<Reply> {
  assertAttributed(fs);
  const wantedBytes = request.u32(fuse_getxattr_in.size_);
  const value = fs.getExtendedAttribute(call, request.nodeid, xattrNameOf(request, fuse_getxattr_in.size));
  return then(value, (found) => valueReply(found, wantedBytes));
}

function listExtendedAttributes({ fs, call, request }: Context): Answer<Reply> {
  assertAttributed(fs);
  const wantedBytes = request.u32(fuse_getxattr_in.size_);
  const names = fs.listExtendedAttributes(call, request.nodeid);
  return then(names, (found) => valueReply(Buffer.from(found.map((name) => `${name}\0`).join("")), wantedBytes));
}

function removeExtendedAttribute({ fs, call, request }: Context): Answer<Reply> {
  assertAttributed(fs);
  return then(fs.removeExtendedAttribute(call, request.nodeid, xattrNameOf(request, 0)), nothing);
}

function assertAttributed({ traits }: FileSystem): void {
  if (!traits.extendedAttributes) throw new CollectiveError("not_implemented", "there are no extended attributes here");
}

/** Asked for no bytes, the length is the answer. */
function valueReply(value: Uint8Array, wantedBytes: number): Reply {
  if (wantedBytes === 0) return { write: (out) => out.u32(out.room(fuse_getxattr_out.size), value.length) };
  if (value.length > wantedBytes) throw new CollectiveError("out_of_range", `the value has ${value.length} bytes`);
  return { write: (out) => out.copy(value) };
}

function openDirectory({ fs, call, request }: Context): Answer<Reply> {
  const inode = request.nodeid;
  return then(fs.openDirectory(call, inode), (reply) => ({
    write: (out) => writeOpen(out, reply),
    lost: () => giveUp(() => fs.releaseDirectory(call, { inode, handle: reply.handle })),
  }));
}

function list(on: Context, plus: boolean): Answer<Reply> {
  const { nodes, request } = on;
  request.require(fuse_read_in.size);
  const sizeBytes = request.u32(fuse_read_in.size_);
  const options = { after: request.u64(fuse_read_in.offset), withAttributes: plus, entriesMax: entriesThatFit(sizeBytes, plus) };
  return then(on.fs.list(on.call, opened(on, fuse_read_in.fh), options), (entries) => {
    let written = 0;
    const looked = (from: number, to: number) => entries.slice(from, to).flatMap(({ entry }) => (entry ? [entry.attributes.inode] : []));
    const dismiss = (from: number): void => {
      for (const inode of looked(from, entries.length)) nodes.dismiss(inode);
    };
    return {
      write: (out) => {
        const start = out.copiedBytes;
        for (const entry of entries) {
          if (!writeListed(out, entry, { plus, bytesLeft: sizeBytes - (out.copiedBytes - start) })) break;
          written += 1;
        }
      },
      taken: () => {
        for (const inode of looked(0, written)) nodes.remember(inode);
        dismiss(written);
      },
      lost: () => dismiss(0),
    };
  });
}
