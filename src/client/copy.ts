/**
 * Copies files and trees inside a member, as cp(1) does, and keeps their modes and times. Inside a
 * datastore a copy is a second name for the same chunks and moves none; between datastores, whose
 * keys differ, the content passes through this machine.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { forEachLimited } from "../core/limiter.ts";
import { makeDirectories } from "./directories.ts";
import { listDirectory, statPath } from "./files.ts";
import type { Remote } from "./remote.ts";
import { isWithin, shownPath, type TargetPlace, targetPlaceOf } from "./remote-tree.ts";
import { createStoreTransfer } from "./store-transfer.ts";

export interface CopyOptions {
  readonly signal?: AbortSignal | undefined;
  /** What there is to copy in all. */
  readonly onFound?: ((found: { readonly files: number; readonly bytes: number }) => void) | undefined;
  /** Bytes are of content that went through this machine. */
  readonly onProgress?: ((done: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

export interface CopyTotals {
  readonly degradedChunks: number;
}

/** One file or link, and where it goes. */
export interface CopyItem {
  readonly attr: Attr;
  readonly parent: Inode;
  readonly name: string;
}

interface Copier {
  add(item: CopyItem): Promise<void>;
  finish(): Promise<CopyTotals>;
}

/** Requests in flight: the coordinator writes those that arrive together to disk together. */
const requestsInFlightMax = 32;

/** Throws `is_a_directory` for a directory unless `recursive`. What stands at the target is replaced; directories are merged. */
export async function copyPath(
  remote: Remote,
  request: { readonly from: readonly string[]; readonly to: readonly string[]; readonly recursive: boolean },
  options: CopyOptions = {},
): Promise<CopyTotals> {
  const { from, to } = request;
  const attr = await statPath(remote, from, options.signal);
  if (attr.type === "directory" && !request.recursive) {
    throw new CollectiveError("is_a_directory", `${shownPath(from)} is a directory`, { hint: "copy directories with -r" });
  }
  const place = await targetPlaceOf(remote, { from, to }, options.signal);
  if (attr.type === "directory" && isWithin(place.components, from)) {
    throw new CollectiveError("invalid_argument", `${shownPath(from)} cannot be copied into itself`);
  }
  if (place.existing?.inode === attr.inode) {
    throw new CollectiveError("invalid_argument", `${shownPath(from)} and ${shownPath(place.components)} are the same file`);
  }
  return await copyTo(remote, { attr, place }, options);
}

/** The copying itself, for a target that has been looked at. */
export async function copyTo(
  remote: Remote,
  { attr, place }: { readonly attr: Attr; readonly place: TargetPlace },
  options: CopyOptions = {},
): Promise<CopyTotals> {
  const { signal } = options;
  if (attr.type !== "directory") {
    const store = storeOf(place);
    options.onFound?.({ files: 1, bytes: store === attr.store ? 0 : attr.sizeBytes });
    const copier = createCopier(remote, { source: attr.store, target: store }, options);
    await copier.add({ attr, parent: place.parent.inode, name: place.name });
    return await copier.finish();
  }
  if (place.existing && place.existing.type !== "directory") {
    throw new CollectiveError("not_a_directory", `${shownPath(place.components)} exists and is not a directory`);
  }
  const usage = await remote.control.call(routes.usage, { inode: attr.inode }, { signal });
  const top = await makeOne(remote, { attr, parent: place.parent.inode, name: place.name }, signal);
  options.onFound?.({ files: usage.files, bytes: top.store === attr.store ? 0 : usage.logicalBytes });
  const copier = createCopier(remote, { source: attr.store, target: top.store ?? top.inode }, options);
  await copyTree(remote, { source: attr, target: top, copier }, signal);
  return await copier.finish();
}

function storeOf(place: TargetPlace): Inode {
  if (place.existing?.type === "directory") throw new CollectiveError("is_a_directory", `${shownPath(place.components)} is a directory`);
  if (place.store !== undefined) return place.store;
  throw new CollectiveError("invalid_argument", "only datastores can stand in the root", {
    hint: `make one and copy into it: collective mkdir /${place.name}`,
  });
}

async function makeOne(remote: Remote, { attr, parent, name }: CopyItem, signal: AbortSignal | undefined): Promise<Attr> {
  const [made] = await makeDirectories(remote, [{ parent, name, mode: attr.mode }], signal);
  if (!made) throw new CollectiveError("internal", "a directory was not made");
  return made;
}

interface TreeCopy {
  readonly source: Attr;
  readonly target: Attr;
  readonly copier: Copier;
}

async function copyTree(remote: Remote, { source, target, copier }: TreeCopy, signal: AbortSignal | undefined): Promise<void> {
  const waiting: { readonly source: Attr; readonly target: Attr }[] = [{ source, target }];
  const directories = [...waiting];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const below: { readonly name: string; readonly attr: Attr }[] = [];
    for await (const { name, attr } of listDirectory(remote, next.source.inode, signal)) {
      if (signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
      if (attr.type === "directory") below.push({ name, attr });
      else await copier.add({ attr, parent: next.target.inode, name });
    }
    const parent = next.target.inode;
    const made = await makeDirectories(
      remote,
      below.map(({ name, attr }) => ({ parent, name, mode: attr.mode })),
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
    await remote.control.call(routes.setAttr, { inode: pair.target.inode, mode, mtimeNs }, { signal });
  });
}

function createCopier(
  remote: Remote,
  { source, target }: { readonly source: Inode | undefined; readonly target: Inode },
  options: CopyOptions,
): Copier {
  return source === target ? createCloner(remote, options) : createStoreTransfer(remote, target, options);
}

function createCloner(remote: Remote, { signal, onProgress }: CopyOptions): Copier {
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
      return { degradedChunks: 0 };
    },
  };
}
