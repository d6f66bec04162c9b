/**
 * Copies files and trees inside a member and between members, as cp(1) does, and keeps their modes and times. Inside a
 * datastore a copy is a second name for the same chunks and moves none; between datastores, whose keys differ, the
 * content passes through this machine. Each member decides what may be read or written at it.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { formatPath } from "../../protocol/path.ts";
import { routes } from "../../protocol/routes.ts";
import { type Attr, posixOwnerOf } from "../../protocol/schema.ts";
import { forEachLimited } from "../core/limiter.ts";
import { makeDirectories } from "./directories.ts";
import { listDirectory, statPath } from "./files.ts";
import type { Remote } from "./remote.ts";
import { isSameFile, isWithin, type RemotePlace, type TargetPlace, targetPlaceOf } from "./remote-tree.ts";
import { createStoreTransfer, type StoreTransfer } from "./store-transfer.ts";

export interface CopyOptions {
  readonly signal?: AbortSignal | undefined;
  /** What there is to copy in all. */
  readonly onFound?: ((found: { readonly files: number; readonly bytes: number }) => void) | undefined;
  /** Bytes are of content that went through this machine. */
  readonly onProgress?: ((done: { readonly files: number; readonly bytes: number }) => void) | undefined;
  /** Each thing that is copied, as it was found. */
  readonly onEntry?: ((entry: FoundEntry) => void) | undefined;
}

export interface CopyTotals {
  readonly degradedChunks: number;
  readonly because: readonly string[];
}

/** One file or link, and where it goes. */
export interface CopyItem {
  readonly attr: Attr;
  readonly parent: Inode;
  readonly name: string;
}

/** A file or directory where it was found. */
export interface FoundEntry {
  /** Undefined for the one that the copy begins with. */
  readonly directory: Inode | undefined;
  readonly name: string;
  readonly attr: Attr;
}

interface Copier extends StoreTransfer {
  readonly movesBytes: boolean;
}

/** Requests in flight: the coordinator writes those that arrive together to disk together. */
const requestsInFlightMax = 32;

/** Throws `is_a_directory` for a directory unless `recursive`. What stands at the target is replaced; directories are merged. */
export async function copyPath(
  request: { readonly from: RemotePlace; readonly to: RemotePlace; readonly recursive: boolean },
  options: CopyOptions = {},
): Promise<CopyTotals> {
  const { from, to } = request;
  const source = { remote: from.remote, attr: await statPath(from.remote, from.components, options.signal) };
  if (source.attr.type === "directory" && !request.recursive) {
    throw new CollectiveError("is_a_directory", `${formatPath(from)} is a directory`, { hint: "copy directories with -r" });
  }
  const place = await targetPlaceOf(from.components, to, options.signal);
  if (source.attr.type === "directory" && isWithin(place, from)) {
    throw new CollectiveError("invalid_argument", `${formatPath(from)} cannot be copied into itself`);
  }
  if (isSameFile(place, source)) {
    throw new CollectiveError("invalid_argument", `${formatPath(from)} and ${formatPath(place)} are the same file`);
  }
  return await copyTo(source, place, options);
}

/** What is to be copied, where it was found. */
export interface CopySource {
  readonly remote: Remote;
  readonly attr: Attr;
}

/** The copying itself, for a target that has been looked at. */
export async function copyTo(source: CopySource, place: TargetPlace, options: CopyOptions = {}): Promise<CopyTotals> {
  const { signal } = options;
  const { remote: from, attr } = source;
  const { remote: to, name } = place;
  options.onEntry?.({ directory: undefined, name, attr });
  if (attr.type !== "directory") {
    const copier = createCopier({ source, to, store: storeOf(place) }, options);
    options.onFound?.({ files: 1, bytes: copier.movesBytes ? attr.sizeBytes : 0 });
    await copier.add({ attr, parent: place.parent.inode, name });
    return await copier.finish();
  }
  if (place.existing && place.existing.type !== "directory") {
    throw new CollectiveError("not_a_directory", `${formatPath(place)} exists and is not a directory`);
  }
  const usage = await from.control.call(routes.usage, { inode: attr.inode }, { signal });
  const target = await makeOne(to, { attr, parent: place.parent.inode, name }, signal);
  const copier = createCopier({ source, to, store: target.store ?? target.inode }, options);
  options.onFound?.({ files: usage.files, bytes: copier.movesBytes ? usage.logicalBytes : 0 });
  await copyTree({ from, to, source: attr, target, copier }, options);
  return await copier.finish();
}

