/** Paths: from the root down by names, and from an inode up to its names. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import type { Attr, DirectoryEntry } from "../../protocol/schema.ts";
import { attrOf, childRow, type InodeRow, inodeRow, isNamed, type MetadataContext, statement, typeCodes } from "./context.ts";
import type { Place } from "./store.ts";

/** The root and what follows of the path, as far as it exists. */
export function walk(context: MetadataContext, components: readonly string[]): Attr[] {
  const walked = [attrOf(inodeRow(context, rootInode))];
  for (const name of components) {
    const above = walked.at(-1);
    const next = above?.type === "directory" ? childRow(context, above.inode, name) : null;
    if (!next) break;
    walked.push(attrOf(next));
  }
  return walked;
}

/**
 * What a walk says about the path: `attr` is null when only the last component is missing. Pure, so that a
 * walk that was cut short answers exactly as if there were nothing more. Throws as `Namespace.resolve`.
 */
export function endOfWalk(components: readonly string[], walked: readonly Attr[]): { parent: Attr | null; attr: Attr | null } {
  const last = walked.at(-1) ?? null;
  const found = walked.length - 1;
  if (found === components.length) return { parent: walked.at(-2) ?? null, attr: last };
  if (last?.type !== "directory") {
    const kind = last?.type === "file" ? "a file" : last?.type === "symlink" ? "a symbolic link" : "a special file";
    throw new CollectiveError("not_a_directory", `/${components.slice(0, found).join("/")} is ${kind}, not a directory`);
  }
  if (found === components.length - 1) return { parent: last, attr: null };
  throw new CollectiveError("not_found", `/${components.slice(0, found + 1).join("/")} does not exist`);
}

/** Everything from below the root down to the inode itself, empty for the root. Undefined for what has no path. */
export function wayTo(context: MetadataContext, inode: Inode): DirectoryEntry[] | undefined {
  const way: DirectoryEntry[] = [];
  for (let at: number = inode; at !== rootInode; ) {
    const entry = statement<InodeRow & { parent: number; name: string }, [number]>(
      context,
      "SELECT entry.parent, entry.name, inode.* FROM entry JOIN inode ON inode.id = entry.inode WHERE entry.inode = +? LIMIT 1",
    ).get(at);
    if (!entry) return undefined;
    way.unshift({ name: entry.name, attr: attrOf(entry) });
    at = entry.parent;
  }
  return way;
}

/**
 * Where something hangs, for whoever asks what may be done with it: a directory at itself, anything else at each directory
 * that has a name of it, and without a name at the last one that had.
 */
export function placesOf(context: MetadataContext, inode: Inode): Place[] {
  if (inodeRow(context, inode).type === typeCodes.directory) return [{ directory: inode, name: undefined }];
  const names = statement<{ parent: Inode; name: string }, [number]>(context, "SELECT parent, name FROM entry WHERE inode = ?").all(inode);
  const places = names.map(({ parent, name }) => ({ directory: parent, name }));
  // One that hangs in a removed tree counts only as long as there is no other.
  const named = places.length > 1 ? places.filter(({ directory }) => isNamed(context, directory)) : places;
  if (named.length > 0) return named;
  const home = statement<{ home: Inode }, [number]>(context, "SELECT home FROM unnamed WHERE inode = ?").get(inode);
  return home ? [{ directory: home.home, name: undefined }] : places;
}

export function pathTo(way: readonly DirectoryEntry[] | undefined): string | undefined {
  return way && `/${way.map(({ name }) => name).join("/")}`;
}
