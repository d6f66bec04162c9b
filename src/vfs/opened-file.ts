/**
 * Files with open handles, and those that are not stored yet.
 *
 * - A file is committed when somebody asks for it, when much of it is unsaved, and after its last close; one commit of a file at a
 *   time, in turn with whatever moves or removes its name.
 * - A commit says which version it was made over. When another client was faster, what was written here is put over the
 *   other's version, and committed again: of bytes that both wrote, the last close wins, the rest of both stays.
 * - What could not be stored is kept, told to whoever asks next, and tried again until the mount ends.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { extentsPerCommitMax, mebibyte } from "../../protocol/limits.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { createBatchedWriter } from "./batched-content.ts";
import { createFileContent } from "./file-content.ts";
import type { KernelCaches } from "./file-system.ts";
import { isSeenOtherwise, noteSeen, showOpen } from "./kernel-view.ts";
import { type Node, type Nodes, turnsOf } from "./nodes.ts";
import { newOpened, type OpenedFile, onlyAppends } from "./opened.ts";
import { currentAttr } from "./realms.ts";
import { createRounds } from "./rounds.ts";
import type { SpoolFolder } from "./spool.ts";
import { type ContentWriter, createContentWriter, type StoredFile, type StoreRequest } from "./store-content.ts";
import { openStored, type ReadMemory, type StoredContent, staleError } from "./stored-content.ts";

export interface OpenFiles {
  /** `attr` is fresh. Each is followed by one `close`. */
  open(node: Node, fresh: { readonly attr: Attr; readonly leased: boolean }): Promise<OpenedFile>;
  /** Never throws: what could not be stored is kept. */
  close(node: Node): Promise<void>;
  write(node: Node, data: Uint8Array, at: number): Promise<void> | undefined;
  /** Durable when it resolves; `progress` is called as it comes nearer. */
  commit(node: Node, progress?: () => void, options?: { readonly closing?: boolean }): Promise<void>;
  /**
   * Makes a range of one file a range of another one in the same datastore, by naming its extents again; what is not stored yet is stored
   * first. `unsupported` when somebody else writes there meanwhile.
   */
  copyRange(from: Node, to: Node, range: CopiedRange): Promise<void>;
  /** Of an open file that another client has changed: resolves when the kernel knows. */
  letKernelSee(node: Node): Promise<void>;
  /** What the kernel has of it and has not written yet comes here before it resolves. */
  flushKernel(node: Node): Promise<void>;
  /** Another client has changed it, or may have: shows that, where nothing written here lies over it. */
  refresh(node: Node): Promise<void>;
  /** At each close: durable when it resolves, or on its way while nobody else can look. */
  flush(node: Node, progress: () => void): Promise<void> | undefined;
  /** Somebody else wants to look: resolves when all that was closed is stored, or could not be. */
  recall(node: Node): Promise<void>;
  /** In turn with its commits. */
  exclusively<T>(node: Node | undefined, task: () => Promise<T>): Promise<T>;
  unsaved(): UnsavedFiles;
  /** Stores what is left, within that time; answers what could not be. */
  stop(withinMs: number): Promise<readonly Node[]>;
}

