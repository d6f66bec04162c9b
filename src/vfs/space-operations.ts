/** Holes, and content that is copied by naming it again. */
import { CollectiveError } from "../../protocol/errors.ts";
import { fileBytesMax, smallChunkBytes } from "../../protocol/limits.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";
import type { Node } from "./nodes.ts";
import type { OpenedFile } from "./opened.ts";
import { backgroundPieces, type OpenFiles } from "./opened-file.ts";

export interface SpaceOperationsOptions {
  readonly files: OpenFiles;
  readonly handleOf: (file: OpenFile, needed?: "read" | "write") => { readonly node: Node; readonly opened: OpenedFile };
  readonly noteChanged: (node: Node, what: { readonly modified: boolean }) => void;
}

/** Less is copied as quickly by reading and writing it, and leaves no fragments. */
const namedBytesMin = smallChunkBytes;

export function createSpaceOperations({
  files,
  handleOf,
  noteChanged,
}: SpaceOperationsOptions): Pick<FileSystem, "changeSpace" | "seek" | "copyRange"> {
  return {
    changeSpace: (_, file, { action, offset, lengthBytes, keepSize }) => {
      const { node, opened } = handleOf(file, "write");
      const end = offset + lengthBytes;
      if (end > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
      // Room cannot be reserved: nodes are chosen when content comes.
      if (action !== "reserve") opened.content.punch({ start: offset, end });
      if (!keepSize && end > opened.content.sizeBytes) opened.content.resize(end);
      noteChanged(node, { modified: true });
      return opened.content.unsavedPieces >= backgroundPieces ? files.commit(node) : undefined;
    },
    seek: async (_, file, offset, wanted) => {
      const { node, opened } = handleOf(file);
      await files.flushKernel(node);
      if (offset >= opened.content.sizeBytes) throw new CollectiveError("past_end", "it is behind the end of the file");
      const found = await opened.content.seek(offset, wanted);
      if (found === undefined) throw new CollectiveError("past_end", "only a hole follows");
      return found;
    },
    copyRange: async (_, { from, to, lengthBytes }) => {
      const [source, target] = [handleOf(from, "read"), handleOf(to, "write")];
      const bytes = Math.min(lengthBytes, source.opened.content.sizeBytes - from.offset);
      if (bytes <= 0) return 0;
      if (to.offset + bytes > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
      const isNameable = source.node.realm === target.node.realm && source.node.attr.store === target.node.attr.store;
      if (!isNameable || bytes < namedBytesMin) throw new CollectiveError("unsupported", "it has to be read and written");
      await files.copyRange(source.node, target.node, { from: from.offset, to: to.offset, bytes });
      return bytes;
    },
  };
}
