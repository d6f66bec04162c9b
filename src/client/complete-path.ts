/** Paths that begin in a given way, for shells that complete a word while somebody waits. */
import { CollectiveError } from "../../protocol/errors.ts";
import { directoryPageEntriesMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { DirectoryEntry } from "../../protocol/schema.ts";
import { sharingMembers } from "./files.ts";
import type { Remote } from "./remote.ts";
import type { RemotePlace } from "./remote-tree.ts";

/** Of everything together, however many members and calls it takes. */
const timeoutMs = 3_000;

/** Where paths lead for the person who types them. */
export interface Paths {
  /** The own member. */
  readonly remote: Remote;
  at(text: string, signal?: AbortSignal): Promise<RemotePlace>;
}

/**
 * Whole paths, directories with a slash at the end, at most one page of them. Empty when nothing
 * begins like this, and when nobody tells in time. Names with control characters are left out: candidates are read line by line.
 */
export async function completePath(paths: Paths, prefix: string, signal?: AbortSignal): Promise<string[]> {
  const cut = prefix.lastIndexOf("/") + 1;
  const directory = prefix.slice(0, cut) || "/";
  const begun = prefix.slice(cut);
  if (!directory.startsWith("/")) return [];
  const timeout = AbortSignal.timeout(timeoutMs);
  const wanted = { directory, begun, signal: signal ? AbortSignal.any([signal, timeout]) : timeout };
  const entries = await entriesFrom(paths, wanted).catch((error: unknown) => {
    if (error instanceof CollectiveError) return [];
    throw error;
  });
  return entries
    .filter(({ name }) => name.startsWith(begun) && !/\p{Cc}/u.test(name))
    .map(({ name, attr }) => `${directory}${name}${attr.type === "directory" ? "/" : ""}`);
}

interface Wanted {
  readonly directory: string;
  readonly begun: string;
  readonly signal: AbortSignal;
}

async function entriesFrom(paths: Paths, { directory, begun, signal }: Wanted): Promise<DirectoryEntry[]> {
  const { remote, member, components } = await paths.at(directory, signal);
  const isOwnRoot = member === undefined && components.length === 0;
  if (isOwnRoot && begun.startsWith("@")) return await sharingMembers(remote, signal);
  // A name does not come after itself, so it is asked for on its own where it can be one.
  const isName = begun !== "" && begun !== "." && begun !== "..";
  const { parent, attr } = await remote.control.call(
    routes.resolve,
    { components: isName ? [...components, begun] : [...components] },
    { signal },
  );
  const above = isName ? parent : attr;
  if (above?.type !== "directory") return [];
  const { entries } = await remote.control.call(
    routes.list,
    { inode: above.inode, after: begun === "" ? undefined : begun, limit: directoryPageEntriesMax },
    { signal },
  );
  const members = isOwnRoot && begun === "" ? await sharingMembers(remote, signal) : [];
  return [...(isName && attr ? [{ name: begun, attr }] : []), ...entries, ...members];
}
