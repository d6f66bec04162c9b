/**
 * Who may give things other names.
 *
 * Invariant: nobody gains a right by it that somebody did not choose to give, and nobody keeps one through another name that was
 * taken from it. A file with several names has the rights of all their directories, so another name gives the file to whoever
 * was granted something there, for good: a copy, in contrast, would show them what it was. Therefore whoever links across directories
 * holds its rights on a directory above all names together, where a revocation ends them for all; and where something is granted
 * further down, on the way to one name and not to another, all four rights, for all may be passed on.
 */
import type { Inode } from "../../protocol/ids.ts";
import { type Right, rights } from "../../protocol/rights.ts";
import type { EntryRef } from "../meta/store.ts";
import type { Clearance } from "./access.ts";
import type { CoordinatorService } from "./service.ts";

const toLink: readonly Right[] = ["read", "write"];

type Names = Pick<CoordinatorService, "metadata">;

export async function needToLink({ metadata }: Names, clearance: Clearance, link: { inode: Inode; directory: Inode }): Promise<void> {
  const { inode, directory } = link;
  await clearance.need("read", inode);
  await clearance.need("write", directory);
  if (clearance.isAdministrator) return;
  const places = await metadata.placesOf(inode);
  const ground = await metadata.groundOf([directory, ...places.map((place) => place.directory)]);
  for (const right of ground.grantedBelow ? rights : toLink) await clearance.need(right, ground.directory);
}

/** Moving to another directory takes what copying and removing would; and for a file with other names what linking would. */
export async function needToMove(names: Names, clearance: Clearance, { from, to }: { from: EntryRef; to: EntryRef }): Promise<void> {
  await clearance.need("write", from.parent);
  if (from.parent === to.parent) return;
  await clearance.need("delete", from.parent);
  // Or moving would be a way to read: what lies in the target has the target's rights.
  await clearance.need("read", from.parent);
  await clearance.need("write", to.parent);
  if (clearance.isAdministrator) return;
  const moved = await names.metadata.lookup(from);
  if (moved && moved.type !== "directory" && moved.links > 1) {
    await needToLink(names, clearance, { inode: moved.inode, directory: to.parent });
  }
}