export interface CopiedRange {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

export interface UnsavedFiles {
  readonly bytes: number;
  /** Whose last try to be stored has failed. */
  readonly failed: number;
}

export interface OpenFilesOptions {
  readonly nodes: Nodes;
  readonly spools: SpoolFolder;
  readonly memory: ReadMemory;
  /** Of written bytes on this machine. */
  readonly spoolBytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly caches: () => KernelCaches | undefined;
}

/** Sent in the background as soon as a file has so much of it. */
const backgroundBytes = 64 * mebibyte;
/** Or so many pieces: a commit carries a limited number. */
export const backgroundPieces = extentsPerCommitMax / 8;
/** Less is in memory, which has its own bound. */
const spooledBytesMin = mebibyte;
/** Of one file, and files of which the last close need not wait. */
const storedLaterBytesMax = mebibyte;
const storedLaterMax = 512;
/** What is closed within this time is stored together. */
const storedLaterMs = 50;
const rebasesMax = 5;
const retryIntervalMs = 5_000;

export function createOpenFiles(options: OpenFilesOptions): OpenFiles & Disposable {
  const { nodes, spools, memory, clock, log } = options;
  const writer: ContentWriter = createBatchedWriter(createContentWriter());
  const active = new Set<Node>();
  /** The last commit failed: closing tells of the next one. */
  let isDoubtful = false;
  const later = createRounds(clock, storedLaterMs);

  const versionOf = (node: Node, attr: Attr): StoredContent =>
    openStored({ remote: node.realm.remote, inode: attr.inode, version: attr.version, sizeBytes: attr.sizeBytes }, memory);
  const show = (node: Node, opened: OpenedFile): Promise<void> | undefined => {
    const caches = options.caches();
    opened.dropping = caches && showOpen(node, nodes, caches);
    return opened.dropping;
  };
  const rebase = (node: Node, opened: OpenedFile, attr: Attr): void => {
    opened.content.rebase(versionOf(node, attr));
    node.attr = attr;
    node.shownVersion = undefined;
    void show(node, opened);
  };

  type Store = (request: StoreRequest) => Promise<StoredFile | undefined>;
  const commitOnce = async (node: Node, opened: OpenedFile, store: Store, reachesTo?: number): Promise<void> => {
    const { content, mode, modifiedNs, changedNs } = opened;
    const { place, attr, realm } = node;
    const askedMs = clock.monotonicMs();
    if (!place || attr.store === undefined) throw staleError();
    const unsaved = content.takeUnsaved(reachesTo);
    const { inode, version } = unsaved.stored;
    try {
      const done = await store({
        remote: realm.remote,
        store: attr.store,
        unsaved,
        read: content.read,
        onProgress: () => {
          for (const progress of opened.waiting) progress();
        },
        file: {
          parent: nodes.get(place.parent).inode,
          name: place.name,
          // What was not changed here may have been elsewhere.
          ...(mode === undefined ? {} : { mode }),
          ...(modifiedNs === undefined ? {} : { mtimeNs: modifiedNs }),
          ...(changedNs === undefined ? {} : { changedNs }),
          // Wherever another client has moved it.
          inode,
          replaces: { inode, version },
        },
      });
      if (!done) {
        content.giveBack(unsaved);
        return;
      }
      content.committed(done.stored);
      if (node.shownVersion === version) node.shownVersion = done.attr.version;
      const isSeen = node.seen?.version === version;
      node.attr = done.attr;
      if (opened.writers.direct > 0 && opened.writers.cached === 0) void show(node, opened);
      else if (isSeen) noteSeen(node);
      node.askedMs = askedMs;
      if (opened.mode === mode) opened.mode = undefined;
      if (opened.modifiedNs === modifiedNs) opened.modifiedNs = undefined;
      if (opened.changedNs === changedNs) opened.changedNs = undefined;
    } catch (error) {
      content.giveBack(unsaved);
      throw error;
    }
  };
  /** Another client has changed or removed it. Throws what the commit did when it has not. */
  const catchUp = async (node: Node, opened: OpenedFile, failure: CollectiveError): Promise<void> => {
    const { stored } = opened.content;
    const attr = await currentAttr(node.realm, stored.inode);
    if (attr?.version === stored.version) throw failure;
    if (attr) {
      await opened.content.moveAppended(attr.sizeBytes);
      rebase(node, opened, attr);
      return;
    }
    node.attr = { ...node.attr, links: 0 };
    nodes.remove(node);
  };
  const commitInTurn = async (node: Node, opened: OpenedFile): Promise<void> => {
    const { content } = opened;
    for (let attempt = 0; content.hasUnsaved && !node.isRemoved; attempt++) {
      try {
        await commitOnce(node, opened, writer.store);
        opened.hasFailed = false;
        isDoubtful = false;
        return;
      } catch (thrown) {
        let error = toCollectiveError(thrown);
        if (attempt < rebasesMax && mayBeChanged(error)) {
          const failure = await catchUp(node, opened, error).then(() => undefined, toCollectiveError);
          if (!failure) continue;
          error = failure;
        }
        if (!opened.hasFailed)
          log.warn("a file could not be stored, and is kept to be tried again", { name: node.place?.name, error: error.message });
        opened.hasFailed = true;
        isDoubtful = true;
        throw error;
      }
    }
  };
  /** What was written in pieces becomes what it would have been at once; nothing is lost where that fails. */
  const defragment = async (node: Node, { content, handles }: OpenedFile): Promise<void> => {
    if (handles > 1 || node.isRemoved || content.hasUnsaved || !content.hasFragments || !node.opened) return;
    await commitOnce(node, node.opened, writer.defragment).catch((error: unknown) => {
      log.debug("a file stays in pieces", { name: node.place?.name, error: toCollectiveError(error).message });
    });
  };
  const commit: OpenFiles["commit"] = async (node, progress = () => undefined, { closing = false } = {}) => {
    const { opened } = node;
    if (!opened) return;
    opened.waiting.add(progress);
    try {
      await turnsOf(node).run(async () => {
        await commitInTurn(node, opened);
        if (closing) await defragment(node, opened);
      });
    } finally {
      opened.waiting.delete(progress);
    }
  };
  const settle = (node: Node): void => {
    const { opened } = node;
    if (!opened || opened.handles > 0 || (opened.content.hasUnsaved && !node.isRemoved)) return;
    opened.content.discard();
    node.opened = undefined;
    active.delete(node);
    if (isSeenOtherwise(node)) for (const place of node.places.values()) void options.caches()?.dropName(place);
  };
  const commitQuietly = async (node: Node): Promise<void> => {
    await commit(node, undefined, { closing: node.opened?.handles === 0 }).catch(() => undefined);
    settle(node);
  };

  const spooledBytes = (): number => {
    let bytes = 0;
    for (const { opened } of active) bytes += opened?.content.localBytes ?? 0;
    return bytes;
  };
  const makeRoom = async (): Promise<void> => {
    const largest = [...active].sort((one, other) => (other.opened?.content.localBytes ?? 0) - (one.opened?.content.localBytes ?? 0));
    let failure: unknown;
    for (const node of largest) {
      if (spooledBytes() <= options.spoolBytesMax / 2) return;
      await commit(node).catch((error: unknown) => {
        failure ??= error;
      });
      if (!node.isRemoved) node.opened?.content.dropLocal();
    }
    if (spooledBytes() <= options.spoolBytesMax) return;
    throw (
      failure ??
      new CollectiveError("no_space", "what was written and is not stored yet fills the cache", { hint: "use a larger --cache-size" })
    );
  };

  const retries = clock.every(retryIntervalMs, () => {
    for (const node of active) if (node.opened?.hasFailed) void commitQuietly(node);
  });
  return {
    open: async (node, { attr, leased }) => {
      const opened: OpenedFile = node.opened ?? newOpened(createFileContent(versionOf(node, attr), spools), leased);
      opened.handles++;
      opened.leased ||= leased;
      // Not while it is committed, where there is nothing to be done.
      if (node.opened === opened && attr.version > opened.content.stored.version) {
        await turnsOf(node).run(async () => {
          if (!opened.content.hasUnsaved && attr.version > opened.content.stored.version) rebase(node, opened, attr);
        });
      }
      node.opened = opened;
      active.add(node);
      return opened;
    },
    close: async (node) => {
      const { opened } = node;
      if (!opened) return;
      opened.handles--;
      await opened.storing;
      if (opened.handles === 0) await commitQuietly(node);
      node.realm.session.close(node.inode);
    },
    write: (node, data, at) => {
      const { opened } = node;
      if (!opened) throw new CollectiveError("bad_handle", "the file is not open");
      const { content } = opened;
      const noteWritten = (): void => {
        const nowNs = BigInt(Math.trunc(clock.wallMs())) * 1_000_000n;
        opened.modifiedNs = nowNs;
        opened.changedNs = nowNs;
        const isMuch = content.unsavedBytes >= backgroundBytes || content.unsavedPieces >= backgroundPieces;
        if (isMuch && turnsOf(node).inUse === 0) void commitQuietly(node);
      };
      const isFull = content.localBytes >= spooledBytesMin && spooledBytes() + data.length > options.spoolBytesMax;
      if (isFull) {
        const isEnd = onlyAppends(opened) && at === content.sizeBytes;
        return (async () => {
          await makeRoom();
          await content.write(data, isEnd ? content.sizeBytes : at, onlyAppends(opened));
          noteWritten();
        })();
      }
      const pending = content.write(data, at, onlyAppends(opened));
      if (pending) return pending.then(noteWritten);
      noteWritten();
      return undefined;
    },
    commit,
    copyRange: async (from, to, { from: start, to: at, bytes }) => {
      await commit(from);
      await commit(to);
      await turnsOf(to).run(async () => {
        const { opened } = to;
        if (!opened || !from.opened || opened.content.hasUnsaved || from.opened.content.hasUnsaved) throw changedMeanwhile();
        const source = from.opened.content.stored;
        if (source.sizeBytes < start + bytes) throw changedMeanwhile();
        opened.modifiedNs = BigInt(Math.trunc(clock.wallMs())) * 1_000_000n;
        const parts = source.parts({ start, end: start + bytes });
        const copy: Store = async (request) => await writer.copy(request, { parts: await parts, at });
        await commitOnce(to, opened, copy, at + bytes).catch((thrown: unknown) => {
          const error = toCollectiveError(thrown);
          throw mayBeChanged(error) || error.code === "conflict" || error.code === "too_large" ? changedMeanwhile(error) : error;
        });
        opened.content.noteCopied({ start: at, end: at + bytes });
      });
    },
    letKernelSee: async (node) => {
      await node.opened?.dropping;
      if (node.opened && isSeenOtherwise(node)) await show(node, node.opened);
    },
    flushKernel: async (node) => {
      if (node.opened && node.opened.writers.cached > 0) await options.caches()?.dropData(node.number);
    },
    refresh: async (node) => {
      await turnsOf(node).run(async () => {
        const { opened } = node;
        if (!opened || opened.content.hasUnsaved || node.isRemoved) return;
        const askedMs = clock.monotonicMs();
        const attr = await currentAttr(node.realm, opened.content.stored.inode);
        if (attr === undefined || attr.links === 0) {
          node.attr = { ...node.attr, links: 0 };
          nodes.remove(node);
          return;
        }
        if (attr.version > opened.content.stored.version) {
          await opened.content.moveAppended(attr.sizeBytes);
          rebase(node, opened, attr);
        } else if (attr.version === node.attr.version) node.attr = attr;
        node.askedMs = askedMs;
      });
    },
    flush: (node, progress) => {
      const { opened } = node;
      if (!opened?.content.hasUnsaved) return undefined;
      const mayWait = opened.leased && !isDoubtful && later.tasks < storedLaterMax && opened.content.unsavedBytes <= storedLaterBytesMax;
      if (!mayWait) return commit(node, progress, { closing: true });
      const storing = later
        .join(() => commitQuietly(node))
        .finally(() => {
          if (opened.storing === storing) opened.storing = undefined;
        });
      opened.storing = storing;
      return undefined;
    },
    recall: async ({ opened }) => {
      if (!opened) return;
      opened.leased = false;
      if (opened.storing) later.begin();
      await opened.storing;
    },
    unsaved: () => {
      const all = [...active].flatMap(({ opened }) => opened ?? []);
      return { bytes: all.reduce((sum, { content }) => sum + content.unsavedBytes, 0), failed: all.filter((one) => one.hasFailed).length };
    },
    exclusively: async (node, task) => await (node ? turnsOf(node).run(task) : task()),
    stop: async (withinMs) => {
      later.begin();
      const late = Promise.withResolvers<void>();
      using _ = clock.every(withinMs, late.resolve);
      await Promise.race([Promise.all([...active].map(commitQuietly)), late.promise]);
      return [...active].filter((node) => node.opened?.content.hasUnsaved && !node.isRemoved);
    },
    [Symbol.dispose]: () => retries[Symbol.dispose](),
  };
}

function mayBeChanged({ code, details }: CollectiveError): boolean {
  return code === "stale" || code === "not_found" || details.expected !== undefined;
}

/** The kernel reads and writes it then. */
function changedMeanwhile(cause?: CollectiveError): CollectiveError {
  return new CollectiveError("unsupported", "the file is written to meanwhile", { cause });
}
