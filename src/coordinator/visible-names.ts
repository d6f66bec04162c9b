/** Paths and listings as a caller sees them: all of what it may read, and of the rest the ways to that. */
import { type Inode, rootInode } from "../../protocol/ids.ts";
import type { Attr, DirectoryEntry } from "../../protocol/schema.ts";
import type { EntryRef, MetadataStore } from "../meta/store.ts";
import { endOfWalk } from "../meta/walk.ts";
import type { Clearance } from "./access.ts";
import { compareNames } from "./visible-ways.ts";

/** As `Namespace.resolve`: a walk ends where the caller sees no further, as if nothing were there. */
export async function resolveVisible(
  metadata: MetadataStore,
  clearance: Clearance,
  components: readonly string[],
): Promise<{ parent: Attr | null; attr: Attr | null }> {
  if (clearance.isAdministrator) return await metadata.resolve(components);
  const walked = await metadata.walk(components);
  // Whoever may read the last sees the way to it, too; but a file by this name of it, not by another.
  const last = walked.findLast((attr) => attr.type === "directory");
  if (last && (await clearance.rightsOn(last.inode)).has("read")) return endOfWalk(components, walked);
  const ways = await clearance.ways();
  const hidden = walked.findIndex((attr) => !ways.has(attr.inode));
  return endOfWalk(components, hidden < 0 ? walked : walked.slice(0, hidden));
}

/** As `Namespace.lookup`. */
export async function lookupVisible(metadata: MetadataStore, clearance: Clearance, entry: EntryRef): Promise<Attr | null> {
  if (!clearance.isAdministrator && !(await clearance.rightsOn(entry.parent)).has("read")) {
    const ways = await clearance.ways();
    if (ways.has(entry.parent)) return ways.entriesIn(entry.parent).find(({ name }) => name === entry.name)?.attr ?? null;
    await clearance.need("read", entry.parent);
  }
  return await metadata.lookup(entry);
}

export interface Page {
  readonly inode: Inode;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** As `Namespace.list`. */
export async function listVisible(
  metadata: MetadataStore,
  clearance: Clearance,
  page: Page,
): Promise<{ entries: DirectoryEntry[]; more: boolean }> {
  if (!clearance.isAdministrator && !(await clearance.rightsOn(page.inode)).has("read")) {
    const steps = (await clearance.ways()).entriesIn(page.inode);
    if (steps.length > 0 || page.inode === rootInode) return pageOf(steps, page);
  }
  await clearance.need("read", page.inode);
  return await metadata.list(page.inode, page);
}

function pageOf(sorted: readonly DirectoryEntry[], { after = "", limit }: Page): { entries: DirectoryEntry[]; more: boolean } {
  const rest = sorted.filter(({ name }) => compareNames(name, after) > 0);
  return { entries: rest.slice(0, limit), more: rest.length > limit };
}
