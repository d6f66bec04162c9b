/**
 * Moves files and trees inside a member, as mv(1) does: by renaming, and from one datastore to another by
 * copying and removing. Such a copy grows under a name of its own beside the target and takes its name when it is whole.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { type CopyOptions, type CopyTotals, copyTo } from "./copy.ts";
import { statPath } from "./files.ts";
import type { Remote } from "./remote.ts";
import { isWithin, shownPath, type TargetPlace, targetPlaceOf } from "./remote-tree.ts";

/** Of the hidden name that a copy has until it is whole. */
const movingPrefix = ".collective-moving-";
const movingNameBytes = 8;
/** How long it may take to remove a copy that is not needed. */
const cleanUpTimeoutMs = 5_000;

/**
 * Replaces a file at the target, and a directory if it is empty. Between datastores the source goes
 * only when its copy is durable and has its name; a file that somebody changed meanwhile stays and gives
 * `conflict`. A move that fails before leaves both places as they were.
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
  const totals = await copyWhole(remote, { attr, from, place }, options);
  await remote.control.call(routes.remove, { ...source, kind: "tree" }, { signal });
  return totals;
}

async function copyWhole(
  remote: Remote,
  { attr, from, place }: { readonly attr: Attr; readonly from: readonly string[]; readonly place: TargetPlace },
  options: CopyOptions,
): Promise<CopyTotals> {
  const { signal } = options;
  const name = `${movingPrefix}${Buffer.from(remote.random.bytes(movingNameBytes)).toString("hex")}`;
  const moving = { parent: place.parent.inode, name };
  const hidden: TargetPlace = { ...place, name, existing: undefined, components: [...place.components.slice(0, -1), name] };
  try {
    const totals = await copyTo(remote, { attr, place: hidden }, options);
    const now = await statPath(remote, from, signal);
    if (now.inode !== attr.inode || now.version !== attr.version) {
      throw new CollectiveError("conflict", `${shownPath(from)} was changed while it was being moved, so it stays where it is`, {
        hint: "run the command again",
      });
    }
    await remote.control.call(
      routes.rename,
      { from: moving, to: { parent: place.parent.inode, name: place.name }, replace: true },
      { signal },
    );
    return totals;
  } catch (error) {
    // Without the signal: it is what may have ended the move.
    await remote.control.call(routes.remove, { ...moving, kind: "tree" }, { timeoutMs: cleanUpTimeoutMs }).catch((failure: unknown) => {
      const { code, message } = toCollectiveError(failure);
      if (code !== "not_found") remote.log.warn("part of a copy was left", { path: shownPath(hidden.components), code, error: message });
    });
    throw error;
  }
}

/** What rename(2) would say, for the move that is a copy. */
async function assertReplaceable(
  remote: Remote,
  { place, byDirectory }: { readonly place: TargetPlace; readonly byDirectory: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { existing, components } = place;
  if (!existing) return;
  if (!byDirectory) {
    if (existing.type === "directory") throw new CollectiveError("is_a_directory", `${shownPath(components)} is a directory`);
    return;
  }
  if (existing.type !== "directory") throw new CollectiveError("not_a_directory", `${shownPath(components)} exists and is not a directory`);
  const { entries } = await remote.control.call(routes.list, { inode: existing.inode, limit: 1 }, { signal });
  if (entries.length > 0) throw new CollectiveError("not_empty", `${shownPath(components)} is not empty`);
}
