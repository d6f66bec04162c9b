/** Making directories, one by one and many at once. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { filesPerCommitMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr, PosixOwner } from "../../protocol/schema.ts";
import type { Remote } from "./remote.ts";
import { shownPath } from "./remote-tree.ts";

const directoryMode = 0o755;

/** As `mkdir -p`: makes what is missing and answers the last one. What exists takes no right but to see it. Idempotent. */
export async function makeDirectoryPath(remote: Remote, components: readonly string[], signal?: AbortSignal): Promise<Attr> {
  let { attr, depth } = await deepestOf(remote, components, signal);
  for (; depth < components.length; depth++) {
    const [made] = await makeDirectories(remote, [{ parent: attr.inode, name: components[depth] ?? "", mode: directoryMode }], signal);
    if (!made) throw new CollectiveError("internal", "a directory was not made");
    attr = made;
  }
  return attr;
}

interface Deepest {
  readonly attr: Attr;
  readonly depth: number;
}

/** How much of the path is there; mostly all of it, or all but the last. */
async function deepestOf(remote: Remote, components: readonly string[], signal: AbortSignal | undefined): Promise<Deepest> {
  for (let depth = components.length; depth > 0; depth--) {
    const path = components.slice(0, depth);
    const found = await remote.control.call(routes.resolve, { components: path }, { signal }).catch((error: unknown) => {
      if (error instanceof CollectiveError && error.code === "not_found") return undefined;
      throw error;
    });
    if (found?.attr && found.attr.type !== "directory") {
      throw new CollectiveError("already_exists", `${shownPath(path)} exists and is not a directory`);
    }
    if (found?.attr) return { attr: found.attr, depth };
    if (found?.parent) return { attr: found.parent, depth: depth - 1 };
  }
  return { attr: await remote.control.call(routes.getAttr, { inode: rootInode }, { signal }), depth: 0 };
}

/** Keeps those that exist. In the order given; any number, by bounded requests. */
export async function makeDirectories(
  remote: Remote,
  directories: readonly (PosixOwner & { readonly parent: Inode; readonly name: string; readonly mode: number })[],
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
