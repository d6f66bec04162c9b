/** Opening, reading, writing and changing files. */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import { withoutSetIds } from "./attributes.ts";
import type { AttributesChange, Call, Caller, FileSystem, KernelCaches, OpenFile, OpenOptions, OpenReply } from "./file-system.ts";
import { createHandles } from "./handles.ts";
import type { NameOperations } from "./name-operations.ts";
import type { Node, Nodes } from "./nodes.ts";
import type { OpenedFile, OpenFiles } from "./opened-file.ts";
import { createReadAhead, type ReadAhead } from "./read-ahead.ts";
import type { Replies } from "./replies.ts";
import { createSpaceOperations } from "./space-operations.ts";

type FileCalls = Pick<
  FileSystem,
  | "getAttributes"
  | "setAttributes"
  | "readLink"
  | "open"
  | "create"
  | "read"
  | "write"
  | "flush"
  | "sync"
  | "release"
  | "changeSpace"
  | "seek"
  | "copyRange"
>;

export interface FileOperationsOptions {
  readonly nodes: Nodes;
  readonly replies: Replies;
  readonly files: OpenFiles;
  readonly names: NameOperations;
  readonly clock: Clock;
  readonly caches: () => KernelCaches | undefined;
}

interface Handle {
  readonly node: Node;
  readonly opened: OpenedFile;
  readonly access: OpenOptions["access"];
  readonly synchronous: boolean;
  readonly ahead: ReadAhead;
}

