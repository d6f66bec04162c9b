/** Opening, reading, writing and changing files. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import { outcomeUnknown } from "../net/errors.ts";
import { withoutSetIds } from "./attributes.ts";
import type { Beliefs } from "./beliefs.ts";
import type { FileContent } from "./file-content.ts";
import type { FileLocks } from "./file-locks.ts";
import type { AttributesChange, Call, Caller, FileSystem, KernelCaches, OpenFile, OpenOptions, OpenReply } from "./file-system.ts";
import { createHandles } from "./handles.ts";
import { changedRuns, isSeenOtherwise, noteSeen } from "./kernel-view.ts";
import type { NameOperations } from "./name-operations.ts";
import type { Node, Nodes } from "./nodes.ts";
import type { OpenedFile } from "./opened.ts";
import type { OpenFiles } from "./opened-file.ts";
import type { Range } from "./ranges.ts";
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
  readonly locks: FileLocks;
  readonly beliefs: Beliefs;
  readonly clock: Clock;
  readonly caches: () => KernelCaches | undefined;
}

interface Handle {
  readonly node: Node;
  readonly opened: OpenedFile;
  readonly access: OpenOptions["access"];
  readonly synchronous: boolean;
  /** Through the kernel's page cache, or past it. */
  readonly writes: "cached" | "direct" | undefined;
  readonly isAppending: boolean;
  readonly ahead: ReadAhead;
}

