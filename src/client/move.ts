/**
 * Moves files and trees as mv(1) does: by renaming, and to another datastore or member by copying and removing.
 * Such a copy grows under a name of its own beside the target and takes its name when it is whole.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { formatPath } from "../../protocol/path.ts";
import { routes } from "../../protocol/routes.ts";
import { type CopyOptions, type CopySource, type CopyTotals, copyTo } from "./copy.ts";
import { statPath } from "./files.ts";
import { isSameFile, isWithin, type RemotePlace, type TargetPlace, targetPlaceOf } from "./remote-tree.ts";
import { createTreePrint, printTree } from "./tree-print.ts";

/** Of the hidden name that a copy has until it is whole. */
const movingPrefix = ".collective-moving-";
const movingNameBytes = 8;
/** How long it may take to remove a copy that is not needed. */
const cleanUpTimeoutMs = 5_000;

/**
 * Replaces a file at the target, and a directory if it is empty. A source that had to be copied goes only when all of
 * its copy is durable and has its name; one in which something changed meanwhile stays and gives `conflict`. A move
 * that fails before leaves both places as they were.
 */
export async function movePath(
  { from, to }: { readonly from: RemotePlace; readonly to: RemotePlace },
  options: CopyOptions = {},
): Promise<CopyTotals> {
  const { signal } = options;
  const { remote, components } = from;
  const name = components.at(-1);
  if (name === undefined) throw new CollectiveError("invalid_argument", "the root cannot be moved");
  const { parent, attr } = await remote.control.call(routes.resolve, { components: [...components] }, { signal });
  if (!attr || !parent) throw new CollectiveError("not_found", `${formatPath(from)} does not exist`);
  const place = await targetPlaceOf(components, to, signal);
  if (isSameFile(place, { remote, attr })) {
    throw new CollectiveError("invalid_argument", `${formatPath(from)} and ${formatPath(place)} are the same file`);
  }
  if (attr.type === "directory" && isWithin(place, from)) {
    throw new CollectiveError("invalid_argument", `${formatPath(from)} cannot be moved into itself`);
  }
  const source = { parent: parent.inode, name };
  if (place.remote === remote && (await renamed({ from, source, place }, signal))) return { degradedChunks: 0, because: [] };
  await assertReplaceable(place, { byDirectory: attr.type === "directory" }, signal);
  const totals = await copyWhole({ remote, attr }, { from, place }, options);
  await remote.control.call(routes.remove, { ...source, kind: "tree" }, { signal }).catch((thrown: unknown) => {
    const { code, message, hint } = toCollectiveError(thrown);
    throw new CollectiveError(code, `all of it is at ${formatPath(place)} now, but ${formatPath(from)} stays: ${message}`, {
      hint,
      cause: thrown,
    });
  });
  return totals;
}

interface Renaming {
  readonly from: RemotePlace;
  readonly source: { readonly parent: Inode; readonly name: string };
  readonly place: TargetPlace;
}

/** False where a rename is not possible, between two datastores. */
async function renamed({ from, source, place }: Renaming, signal: AbortSignal | undefined): Promise<boolean> {
  const to = { parent: place.parent.inode, name: place.name };
  try {
    await from.remote.control.call(routes.rename, { from: source, to, replace: true }, { signal });
    return true;
  } catch (error) {
    if (error instanceof CollectiveError && error.code === "cross_store") return false;
    throw error;
  }
}

async function copyWhole(
  source: CopySource,
  { from, place }: { readonly from: RemotePlace; readonly place: TargetPlace },
  options: CopyOptions,
): Promise<CopyTotals> {
  const { signal } = options;
  const { control, random, log } = place.remote;
  const name = `${movingPrefix}${Buffer.from(random.bytes(movingNameBytes)).toString("hex")}`;
  const moving = { parent: place.parent.inode, name };
  const hidden: TargetPlace = { ...place, name, existing: undefined, components: [...place.components.slice(0, -1), name] };
  try {
    const copied = createTreePrint();
    const totals = await copyTo(source, hidden, { ...options, onEntry: copied.note });
    const now = await statPath(from.remote, from.components, signal);
    if (!copied.equals(await printTree(from.remote, now, signal))) {
      throw new CollectiveError("conflict", `${formatPath(from)} was changed while it was being moved, so it stays where it is`, {
        hint: "run the command again",
      });
    }
    await control.call(routes.rename, { from: moving, to: { parent: place.parent.inode, name: place.name }, replace: true }, { signal });
    return totals;
  } catch (error) {
    // Without the signal: it is what may have ended the move.
    await control.call(routes.remove, { ...moving, kind: "tree" }, { timeoutMs: cleanUpTimeoutMs }).catch((failure: unknown) => {
      const { code, message } = toCollectiveError(failure);
      if (code !== "not_found") log.warn("part of a copy was left", { path: formatPath(hidden), code, error: message });
    });
    throw error;
  }
}

/** What rename(2) would say, for the move that is a copy. */
async function assertReplaceable(
  place: TargetPlace,
  { byDirectory }: { readonly byDirectory: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { existing, remote } = place;
  if (!existing) return;
  if (!byDirectory) {
    if (existing.type === "directory") throw new CollectiveError("is_a_directory", `${formatPath(place)} is a directory`);
    return;
  }
  if (existing.type !== "directory") throw new CollectiveError("not_a_directory", `${formatPath(place)} exists and is not a directory`);
  const { entries } = await remote.control.call(routes.list, { inode: existing.inode, limit: 1 }, { signal });
  if (entries.length > 0) throw new CollectiveError("not_empty", `${formatPath(place)} is not empty`);
}
