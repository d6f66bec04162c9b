/** Moves files and trees inside a member, as mv(1) does: by renaming, and from one datastore to another by copying and removing. */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import { type CopyOptions, type CopyTotals, copyTo } from "./copy.ts";
import { statPath } from "./files.ts";
import type { Remote } from "./remote.ts";
import { isWithin, shownPath, type TargetPlace, targetPlaceOf } from "./remote-tree.ts";

/**
 * Replaces a file at the target, and a directory if it is empty. Between datastores the source goes
 * only when its copy is durable; a file that somebody changed meanwhile stays and gives `conflict`.
 */
export async function movePath(
  remote: Remote,
  { from, to }: { readonly from: readonly string[]; readonly to: readonly string[] },
  options: CopyOptions = {},
): Promise<CopyTotals> {
  const { signal } = options;
  const name = from.at(-1);
  if (name === undefined) throw new CollectiveError("invalid_argument", "the root cannot be moved");
  const { parent, attr } = await remote.control.call(routes.resolve, { components: [...from] }, { signal });
  if (!attr || !parent) throw new CollectiveError("not_found", `${shownPath(from)} does not exist`);
  const place = await targetPlaceOf(remote, { from, to }, signal);
  if (place.existing?.inode === attr.inode) {
    throw new CollectiveError("invalid_argument", `${shownPath(from)} and ${shownPath(place.components)} are the same file`);
  }
  if (attr.type === "directory" && isWithin(place.components, from)) {
    throw new CollectiveError("invalid_argument", `${shownPath(from)} cannot be moved into itself`);
  }
  const source = { parent: parent.inode, name };
  try {
    await remote.control.call(
      routes.rename,
      { from: source, to: { parent: place.parent.inode, name: place.name }, replace: true },
      { signal },
    );
    return { degradedChunks: 0 };
  } catch (error) {
    if (!(error instanceof CollectiveError) || error.code !== "cross_store") throw error;
  }
  await assertReplaceable(remote, { place, byDirectory: attr.type === "directory" }, signal);
  const totals = await copyTo(remote, { attr, place }, options);
  const now = await statPath(remote, from, signal);
  if (now.inode !== attr.inode || now.version !== attr.version) {
    throw new CollectiveError("conflict", `${shownPath(from)} was changed while it was being moved, so it stays where it is`, {
      hint: `${shownPath(place.components)} is a copy of what it was before`,
    });
  }
  await remote.control.call(routes.remove, { ...source, kind: "tree" }, { signal });
  return totals;
}

/** What rename(2) would say, for the move that is a copy. */
async function assertReplaceable(
  remote: Remote,
  { place, byDirectory }: { readonly place: TargetPlace; readonly byDirectory: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { existing, components } = place;
  if (!existing || !byDirectory) return;
  if (existing.type !== "directory") throw new CollectiveError("not_a_directory", `${shownPath(components)} exists and is not a directory`);
  const { entries } = await remote.control.call(routes.list, { inode: existing.inode, limit: 1 }, { signal });
  if (entries.length > 0) throw new CollectiveError("not_empty", `${shownPath(components)} is not empty`);
}