export function createFileOperations(options: FileOperationsOptions): FileCalls {
  const { nodes, replies, files, names, locks, beliefs, clock } = options;
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

  /** As it is known here: it was just made, or has no name any more and so nobody else has it. Each is followed by `files.close`. */
  const openKnown = (node: Node, leased: boolean): Promise<OpenedFile> => {
    node.realm.session.opened(node.inode);
    return files.open(node, { attr: node.attr, leased });
  };
  /** Close-to-open: whoever opens sees what any other has closed before. */
  const openFresh = async (node: Node, access: OpenOptions["access"], signal: AbortSignal): Promise<OpenedFile> => {
    if (node.isRemoved) return await openKnown(node, true);
    return await files.open(node, await replies.opened(node, access, signal));
  };
  const handleFor = (node: Node, opened: OpenedFile, how: OpenOptions, caller: Caller): OpenReply => {
    if (how.truncate) resize(node, opened, 0);
    if (how.clearSetIds) clearSetIds(node, caller);
    const { version } = opened.content.stored;
    const keepCache = node.shownVersion === version;
    node.shownVersion = version;
    const { access, synchronous } = how;
    // The kernel writes whole pages, and appends where it believes the end to be: only where nobody else writes.
    const isDirect = how.direct || (access !== "read" && !opened.leased);
    const writes = access === "read" ? undefined : isDirect ? "direct" : "cached";
    const isAppending = writes !== undefined && how.append;
    if (writes) opened.writers[writes]++;
    if (isAppending) opened.writers.appending++;
    const handle = handles.add({ node, opened, access, synchronous, writes, isAppending, ahead: createReadAhead() });
    return { handle, keepCache, directIo: isDirect, noFlush: access === "read" };
  };
  const close = async (handle: number, flockOwner?: bigint): Promise<void> => {
    const { node, opened, writes, isAppending } = handles.remove(handle);
    if (writes) opened.writers[writes]--;
    if (isAppending) opened.writers.appending--;
    try {
      if (flockOwner !== undefined) await locks.end(node, "flock", flockOwner);
    } finally {
      await files.close(node);
    }
  };
  /** The kernel goes on with a size that is no longer true. One that has nothing else open looks the file up anew, and asks again. */
  const letSee = async (node: Node, { handle }: OpenReply, generation: number): Promise<void> => {
    const isSeen = !isSeenOtherwise(node) || !node.opened || node.opened.content.hasUnsaved;
    // Another generation has come into being meanwhile: this one's inode is dead.
    if (isSeen && node.generation === generation) return;
    if (!isSeen && node.opened && node.opened.handles > 1) return await files.letKernelSee(node);
    await close(handle);
    throw new CollectiveError("stale", "the kernel knows an earlier version");
  };
  const openNode = async (node: Node, how: OpenOptions, { caller, signal }: Call): Promise<OpenReply> => {
    if (node.attr.type === "directory") throw new CollectiveError("is_a_directory", "it is a directory");
    return handleFor(node, await openFresh(node, how.access, signal), how, caller);
  };
  /** The version that was open was replaced before that was told. */
  const readAgain = async (node: Node, content: FileContent, range: Range, thrown: unknown): Promise<Uint8Array[]> => {
    if (toCollectiveError(thrown).code !== "stale") throw thrown;
    await (content.hasUnsaved ? files.commit(node) : files.refresh(node));
    return await content.read(range);
  };

  const writeChanged = async (node: Node, { content }: OpenedFile, data: Uint8Array, at: number): Promise<void> => {
    // Where it cannot be read any more, all counts as changed: nothing that was written may be lost.
    const base = await new Promise<Uint8Array[]>((resolve) => resolve(content.read({ start: at, end: at + data.length }))).catch(() => []);
    for (const { start, end } of changedRuns(Buffer.concat(base), data)) await files.write(node, data.subarray(start, end), at + start);
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
    const opened = await openFresh(node, "write", signal);
    try {
      resize(node, opened, sizeBytes);
      await files.commit(node);
    } finally {
      await files.close(node);
    }
  };
  /** Times that the kernel has kept until now go with the bytes that it has just written. True when there was nothing else to be changed. */
  const noteTimes = ({ opened }: Node, { modified, changed, ...others }: AttributesChange): boolean => {
    const isAlone = [others.mode, others.uid, others.gid, others.accessed].every((value) => value === undefined) && !others.clearSetIds;
    if (!isAlone || changed === undefined || typeof modified !== "bigint" || !opened?.content.unsavedPieces) return false;
    opened.modifiedNs = modified;
    opened.changedNs = changed;
    return true;
  };
  const setOthers = async (node: Node, change: AttributesChange, { caller, signal }: Call): Promise<void> => {
    const { uid, gid, accessed: atimeNs, modified: mtimeNs } = change;
    if (noteTimes(node, change)) return;
    await files.exclusively(node, async () => {
      const { attributes } = replies.attributes(node);
      const cleared = change.clearSetIds ? withoutSetIds(attributes, caller) : attributes.mode;
      const mode = change.mode ?? (cleared === attributes.mode ? undefined : cleared);
      if ([mode, uid, gid, atimeNs, mtimeNs].every((value) => value === undefined)) return;
      if (node.isRemoved) node.attr = changedHere(node.attr, { ...change, ...(mode !== undefined && { mode }) }, nowNs());
      else {
        const asked = { inode: node.inode, mode, uid, gid, atimeNs, mtimeNs };
        const askedMs = clock.monotonicMs();
        const isSeen = !isSeenOtherwise(node);
        node.attr = await node.realm.remote.control.call(routes.setAttr, asked, { signal }).catch((thrown: unknown) => {
          if (outcomeUnknown(thrown)) beliefs.doubt([node]);
          throw thrown;
        });
        node.askedMs = askedMs;
        if (isSeen) noteSeen(node);
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
    open: async (call, inode, how) => {
      const node = nodes.get(inode);
      const { generation } = node;
      const { version } = node.attr;
      const reply = await openNode(node, how, call);
      // With O_TRUNC the kernel has locked the file, and has the right size by itself.
      if (how.truncate) return reply;
      // Or reads would end at the length that the kernel still believes. Waiting is safe here: attributes alone are dropped at once.
      if (node.attr.version !== version) await options.caches()?.dropAttributes(node.number);
      await letSee(node, reply, generation);
      return reply;
    },
    create: async (call, place, options) => {
      const made = await names.makeFile(call, place, options.mode).catch(async (error: unknown) => {
        const isTaken = error instanceof CollectiveError && error.code === "already_exists";
        if (!isTaken || options.exclusive) throw error;
      });
      const node = made?.node ?? (await replies.find(place, call.signal));
      if (!node) throw new CollectiveError("stale", `${place.name} was removed while it was being opened`);
      const opened = made ? handleFor(node, await openKnown(node, made.leased), options, call.caller) : await openNode(node, options, call);
      return { ...opened, entry: replies.entry(node) };
    },
    read: (_, file, { offset, lengthBytes }) => {
      const { node, opened, ahead } = handleOf(file);
      const range = { start: offset, end: Math.min(offset + lengthBytes, opened.content.sizeBytes) };
      if (range.end <= range.start) return [];
      const views = opened.content.read(range);
      opened.content.readAhead(ahead.after(range));
      return views instanceof Promise ? views.catch((thrown: unknown) => readAgain(node, opened.content, range, thrown)) : views;
    },
    write: (call, file, data, { offset, append, fromCache, clearSetIds: clears }) => {
      const { node, opened, synchronous } = handleOf(file, "write");
      if (clears) clearSetIds(node, call.caller);
      const isShared = fromCache && !opened.leased;
      const pending = isShared
        ? writeChanged(node, opened, data, offset)
        : files.write(node, data, append ? opened.content.sizeBytes : offset);
      if (!pending && !synchronous) return data.length;
      return (async () => {
        await pending;
        if (synchronous) await files.commit(node);
        return data.length;
      })();
    },
    flush: (call, { handle }, lockOwner) => {
      const { node, opened, writes } = handles.get(handle);
      const stored = writes && files.flush(node, () => call.progress());
      // Whoever looks next sees the size and the time of what was written past the kernel's cache.
      if (writes === "direct")
        return Promise.all([stored?.then(() => opened.dropping), locks.end(node, "posix", lockOwner)]).then(() => undefined);
      const ended = locks.end(node, "posix", lockOwner);
      return stored && ended ? Promise.all([stored, ended]).then(() => undefined) : (stored ?? ended);
    },
    sync: async (call, { handle }) => {
      const { node, opened } = handles.get(handle);
      const isDurable = opened.content.hasUnsaved;
      await files.commit(node, () => call.progress());
      if (!isDurable) await node.realm.session.makeDurable();
    },
    release: (_, { handle }, flockOwner) => close(handle, flockOwner),
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