export function createFileOperations(options: FileOperationsOptions): FileCalls {
  const { nodes, replies, files, names, clock } = options;
  const handles = createHandles<Handle>();
  const nowNs = (): bigint => BigInt(Math.trunc(clock.wallMs())) * 1_000_000n;
  const handleOf = ({ handle }: OpenFile, needed?: "read" | "write"): Handle => {
    const found = handles.get(handle);
    if (needed !== undefined && found.access !== "read_write" && found.access !== needed)
      throw new CollectiveError("bad_handle", `the file is not open to ${needed}`);
    return found;
  };
  const noteChanged = (node: Node, { modified }: { readonly modified: boolean }): void => {
    if (!node.opened) return;
    node.opened.changedNs = nowNs();
    if (modified) node.opened.modifiedNs = node.opened.changedNs;
  };
  /** Said with the next commit. */
  const clearSetIds = (node: Node, caller: Caller): void => {
    const { attributes } = replies.attributes(node);
    const mode = withoutSetIds(attributes, caller);
    if (node.opened && mode !== attributes.mode) node.opened.mode = mode;
  };
  const resize = (node: Node, opened: OpenedFile, sizeBytes: number): void => {
    if (opened.content.sizeBytes === sizeBytes) return;
    opened.content.resize(sizeBytes);
    noteChanged(node, { modified: true });
  };

  const openNode = async (node: Node, how: OpenOptions, { caller, signal }: Call): Promise<OpenReply> => {
    if (node.attr.type === "directory") throw new CollectiveError("is_a_directory", "it is a directory");
    const before = node.attr;
    // Close-to-open: whoever opens sees what any other has closed before. What has no name any more nobody else has.
    const attr = node.isRemoved ? node.attr : await replies.fresh(node, signal);
    // Or reads would end at the length that the kernel still believes. Waiting is safe here: attributes alone are dropped at once.
    if (attr.version !== before.version) await options.caches()?.dropAttributes(node.number);
    const opened = await files.open(node, attr);
    if (how.truncate) resize(node, opened, 0);
    if (how.clearSetIds) clearSetIds(node, caller);
    const { version } = opened.content.stored;
    const keepCache = node.shownVersion === version;
    node.shownVersion = version;
    const { access, synchronous, direct } = how;
    const handle = handles.add({ node, opened, access, synchronous, ahead: createReadAhead() });
    return { handle, keepCache, directIo: direct, noFlush: access === "read" };
  };

  const setSize = async (node: Node, change: AttributesChange, signal: AbortSignal): Promise<void> => {
    const { sizeBytes } = change;
    if (sizeBytes === undefined) return;
    if (node.attr.type !== "file") throw new CollectiveError("invalid_argument", "only files have a length that can be changed");
    if (change.handle !== undefined) {
      const { opened } = handleOf({ inode: node.number, handle: change.handle }, "write");
      resize(node, opened, sizeBytes);
      return;
    }
    const opened = await files.open(node, node.isRemoved ? node.attr : await replies.fresh(node, signal));
    try {
      resize(node, opened, sizeBytes);
      await files.commit(node);
    } finally {
      await files.close(node);
    }
  };
  const setOthers = async (node: Node, change: AttributesChange, { caller, signal }: Call): Promise<void> => {
    const { uid, gid, accessed: atimeNs, modified: mtimeNs } = change;
    await files.exclusively(node, async () => {
      const { attributes } = replies.attributes(node);
      const cleared = change.clearSetIds ? withoutSetIds(attributes, caller) : attributes.mode;
      const mode = change.mode ?? (cleared === attributes.mode ? undefined : cleared);
      if ([mode, uid, gid, atimeNs, mtimeNs].every((value) => value === undefined)) return;
      if (node.isRemoved) node.attr = changedHere(node.attr, { ...change, ...(mode !== undefined && { mode }) }, nowNs());
      else {
        const asked = { inode: node.inode, mode, uid, gid, atimeNs, mtimeNs };
        node.attr = await node.realm.remote.control.call(routes.setAttr, asked, { signal });
        node.askedMs = clock.monotonicMs();
      }
      // What the next commit would have said is said.
      if (node.opened && mode !== undefined) node.opened.mode = undefined;
      if (node.opened && mtimeNs !== undefined) node.opened.modifiedNs = undefined;
    });
  };
  return {
    getAttributes: (call, inode) => {
      const node = nodes.get(inode);
      return replies.isCurrent(node) ? replies.attributes(node) : replies.current(node, call.signal).then(replies.attributes);
    },
    setAttributes: async (call, inode, change) => {
      const node = nodes.get(inode);
      await setSize(node, change, call.signal);
      await setOthers(node, change, call);
      return replies.attributes(node);
    },
    readLink: (_, inode) => {
      const { target } = nodes.get(inode).attr;
      if (target === undefined) throw new CollectiveError("invalid_argument", "it is not a symbolic link");
      return target;
    },
    open: (call, inode, options) => openNode(nodes.get(inode), options, call),
    create: async (call, place, options) => {
      const node = await names.makeFile(call, place, options.mode).catch(async (error: unknown) => {
        const isTaken = error instanceof CollectiveError && error.code === "already_exists";
        const found = isTaken && !options.exclusive ? await replies.find(place, call.signal) : undefined;
        if (!found) throw error;
        return found;
      });
      const opened = await openNode(node, options, call);
      return { ...opened, entry: replies.entry(node) };
    },
    read: (_, file, { offset, lengthBytes }) => {
      const { opened, ahead } = handleOf(file, "read");
      const range = { start: offset, end: Math.min(offset + lengthBytes, opened.content.sizeBytes) };
      if (range.end <= range.start) return [];
      const views = opened.content.read(range);
      opened.content.readAhead(ahead.after(range));
      return views;
    },
    write: (call, file, data, { offset, append, clearSetIds: clears }) => {
      const { node, opened, synchronous } = handleOf(file, "write");
      if (clears) clearSetIds(node, call.caller);
      const pending = files.write(node, data, append ? opened.content.sizeBytes : offset);
      if (!pending && !synchronous) return data.length;
      return (async () => {
        await pending;
        if (synchronous) await files.commit(node);
        return data.length;
      })();
    },
    flush: (call, { handle }) => {
      const { node, access } = handles.get(handle);
      return access === "read" ? undefined : files.commit(node, () => call.progress(), { closing: true });
    },
    sync: (call, { handle }) => files.commit(handles.get(handle).node, () => call.progress()),
    release: (_, { handle }) => files.close(handles.remove(handle).node),
    ...createSpaceOperations({ files, handleOf, noteChanged }),
  };
}

/** Of what has no name any more, and so is nobody's but this mount's. */
function changedHere(attr: Attr, { mode, uid, gid, accessed, modified }: AttributesChange, nowNs: bigint): Attr {
  const time = (asked: bigint | "now" | undefined, before: bigint): bigint => (asked === "now" ? nowNs : (asked ?? before));
  return {
    ...attr,
    mode: mode ?? attr.mode,
    uid: uid ?? attr.uid,
    gid: gid ?? attr.gid,
    atimeNs: time(accessed, attr.atimeNs),
    mtimeNs: time(modified, attr.mtimeNs),
    ctimeNs: nowNs,
  };
}
