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
import { mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import { createLimiter, type Limiter } from "../core/limiter.ts";
import type { Log } from "../core/log.ts";
import { createBatchedWriter } from "./batched-content.ts";
import { createFileContent, type FileContent } from "./file-content.ts";
import type { KernelCaches } from "./file-system.ts";
import type { Node, Nodes } from "./nodes.ts";
import type { SpoolFolder } from "./spool.ts";
import { type ContentWriter, createContentWriter } from "./store-content.ts";
import { openStored, type PlacedExtent, type ReadMemory, type StoredContent, staleError } from "./stored-content.ts";

export interface OpenedFile {
  readonly content: FileContent;
  handles: number;
  /** What the next commit will say; undefined where that is what the coordinator knows. */
  mode: number | undefined;
  modifiedNs: bigint | undefined;
  changedNs: bigint | undefined;
  hasFailed: boolean;
  /** Nobody else has it open: what is closed may be stored a moment later. */
  leased: boolean;
  /** What was closed is being stored. */
  storing: Promise<void> | undefined;
  /** The kernel is dropping what it has of an earlier version. */
  dropping: Promise<void> | undefined;
  /** Of those who wait for a commit: called whenever a part of it is stored. */
  readonly waiting: Set<() => void>;
}

export interface OpenFiles {
  /** `attr` is fresh. Each is followed by one `close`. */
  open(node: Node, fresh: { readonly attr: Attr; readonly leased: boolean }): Promise<OpenedFile>;
  /** Never throws: what could not be stored is kept. */
  close(node: Node): Promise<void>;
  write(node: Node, data: Uint8Array, at: number): Promise<void> | undefined;
  /** Durable when it resolves; `progress` is called as it comes nearer. */
  commit(node: Node, progress?: () => void): Promise<void>;
  /** Another client has changed it, or may have: shows that, where nothing written here lies over it. */
  refresh(node: Node): Promise<void>;
  /** At each close: durable when it resolves, or on its way while nobody else can look. */
  flush(node: Node, progress: () => void): Promise<void> | undefined;
  /** Somebody else wants to look: resolves when all that was closed is stored, or could not be. */
  recall(node: Node): Promise<void>;
  /** In turn with its commits. */
  exclusively<T>(node: Node | undefined, task: () => Promise<T>): Promise<T>;
  unsaved(): UnsavedFiles;
  /** Stores what is left; answers what could not be. */
  stop(): Promise<readonly Node[]>;
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
  let storedLater = 0;
  let nextRound: PromiseWithResolvers<void> | undefined;

  const versionOf = (node: Node, attr: Attr, known?: readonly PlacedExtent[]): StoredContent =>
    openStored({ remote: node.realm.remote, inode: attr.inode, version: attr.version, sizeBytes: attr.sizeBytes }, memory, known);
  const rebase = (node: Node, opened: OpenedFile, attr: Attr): void => {
    opened.content.rebase(versionOf(node, attr));
    node.attr = attr;
    node.shownVersion = undefined;
    // Not to be awaited by whoever reads or writes the file: the kernel waits for that.
    opened.dropping = options.caches()?.dropData(node.number);
  };

  const commitOnce = async (node: Node, opened: OpenedFile): Promise<void> => {
    const { content, mode, modifiedNs, changedNs } = opened;
    const { place, attr, realm } = node;
    const askedMs = clock.monotonicMs();
    if (!place || attr.store === undefined) throw staleError();
    const unsaved = content.takeUnsaved();
    const { inode, version } = unsaved.stored;
    try {
      const stored = await writer.store({
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
          mode: mode ?? attr.mode,
          mtimeNs: modifiedNs ?? attr.mtimeNs,
          // Wherever another client has moved it.
          inode,
          replaces: { inode, version },
        },
      });
      content.committed(versionOf(node, stored.attr, stored.extents));
      if (node.shownVersion === version) node.shownVersion = stored.attr.version;
      node.attr = stored.attr;
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
    const attr = await currentAttr(node, stored);
    if (attr?.version === stored.version) throw failure;
    if (attr) {
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
        await commitOnce(node, opened);
        opened.hasFailed = false;
        isDoubtful = false;
        return;
      } catch (thrown) {
        const error = toCollectiveError(thrown);
        if (attempt < rebasesMax && mayBeChanged(error)) {
          await catchUp(node, opened, error);
          continue;
        }
        if (!opened.hasFailed)
          log.warn("a file could not be stored, and is kept to be tried again", { name: node.place?.name, error: error.message });
        opened.hasFailed = true;
        isDoubtful = true;
        throw error;
      }
    }
  };
  const commit: OpenFiles["commit"] = async (node, progress = () => undefined) => {
    const { opened } = node;
    if (!opened) return;
    opened.waiting.add(progress);
    try {
      await turnsOf(node).run(() => commitInTurn(node, opened));
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
  };
  const commitQuietly = async (node: Node): Promise<void> => {
    await commit(node).catch(() => undefined);
    settle(node);
  };

  const beginRound = (): void => {
    nextRound?.resolve();
    nextRound = undefined;
  };
  const storeLater = async (node: Node): Promise<void> => {
    if (!nextRound) {
      const round = Promise.withResolvers<void>();
      nextRound = round;
      void clock.sleep(storedLaterMs).then(() => (round === nextRound ? beginRound() : undefined));
    }
    storedLater++;
    await nextRound.promise;
    await commitQuietly(node);
    storedLater--;
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
      const opened: OpenedFile = node.opened ?? {
        content: createFileContent(versionOf(node, attr), spools),
        handles: 0,
        mode: undefined,
        modifiedNs: undefined,
        changedNs: undefined,
        hasFailed: false,
        leased,
        storing: undefined,
        dropping: undefined,
        waiting: new Set(),
      };
      opened.handles++;
      opened.leased ||= leased;
      if (node.opened === opened) {
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
        if (content.unsavedBytes >= backgroundBytes && turnsOf(node).inUse === 0) void commitQuietly(node);
      };
      const isFull = content.localBytes >= spooledBytesMin && spooledBytes() + data.length > options.spoolBytesMax;
      if (isFull) {
        return (async () => {
          await makeRoom();
          await content.write(data, at);
          noteWritten();
        })();
      }
      const pending = content.write(data, at);
      if (pending) return pending.then(noteWritten);
      noteWritten();
      return undefined;
    },
    commit,
    refresh: async (node) => {
      await turnsOf(node).run(async () => {
        const { opened } = node;
        if (!opened || opened.content.hasUnsaved || node.isRemoved) return;
        const askedMs = clock.monotonicMs();
        const attr = await currentAttr(node, opened.content.stored);
        if (attr === undefined || attr.links === 0) {
          node.attr = { ...node.attr, links: 0 };
          nodes.remove(node);
          return;
        }
        if (attr.version > opened.content.stored.version) rebase(node, opened, attr);
        else if (attr.version === node.attr.version) node.attr = attr;
        node.askedMs = askedMs;
      });
    },
    flush: (node, progress) => {
      const { opened } = node;
      if (!opened?.content.hasUnsaved) return undefined;
      const mayWait = opened.leased && !isDoubtful && storedLater < storedLaterMax && opened.content.unsavedBytes <= storedLaterBytesMax;
      if (!mayWait) return commit(node, progress);
      const storing = storeLater(node).finally(() => {
        if (opened.storing === storing) opened.storing = undefined;
      });
      opened.storing = storing;
      return undefined;
    },
    recall: async ({ opened }) => {
      if (!opened) return;
      opened.leased = false;
      if (opened.storing) beginRound();
      await opened.storing;
    },
    unsaved: () => {
      const all = [...active].flatMap(({ opened }) => opened ?? []);
      return { bytes: all.reduce((sum, { content }) => sum + content.unsavedBytes, 0), failed: all.filter((one) => one.hasFailed).length };
    },
    exclusively: async (node, task) => await (node ? turnsOf(node).run(task) : task()),
    stop: async () => {
      beginRound();
      await Promise.all([...active].map(commitQuietly));
      return [...active].filter((node) => node.opened?.content.hasUnsaved && !node.isRemoved);
    },
    [Symbol.dispose]: () => retries[Symbol.dispose](),
  };
}

function mayBeChanged({ code, details }: CollectiveError): boolean {
  return code === "stale" || code === "not_found" || details.expected !== undefined;
}

function turnsOf(node: Node): Limiter {
  node.turns ??= createLimiter(1);
  return node.turns;
}

/** Undefined when it does not exist any more. */
async function currentAttr({ realm }: Node, { inode }: StoredContent): Promise<Attr | undefined> {
  try {
    return await realm.remote.control.call(routes.getAttr, { inode });
  } catch (thrown) {
    if (toCollectiveError(thrown).code === "not_found") return undefined;
    throw thrown;
  }
}
