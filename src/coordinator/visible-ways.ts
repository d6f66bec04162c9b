/**
 * The directories that were granted to somebody, and the ways to them: all that a person sees of what it may not
 * read. Where a way leads through, it shows the next step and nothing beside it.
 */
import { type Inode, rootInode } from "../../protocol/ids.ts";
import type { DirectoryEntry } from "../../protocol/schema.ts";
import { eitherOf, type HeldRights } from "./held-rights.ts";

export interface GrantedDirectory {
  /** From its datastore's root down to itself. */
  readonly way: readonly DirectoryEntry[];
  readonly held: HeldRights;
}

export interface VisibleWays {
  /** True for the root, which everybody sees, for granted directories and for all above them. */
  has(inode: Inode): boolean;
  /** The next steps from a directory. */
  entriesIn(inode: Inode): readonly DirectoryEntry[];
  /** What is held anywhere in a store, or in any; the latest end of each right. */
  rightsIn(store: Inode | undefined): HeldRights;
}

export function createVisibleWays(directories: readonly GrantedDirectory[]): VisibleWays {
  const visible = directories.filter(({ held }) => held.size > 0);
  const stepsFrom = new Map<Inode, Map<Inode, DirectoryEntry>>([[rootInode, new Map()]]);
  for (const { way } of visible) {
    let above: Inode = rootInode;
    for (const step of way) {
      const { inode } = step.attr;
      stepsFrom.get(above)?.set(inode, step);
      stepsFrom.set(inode, stepsFrom.get(inode) ?? new Map());
      above = inode;
    }
  }
  return {
    has: (inode) => stepsFrom.has(inode),
    entriesIn: (inode) => [...(stepsFrom.get(inode)?.values() ?? [])].sort((a, b) => compareNames(a.name, b.name)),
    rightsIn: (store) => eitherOf(visible.filter(({ way }) => store === undefined || way[0]?.attr.inode === store).map(({ held }) => held)),
  };
}

/** As the database sorts: by UTF-8 bytes, which is not the order of JavaScript's strings. */
export function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