function storeOf(place: TargetPlace): Inode {
  if (place.existing?.type === "directory") throw new CollectiveError("is_a_directory", `${formatPath(place)} is a directory`);
  if (place.store !== undefined) return place.store;
  throw new CollectiveError("invalid_argument", "only datastores can stand in the root", {
    hint: `make one and copy into it: collective mkdir ${formatPath(place)}`,
  });
}

async function makeOne(remote: Remote, { attr, parent, name }: CopyItem, signal: AbortSignal | undefined): Promise<Attr> {
  const [made] = await makeDirectories(remote, [{ parent, name, mode: attr.mode, ...posixOwnerOf(attr) }], signal);
  if (!made) throw new CollectiveError("internal", "a directory was not made");
  return made;
}

interface TreeCopy {
  readonly from: Remote;
  readonly to: Remote;
  readonly source: Attr;
  readonly target: Attr;
  readonly copier: Copier;
}

async function copyTree({ from, to, source, target, copier }: TreeCopy, { signal, onEntry }: CopyOptions): Promise<void> {
  const waiting: { readonly source: Attr; readonly target: Attr }[] = [{ source, target }];
  const directories = [...waiting];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const below: { readonly name: string; readonly attr: Attr }[] = [];
    for await (const { name, attr } of listDirectory(from, next.source.inode, signal)) {
      if (signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
      onEntry?.({ directory: next.source.inode, name, attr });
      if (attr.type === "directory") below.push({ name, attr });
      else await copier.add({ attr, parent: next.target.inode, name });
    }
    const parent = next.target.inode;
    const made = await makeDirectories(
      to,
      below.map(({ name, attr }) => ({ parent, name, mode: attr.mode, ...posixOwnerOf(attr) })),
      signal,
    );
    const pairs = below.flatMap(({ attr }, index) => {
      const fresh = made[index];
      return fresh ? [{ source: attr, target: fresh }] : [];
    });
    waiting.push(...pairs);
    directories.push(...pairs);
  }
  await copier.finish();
  // Only now: what is put into a directory changes its time.
  await forEachLimited(directories, requestsInFlightMax, async (pair) => {
    const { mode, mtimeNs } = pair.source;
    await to.control.call(routes.setAttr, { inode: pair.target.inode, mode, mtimeNs }, { signal });
  });
}

interface CopyEnds {
  readonly source: CopySource;
  readonly to: Remote;
  /** At `to`. */
  readonly store: Inode;
}

function createCopier({ source, to, store }: CopyEnds, options: CopyOptions): Copier {
  const isSameStore = source.remote === to && source.attr.store === store;
  const copier = isSameStore ? createCloner(to, options) : createStoreTransfer({ from: source.remote, to, store }, options);
  return { ...copier, movesBytes: !isSameStore };
}

function createCloner(remote: Remote, { signal, onProgress }: CopyOptions): StoreTransfer {
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const assertGoing = (): void => {
    if (failure) throw failure.error;
  };
  return {
    add: async ({ attr, parent, name }) => {
      assertGoing();
      const cloned = remote.control
        .call(routes.clone, { source: attr.inode, to: { parent, name }, replace: true }, { signal })
        .then(
          () => onProgress?.({ files: 1, bytes: 0 }),
          (error: unknown) => {
            failure ??= { error };
          },
        )
        .finally(() => running.delete(cloned));
      running.add(cloned);
      if (running.size >= requestsInFlightMax) await Promise.race(running);
    },
    finish: async () => {
      await Promise.all(running);
      assertGoing();
      return { degradedChunks: 0, because: [] };
    },
  };
}
