/**
 * A file system in memory with all that POSIX asks for: the simplest that can be mounted, and the model that others are compared
 * with. All answers are immediate, but for locks that wait.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { createWaitGraph } from "../../src/core/lock-table.ts";
import {
  type Attributes,
  type AttributesReply,
  type Call,
  type EntryReply,
  type FileKind,
  type FileSystem,
  type KernelCaches,
  type ListedEntry,
  type OpenFile,
  type Place,
  rootInode,
} from "../../src/vfs/file-system.ts";
import { createMemoryContent, type MemoryContent } from "./memory-content.ts";
import { createMemoryLocks, type MemoryLocks } from "./memory-locks.ts";

export interface MemoryFileSystemOptions {
  readonly validMs?: number;
  readonly writeBack?: boolean;
}

/** A FileSystem whose tests may look inside. */
export interface MemoryFileSystem extends FileSystem {
  /** Files, directories and links that take memory: named, open or known to the kernel. */
  nodeCount(): number;
  openCount(): number;
}

interface Node {
  readonly inode: number;
  readonly kind: FileKind;
  mode: number;
  links: number;
  uid: number;
  gid: number;
  readonly device: number;
  accessedNs: bigint;
  modifiedNs: bigint;
  changedNs: bigint;
  readonly content: MemoryContent | undefined;
  readonly children: Map<string, Node> | undefined;
  readonly target: string | undefined;
  readonly attributes: Map<string, Uint8Array>;
  readonly locks: MemoryLocks;
  /** Of a directory. */
  parent: Node | undefined;
  opens: number;
  known: boolean;
}

const setUserId = 0o4000;
const setGroupId = 0o2000;
const groupExecutes = 0o0010;
const fileBytesMax = 2 ** 46;
const capacityBytes = 2 ** 36;

const startNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
const nowNs = (): bigint => startNs + process.hrtime.bigint();

