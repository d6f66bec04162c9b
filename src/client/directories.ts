/** Making directories, one by one and many at once. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { filesPerCommitMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Remote } from "./remote.ts";
import { shownPath } from "./remote-tree.ts";

const directoryMode = 0o755;

/** As `mkdir -p`: makes what is missing and answers the last one. Idempotent. */
export async function makeDirectoryPath(remote: Remote, components: readonly string[], signal?: AbortSignal): Promise<Attr> {
  let attr = await remote.control.call(routes.getAttr, { inode: rootInode }, { signal });
  for (const [depth, name] of components.entries()) {
    const [made] = await makeDirectories(remote, [{ parent: attr.inode, name, mode: directoryMode }], signal).catch((error: unknown) => {
      if (!(error instanceof CollectiveError) || error.code !== "already_exists") throw error;
      const path = shownPath(components.slice(0, depth + 1));
      throw new CollectiveError(
        depth + 1 < components.length ? "not_a_directory" : "already_exists",
        `${path} exists and is not a directory`,
      );
    });
    if (!made) throw new CollectiveError("internal", "a directory was not made");
    attr = made;
  }
  return attr;
}

/** Keeps those that exist. In the order given; any number, by bounded requests. */
export async function makeDirectories(
  remote: Remote,
  directories: readonly { readonly parent: Inode; readonly name: string; readonly mode: number }[],
  signal?: AbortSignal,
): Promise<Attr[]> {
  const attrs: Attr[] = [];
  for (let at = 0; at < directories.length; at += filesPerCommitMax) {
    const answer = await remote.control.call(
      routes.makeDirectories,
      { directories: directories.slice(at, at + filesPerCommitMax), existing: "keep" },
      { signal },
    );
    attrs.push(...answer.attrs);
  }
  return attrs;
}
