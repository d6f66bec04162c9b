/** Paths that begin in a given way, for shells that complete a word while somebody waits. */
import { CollectiveError, type ErrorCode } from "../../protocol/errors.ts";
import { directoryPageEntriesMax } from "../../protocol/limits.ts";
import { parsePath } from "../../protocol/path.ts";
import { routes } from "../../protocol/routes.ts";
import type { DirectoryEntry } from "../../protocol/schema.ts";
import type { Remote } from "./remote.ts";

const timeoutMs = 3_000;
const nothingThere: ReadonlySet<ErrorCode> = new Set(["not_found", "not_a_directory", "permission_denied"]);

/**
 * Whole paths, directories with a slash at the end, at most one page of them. Empty when nothing
 * begins like this. Names with control characters are left out: candidates are read line by line.
 */
export async function completePath(remote: Remote, prefix: string, signal?: AbortSignal): Promise<string[]> {
  const cut = prefix.lastIndexOf("/") + 1;
  const directory = prefix.slice(0, cut) || "/";
  const begun = prefix.slice(cut);
  if (!directory.startsWith("/")) return [];
  const entries = await entriesFrom(remote, { directory, begun, signal });
  return entries
    .filter(({ name }) => name.startsWith(begun) && !/\p{Cc}/u.test(name))
    .map(({ name, attr }) => `${directory}${name}${attr.type === "directory" ? "/" : ""}`);
}

async function entriesFrom(
  remote: Remote,
  { directory, begun, signal }: { readonly directory: string; readonly begun: string; readonly signal: AbortSignal | undefined },
): Promise<DirectoryEntry[]> {
  const { components, member } = parsePath(directory);
  if (member !== undefined) return [];
  const call = { signal, timeoutMs };
  try {
    // A name does not come after itself, so it is asked for on its own where it can be one.
    const isName = begun !== "" && begun !== "." && begun !== "..";
    const { parent, attr } = await remote.control.call(
      routes.resolve,
      { components: isName ? [...components, begun] : [...components] },
      call,
    );
    const above = isName ? parent : attr;
    if (above?.type !== "directory") return [];
    const { entries } = await remote.control.call(
      routes.list,
      { inode: above.inode, after: begun === "" ? undefined : begun, limit: directoryPageEntriesMax },
      call,
    );
    return [...(isName && attr ? [{ name: begun, attr }] : []), ...entries];
  } catch (error) {
    if (error instanceof CollectiveError && nothingThere.has(error.code)) return [];
    throw error;
  }
}
