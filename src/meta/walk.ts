/** Paths: from the root down by names, and from an inode up to its names. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import type { Attr, DirectoryEntry } from "../../protocol/schema.ts";
import { attrOf, childRow, type InodeRow, inodeRow, type MetadataContext, statement } from "./context.ts";

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
    const kind = last?.type === "symlink" ? "a symbolic link" : "a file";
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
      "SELECT entry.parent, entry.name, inode.* FROM entry JOIN inode ON inode.id = entry.inode WHERE entry.inode = ? LIMIT 1",
    ).get(at);
    if (!entry) return undefined;
    way.unshift({ name: entry.name, attr: attrOf(entry) });
    at = entry.parent;
  }
  return way;
}

export function pathTo(way: readonly DirectoryEntry[] | undefined): string | undefined {
  return way && `/${way.map(({ name }) => name).join("/")}`;
}