export function createMemoryFileSystem(options: MemoryFileSystemOptions = {}): MemoryFileSystem {
  let caches: KernelCaches | undefined;
  const validMs = options.validMs ?? 1_000;
  const nodes = new Map<number, Node>();
  const listings = new Map<number, readonly ListedEntry[]>();
  const graph = createWaitGraph();
  let nextInode = rootInode;
  let nextHandle = 1;
  let opens = 0;

  const makeNode = (kind: FileKind, owner: { readonly uid: number; readonly gid: number }, init: Partial<Node>): Node => {
    const atNs = nowNs();
    const node: Node = {
      inode: nextInode++,
      kind,
      mode: 0,
      links: kind === "directory" ? 2 : 1,
      uid: owner.uid,
      gid: owner.gid,
      device: 0,
      accessedNs: atNs,
      modifiedNs: atNs,
      changedNs: atNs,
      content: kind === "file" ? createMemoryContent() : undefined,
      children: kind === "directory" ? new Map() : undefined,
      target: undefined,
      attributes: new Map(),
      locks: createMemoryLocks(graph),
      parent: undefined,
      opens: 0,
      known: true,
      ...init,
    };
    nodes.set(node.inode, node);
    return node;
  };
  makeNode("directory", { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, { mode: 0o755 });

  const node = (inode: number): Node => nodes.get(inode) ?? fail("stale", "no such file");
  const directory = (inode: number): Node & { children: Map<string, Node> } => {
    const found = node(inode);
    if (!found.children) throw new CollectiveError("not_a_directory", "not a directory");
    return found as Node & { children: Map<string, Node> };
  };
  const contentOf = (found: Node): MemoryContent => found.content ?? fail("invalid_argument", "it has no content");
  const child = ({ parent, name }: Place): Node => directory(parent).children.get(name) ?? fail("not_found", "no such name");

  const attributesOf = (found: Node): Attributes => ({
    inode: found.inode,
    kind: found.kind,
    mode: found.mode,
    links: found.links,
    uid: found.uid,
    gid: found.gid,
    device: found.device,
    sizeBytes: found.content?.sizeBytes() ?? (found.target === undefined ? 0 : Buffer.byteLength(found.target)),
    storedBytes: found.content?.storedBytes() ?? 0,
    accessedNs: found.accessedNs,
    modifiedNs: found.modifiedNs,
    changedNs: found.changedNs,
  });
  const reply = (found: Node): AttributesReply => ({ attributes: attributesOf(found), attributesValidMs: validMs });
  const entry = (found: Node): EntryReply => {
    found.known = true;
    return { ...reply(found), nameValidMs: validMs };
  };

  const drop = (found: Node): void => {
    if (found.links === 0 && found.opens === 0 && !found.known) nodes.delete(found.inode);
  };
  const changed = (...touched: readonly Node[]): void => {
    for (const one of touched) one.changedNs = nowNs();
  };
  const modified = (...touched: readonly Node[]): void => {
    for (const one of touched) one.modifiedNs = one.changedNs = nowNs();
  };
  const clearSetIds = (found: Node, { caller }: Call): void => {
    if (found.children) return;
    const isStranger = caller.uid !== 0 && caller.gid !== found.gid;
    found.mode &= ~(setUserId | ((found.mode & groupExecutes) !== 0 || isStranger ? setGroupId : 0));
  };

  const insert = (call: Call, place: Place, kind: FileKind, init: Partial<Node>): Node => {
    const parent = directory(place.parent);
    if (parent.links === 0) throw new CollectiveError("not_found", "the directory was removed");
    if (parent.children.has(place.name)) throw new CollectiveError("already_exists", "the name is taken");
    const inherits = (parent.mode & setGroupId) !== 0;
    const owner = { uid: call.caller.uid, gid: inherits ? parent.gid : call.caller.gid };
    const made = makeNode(kind, owner, init);
    if (kind === "directory") {
      if (inherits) made.mode |= setGroupId;
      made.parent = parent;
      parent.links += 1;
    }
    parent.children.set(place.name, made);
    modified(parent);
    return made;
  };
  /** Takes the name away, and with it a directory's own entries. */
  const detach = (parent: Node & { children: Map<string, Node> }, name: string, found: Node): void => {
    parent.children.delete(name);
    found.links = found.children ? 0 : found.links - 1;
    if (found.children) parent.links -= 1;
    changed(found);
    modified(parent);
    drop(found);
  };
  const put = (parent: Node & { children: Map<string, Node> }, name: string, found: Node): void => {
    parent.children.set(name, found);
    if (found.children) {
      if (found.parent) found.parent.links -= 1;
      parent.links += 1;
      found.parent = parent;
    }
  };
  const openNode = (found: Node): { readonly handle: number; readonly keepCache: true } => {
    found.opens += 1;
    opens += 1;
    return { handle: nextHandle++, keepCache: true };
  };
  const closeNode = (found: Node): void => {
    found.opens -= 1;
    opens -= 1;
    drop(found);
  };
  const resize = (found: Node, sizeBytes: number): void => {
    if (sizeBytes > fileBytesMax) throw new CollectiveError("too_large", "the file would be too large");
    contentOf(found).resize(sizeBytes);
    modified(found);
  };
  const listing = (found: Node): readonly ListedEntry[] => {
    const all: [string, Node][] = [[".", found], ["..", found.parent ?? found], ...(found.children ?? [])];
    return all.map(([name, one], index) => ({ name, inode: one.inode, kind: one.kind, cookie: index + 1 }));
  };

  return {
    nodeCount: () => nodes.size,
    openCount: () => opens,
    traits: { locks: true, extendedAttributes: true, writeBack: options.writeBack ?? false },
    attach: (given) => {
      caches = given;
    },

    lookup: (_call, place) => {
      const found = directory(place.parent).children.get(place.name);
      return found ? entry(found) : { attributes: undefined, nameValidMs: validMs };
    },
    forget: (inode) => {
      const found = nodes.get(inode);
      if (!found) return;
      found.known = false;
      drop(found);
    },
    getAttributes: (_call, inode) => reply(node(inode)),
    setAttributes: (call, inode, change) => {
      const found = node(inode);
      if (change.sizeBytes !== undefined) resize(found, change.sizeBytes);
      if (change.clearSetIds) clearSetIds(found, call);
      if (change.mode !== undefined) found.mode = change.mode;
      if (change.uid !== undefined) found.uid = change.uid;
      if (change.gid !== undefined) found.gid = change.gid;
      changed(found);
      if (change.accessed !== undefined) found.accessedNs = change.accessed === "now" ? nowNs() : change.accessed;
      if (change.modified !== undefined) found.modifiedNs = change.modified === "now" ? nowNs() : change.modified;
      if (change.changed !== undefined) found.changedNs = change.changed;
      return reply(found);
    },
    readLink: (_call, inode) => node(inode).target ?? fail("invalid_argument", "not a symbolic link"),

    makeDirectory: (call, place, mode) => entry(insert(call, place, "directory", { mode })),
    makeNode: (call, { kind, mode, device, ...place }) => entry(insert(call, place, kind, { mode, device })),
    makeSymlink: (call, place, target) => entry(insert(call, place, "symlink", { mode: 0o777, target })),
    link: (_call, inode, place) => {
      const [found, parent] = [node(inode), directory(place.parent)];
      if (parent.children.has(place.name)) throw new CollectiveError("already_exists", "the name is taken");
      if (found.links === 0 || parent.links === 0) throw new CollectiveError("not_found", "it was removed");
      parent.children.set(place.name, found);
      found.links += 1;
      changed(found);
      modified(parent);
      return entry(found);
    },
    unlink: (_call, place) => {
      const found = child(place);
      if (found.children) throw new CollectiveError("is_a_directory", "a directory");
      detach(directory(place.parent), place.name, found);
    },
    removeDirectory: (_call, place) => {
      const found = child(place);
      if (!found.children) throw new CollectiveError("not_a_directory", "not a directory");
      if (found.children.size > 0) throw new CollectiveError("not_empty", "not empty");
      detach(directory(place.parent), place.name, found);
    },
    rename: (_call, from, to, existing) => {
      const [source, target, moved] = [directory(from.parent), directory(to.parent), child(from)];
      const there = target.children.get(to.name);
      if (existing === "exchange") {
        if (!there) throw new CollectiveError("not_found", "nothing to exchange it with");
        put(source, from.name, there);
        put(target, to.name, moved);
        changed(there);
      } else {
        if (there && existing === "keep") throw new CollectiveError("already_exists", "the name is taken");
        if (there === moved) return;
        if (there?.children && !moved.children) throw new CollectiveError("is_a_directory", "a directory is there");
        if (there && !there.children && moved.children) throw new CollectiveError("not_a_directory", "no directory is there");
        if (there?.children && there.children.size > 0) throw new CollectiveError("not_empty", "not empty");
        if (there) detach(target, to.name, there);
        source.children.delete(from.name);
        put(target, to.name, moved);
      }
      changed(moved);
      modified(source, target);
    },

    open: (call, inode, { truncate, clearSetIds: clears }) => {
      const found = node(inode);
      if (truncate) resize(found, 0);
      if (clears) clearSetIds(found, call);
      return openNode(found);
    },
    create: (call, place, { mode, exclusive, truncate }) => {
      const existing = exclusive ? undefined : directory(place.parent).children.get(place.name);
      if (existing && truncate) resize(existing, 0);
      const found = existing ?? insert(call, place, "file", { mode });
      return { entry: entry(found), ...openNode(found) };
    },
    read: (_call, file, { offset, lengthBytes }) => contentOf(node(file.inode)).read(offset, lengthBytes),
    write: (call, file, data, { offset, append, fromCache, clearSetIds: clears }) => {
      const found = node(file.inode);
      const content = contentOf(found);
      const at = append && !fromCache ? content.sizeBytes() : offset;
      if (at + data.length > fileBytesMax) throw new CollectiveError("too_large", "the file would be too large");
      content.write(at, data);
      if (clears) clearSetIds(found, call);
      modified(found);
      return data.length;
    },
    flush: (_call, { inode }, owner) => node(inode).locks.release("posix", owner),
    sync: () => undefined,
    release: (_call, { inode }, flockOwner) => {
      const found = node(inode);
      if (flockOwner !== undefined) found.locks.release("flock", flockOwner);
      closeNode(found);
    },

    openDirectory: (_call, inode) => openNode(directory(inode)),
    list: (_call, { inode, handle }, { after, withAttributes, entriesMax }) => {
      if (after === 0 || !listings.has(handle)) listings.set(handle, listing(directory(inode)));
      const part = (listings.get(handle) ?? []).slice(after, after + entriesMax);
      if (!withAttributes) return part;
      return part.map((one) => {
        const found = one.name === "." || one.name === ".." ? undefined : nodes.get(one.inode);
        return found && found.links > 0 ? { ...one, entry: entry(found) } : one;
      });
    },
    syncDirectory: () => undefined,
    releaseDirectory: (_call, { inode, handle }) => {
      listings.delete(handle);
      closeNode(node(inode));
    },

    usage: () => ({
      blockBytes: 4096,
      totalBytes: capacityBytes,
      freeBytes: capacityBytes / 2,
      availableBytes: capacityBytes / 2,
      inodes: 1_000_000,
      freeInodes: 1_000_000 - nodes.size,
      nameBytesMax: 255,
    }),

    getExtendedAttribute: (_call, inode, name) => node(inode).attributes.get(name) ?? fail("no_attribute", "no such attribute"),
    setExtendedAttribute: (_call, inode, name, value, existing) => {
      const found = node(inode);
      const has = found.attributes.has(name);
      if (existing === "create" && has) throw new CollectiveError("already_exists", "the attribute exists");
      if (existing === "replace" && !has) throw new CollectiveError("no_attribute", "no such attribute");
      found.attributes.set(name, Uint8Array.from(value));
      changed(found);
    },
    listExtendedAttributes: (_call, inode) => [...node(inode).attributes.keys()],
    removeExtendedAttribute: (_call, inode, name) => {
      const found = node(inode);
      if (!found.attributes.delete(name)) throw new CollectiveError("no_attribute", "no such attribute");
      changed(found);
    },

    changeSpace: (_call, { inode }, { action, offset, lengthBytes, keepSize }) => {
      const found = node(inode);
      const content = contentOf(found);
      if (offset + lengthBytes > fileBytesMax) throw new CollectiveError("too_large", "the file would be too large");
      if (action === "reserve") content.reserve(offset, lengthBytes);
      else content.punch(offset, lengthBytes);
      if (!keepSize && offset + lengthBytes > content.sizeBytes()) content.resize(offset + lengthBytes);
      modified(found);
    },
    seek: async (_call, { inode }, offset, wanted) => {
      if (options.writeBack) await caches?.dropData(inode);
      const content = contentOf(node(inode));
      if (offset >= content.sizeBytes()) throw new CollectiveError("past_end", "after the end");
      return content.seek(offset, wanted) ?? fail("past_end", "only a hole follows");
    },
    copyRange: (_call, { from, to, lengthBytes }) => {
      const [source, target] = [contentOf(node(from.inode)), node(to.inode)];
      const bytes = Buffer.concat(source.read(from.offset, lengthBytes));
      contentOf(target).write(to.offset, bytes);
      if (bytes.length > 0) modified(target);
      return bytes.length;
    },

    testLock: (_call, { inode }, lock) => node(inode).locks.test(lock),
    setLock: (call, { inode }: OpenFile, lock, { wait }) => node(inode).locks.set(lock, { wait, signal: () => call.signal }),
  };
}

function fail(code: ConstructorParameters<typeof CollectiveError>[0], message: string): never {
  throw new CollectiveError(code, message);
}
