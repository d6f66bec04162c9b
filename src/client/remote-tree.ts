/** Trees at a member, and the places that `cp` and `mv` mean by a target. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import type { Attr } from "../../protocol/schema.ts";
import { listDirectory, type Place, placeOf } from "./files.ts";
import type { Remote } from "./remote.ts";

export interface TreeEntry {
  /** From the start of the walk on, without the start itself. */
  readonly below: readonly string[];
  readonly attr: Attr;
}

/** Everything below a directory; each directory before what is in it. */
export async function* walkTree(remote: Remote, start: Inode, signal?: AbortSignal): AsyncGenerator<TreeEntry> {
  const waiting: { readonly inode: Inode; readonly below: readonly string[] }[] = [{ inode: start, below: [] }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    for await (const { name, attr } of listDirectory(remote, next.inode, signal)) {
      if (signal?.aborted) throw new CollectiveError("cancelled", "cancelled");
      const below = [...next.below, name];
      yield { below, attr };
      if (attr.type === "directory") waiting.push({ inode: attr.inode, below });
    }
  }
}

/** A path at some member. */
export interface RemotePlace {
  /** Undefined is the own one. */
  readonly member: GlobalName | undefined;
  /** The same object for the same member. */
  readonly remote: Remote;
  readonly components: readonly string[];
}

export interface TargetPlace extends Place, RemotePlace {}

/** As in cp(1) and mv(1): an existing directory takes the source inside it by its name, anything else is the new name. */
export async function targetPlaceOf(from: readonly string[], to: RemotePlace, signal?: AbortSignal): Promise<TargetPlace> {
  const { remote, components } = to;
  const name = from.at(-1);
  if (name === undefined) throw new CollectiveError("invalid_argument", "the root is not a file or directory that can be copied or moved");
  if (components.length > 0) {
    const place = await placeOf(remote, components, signal);
    if (place.existing?.type !== "directory") return { ...to, ...place };
  }
  const inside = [...components, name];
  return { ...to, ...(await placeOf(remote, inside, signal)), components: inside };
}

/** True for the ancestor itself, too. */
export function isWithin(place: RemotePlace, ancestor: RemotePlace): boolean {
  return place.remote === ancestor.remote && ancestor.components.every((name, index) => place.components[index] === name);
}

/** Inode numbers mean something at one member alone. */
export function isSameFile(place: TargetPlace, source: { readonly remote: Remote; readonly attr: Attr }): boolean {
  return place.remote === source.remote && place.existing?.inode === source.attr.inode;
}

/** How a path is shown to people. */
export function shownPath(components: readonly string[]): string {
  return `/${components.join("/")}`;
}
