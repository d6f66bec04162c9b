/**
 * The collective as a file system: POSIX meaning over the client library.
 *
 * - Names and attributes are the coordinator's, and believed as `Beliefs` says; whoever opens a file asks anew, so what another
 *   client has closed is seen (close-to-open).
 * - Content is read and written as `FileContent` says, and committed at `fsync` and `close`: durable then on as many nodes as the
 *   datastore asks for and are there.
 * - Owners, modes, links, times and extended attributes are kept by the coordinator as they are given; whether a caller's user may do
 *   something the kernel has checked by them, and whether the person who mounted it may, the coordinator checks for each call.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { statPath } from "../client/files.ts";
import type { Remote } from "../client/remote.ts";
import type { ShownOwner } from "./attributes.ts";
import { createBeliefs } from "./beliefs.ts";
import { createChunkFolder } from "./chunk-folder.ts";
import { createExtendedAttributes } from "./extended-attributes.ts";
import { createFileLocks } from "./file-locks.ts";
import { createFileOperations } from "./file-operations.ts";
import type { FileSystem, KernelCaches } from "./file-system.ts";
import { obeyGrants } from "./grants.ts";
import { createListing } from "./listing.ts";
import { createNameOperations } from "./name-operations.ts";
import { createNodes } from "./nodes.ts";
import { createOpenFiles, type UnsavedFiles } from "./opened-file.ts";
import { createRealms, type OtherMembers } from "./realms.ts";
import { createReplies } from "./replies.ts";
import { createSpoolFolder } from "./spool.ts";
import { createReadMemory } from "./stored-content.ts";
import { createUsage } from "./usage.ts";

export interface CollectiveFileSystemOptions {
  readonly remote: Remote;
  /** Undefined where none are shown: in a directory of another member's. */
  readonly others: OtherMembers | undefined;
  /** The directory that is shown, from the member's root. */
  readonly components: readonly string[];
  readonly readOnly: boolean;
  readonly owner: ShownOwner;
  /** For what is written and not stored yet; this process alone uses it. */
  readonly spoolFolder: string;
  readonly spoolBytesMax: number;
  /** Chunks that were read; shared with other mounts. */
  readonly chunkFolder: string;
  readonly chunkFolderBytesMax: number;
}

export interface CollectiveFileSystem extends FileSystem {
  /** What this machine has and the collective has not. */
  unsaved(): UnsavedFiles;
  /** Stores what is left, as far as that goes within the time. Answers the names of what could not be, which is lost with this process. */
  stop(options: { readonly withinMs: number }): Promise<readonly string[]>;
}

/** Throws `not_found` and `not_a_directory` for what cannot be shown. */
export async function openCollectiveFileSystem(options: CollectiveFileSystemOptions): Promise<CollectiveFileSystem> {
  const { remote, components, others, owner } = options;
  const { clock, random, log } = remote;
  const root = await rootOf(options);
  const realms = createRealms({ remote, prefix: components, others, onNews: (realm, news) => beliefs.hear(realm, news) });
  let caches: KernelCaches | undefined;
  const nodes = createNodes({
    realm: realms.own,
    root,
    nowMs: () => clock.monotonicMs(),
    onLost: (place) => void caches?.dropName(place),
  });
  const files = createOpenFiles({
    nodes,
    spools: createSpoolFolder({ folder: options.spoolFolder, random }),
    memory: createReadMemory(createChunkFolder({ folder: options.chunkFolder, bytesMax: options.chunkFolderBytesMax, clock, random })),
    spoolBytesMax: options.spoolBytesMax,
    clock,
    log,
    caches: () => caches,
  });
  const locks = createFileLocks({ nodes, files, log });
  const quietly = (what: string, done: Promise<void>): Promise<void> =>
    done.catch((error: unknown) => log.debug(`${what} failed`, { error: String(error) }));
  const beliefs = createBeliefs({
    nodes,
    clock,
    caches: () => caches,
    refresh: (node) =>
      quietly(
        "looking again at an open file",
        files.flushKernel(node).then(() => files.refresh(node)),
      ),
    recall: (realm, inode) => void quietly("yielding a file", locks.recall(realm, inode)),
    lost: (realm) => {
      for (const { opened, realm: of } of nodes.all()) if (opened && of === realm) opened.leased = false;
      void quietly("claiming locks", locks.reclaim(realm));
    },
  });
  const replies = createReplies({ nodes, realms, beliefs, owner, clock });
  const names = createNameOperations({ nodes, replies, files, beliefs, clock });
  const usage = createUsage({ own: others?.own, clock });
  const system: CollectiveFileSystem = {
    traits: { locks: true, extendedAttributes: true, writeBack: true },
    attach: (given) => {
      caches = given;
    },
    lookup: (call, place) => replies.lookup(place, call.signal),
    forget: nodes.forget,
    ...names,
    ...createFileOperations({ nodes, replies, files, names, locks, beliefs, clock, caches: () => caches }),
    ...createListing({ nodes, realms, replies, beliefs, clock }),
    usage: (call, inode) => usage(nodes.get(inode), call.signal),
    ...createExtendedAttributes({ nodes, replies, clock }),
    testLock: (call, { inode }, lock) => locks.test(nodes.get(inode), lock, call.signal),
    setLock: (call, { inode }, lock, { wait }) => locks.set(nodes.get(inode), lock, { wait, signal: () => call.signal }),
    unsaved: files.unsaved,
    stop: async ({ withinMs }) => {
      using _ = files;
      const left = await files.stop(withinMs);
      await realms.stop();
      return left.map((node) => `/${nodes.pathOf(node).join("/")}`);
    },
  };
  return options.readOnly ? readOnly(system) : obeyGrants(system, { nodes, clock });
}

async function rootOf({ remote, components }: CollectiveFileSystemOptions): Promise<Attr> {
  const attr = await statPath(remote, components);
  if (attr.type !== "directory") throw new CollectiveError("not_a_directory", `/${components.join("/")} is not a directory`);
  // For the root itself, `resolve` and `getAttr` say the same.
  return await remote.control.call(routes.getAttr, { inode: attr.inode });
}

function refuse(): never {
  throw new CollectiveError("read_only", "it was mounted with --read-only");
}

/** The kernel is told so, too; this is for whoever asks without it. */
function readOnly(system: CollectiveFileSystem): CollectiveFileSystem {
  return {
    ...system,
    setAttributes: refuse,
    makeDirectory: refuse,
    makeNode: refuse,
    makeSymlink: refuse,
    link: refuse,
    unlink: refuse,
    removeDirectory: refuse,
    rename: refuse,
    create: refuse,
    setExtendedAttribute: refuse,
    removeExtendedAttribute: refuse,
    open: (call, inode, options) => (options.access === "read" && !options.truncate ? system.open(call, inode, options) : refuse()),
  };
}
