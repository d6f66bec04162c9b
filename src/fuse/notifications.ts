/**
 * `KernelCaches` by messages that the kernel did not ask for.
 *
 * In write-back mode the kernel holds its own size and time of change of a file for true, whatever it is told, for as long as it remembers the
 * file. One that nobody has open it forgets for another `generation`. One that is open it remembers; there a thread of this process
 * truncates it and sets its time, each of which the session answers with what is true, and changes nothing.
 */
import type { KernelCaches } from "../vfs/file-system.ts";
import type { FileState } from "./linux.ts";
import { fuse_notify_code, fuse_notify_inval_entry_out, fuse_notify_inval_inode_out, fuse_out_header } from "./protocol.ts";

export interface KernelCalls {
  readonly send: (message: Uint8Array) => Promise<number>;
  /** In write-back mode. The path is from the root of the mount. */
  readonly setState: ((file: FileState) => Promise<number>) | undefined;
}

/**
 * The kernel takes some of these only when it has the answer to a request about the same file or directory, so `send` must not hold up
 * the thread that answers. Its result does not matter: what the kernel does not know, it answers with ENOENT.
 */
export function createKernelCaches({ send, setState }: KernelCalls): KernelCaches {
  const post = async (message: Uint8Array): Promise<void> => {
    await send(message);
  };
  return {
    // A negative offset leaves the pages alone.
    dropAttributes: (inode) => post(inodeMessage(inode, -1, 0)),
    // A length of 0 is all that follows.
    dropData: (inode, part) => post(inodeMessage(inode, part?.offset ?? 0, part?.lengthBytes ?? 0)),
    dropName: ({ parent, name }) => post(entryMessage(parent, name)),
    dropFile: async ({ inode, path, sizeBytes, modifiedNs }) => {
      const drop = inodeMessage(inode, 0, 0);
      await post(drop);
      return setState === undefined || (await setState({ inode, path: path.join("/"), sizeBytes, modifiedNs, drop })) === 0;
    },
  };
}

function message(code: number, bodyBytes: number): { readonly bytes: Buffer; readonly at: number } {
  const bytes = Buffer.alloc(fuse_out_header.size + bodyBytes);
  bytes.writeUInt32LE(bytes.length, fuse_out_header.len);
  bytes.writeInt32LE(code, fuse_out_header.error);
  return { bytes, at: fuse_out_header.size };
}

function inodeMessage(inode: number, offset: number, lengthBytes: number): Uint8Array {
  const { bytes, at } = message(fuse_notify_code.FUSE_NOTIFY_INVAL_INODE, fuse_notify_inval_inode_out.size);
  bytes.writeBigUInt64LE(BigInt(inode), at + fuse_notify_inval_inode_out.ino);
  bytes.writeBigInt64LE(BigInt(offset), at + fuse_notify_inval_inode_out.off);
  bytes.writeBigInt64LE(BigInt(lengthBytes), at + fuse_notify_inval_inode_out.len);
  return bytes;
}

function entryMessage(parent: number, name: string): Uint8Array {
  const nameBytes = Buffer.byteLength(name);
  const { bytes, at } = message(fuse_notify_code.FUSE_NOTIFY_INVAL_ENTRY, fuse_notify_inval_entry_out.size + nameBytes + 1);
  bytes.writeBigUInt64LE(BigInt(parent), at + fuse_notify_inval_entry_out.parent);
  bytes.writeUInt32LE(nameBytes, at + fuse_notify_inval_entry_out.namelen);
  bytes.write(name, at + fuse_notify_inval_entry_out.size);
  return bytes;
}
