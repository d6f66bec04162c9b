/** Names at a member, by path: what every command and every other face starts from. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode } from "../../protocol/ids.ts";
import { directoryPageEntriesMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr, DirectoryEntry } from "../../protocol/schema.ts";
import type { Remote } from "./remote.ts";

/** Throws `not_found` when it does not exist. */
export async function statPath(remote: Remote, components: readonly string[], signal?: AbortSignal): Promise<Attr> {
  const { attr } = await remote.control.call(routes.resolve, { components: [...components] }, { signal });
  if (!attr) throw new CollectiveError("not_found", `/${components.join("/")} does not exist`);
  return attr;
}

export interface Place {
  readonly parent: Attr;
  readonly name: string;
  /** What stands there now. */
  readonly existing: Attr | undefined;
  readonly store: Inode | undefined;
}

/** Where something may be put: the parent must be a directory. */
export async function placeOf(remote: Remote, components: readonly string[], signal?: AbortSignal): Promise<Place> {
  const name = components.at(-1);
  if (name === undefined) throw new CollectiveError("invalid_argument", "the root cannot be replaced");
  const { parent, attr } = await remote.control.call(routes.resolve, { components: [...components] }, { signal });
  if (!parent) throw new CollectiveError("internal", "a path below the root has no parent");
  return { parent, name, existing: attr ?? undefined, store: parent.store };
}

/** A place for a file, which lies in some datastore. */
export async function filePlaceOf(
  remote: Remote,
  components: readonly string[],
  signal?: AbortSignal,
): Promise<Place & { readonly store: Inode }> {
  const place = await placeOf(remote, components, signal);
  if (place.existing?.type === "directory") throw new CollectiveError("is_a_directory", `/${components.join("/")} is a directory`);
  if (place.store === undefined) {
    throw new CollectiveError("invalid_argument", "only datastores can stand in the root", {
      hint: `make one and write into it: collective mkdir /${place.name}`,
    });
  }
  return { ...place, store: place.store };
}

/** All entries, page by page, sorted by name. */
export async function* listDirectory(remote: Remote, inode: Inode, signal?: AbortSignal): AsyncGenerator<DirectoryEntry> {
  let after: string | undefined;
  for (;;) {
    const { entries, more } = await remote.control.call(routes.list, { inode, after, limit: directoryPageEntriesMax }, { signal });
    yield* entries;
    after = entries.at(-1)?.name;
    if (!more || after === undefined) return;
  }
}

/** Other members that grant the caller something, as entries of the root. None for people of other sites: they ask their own coordinator. */
export async function sharingMembers(remote: Remote, signal?: AbortSignal): Promise<DirectoryEntry[]> {
  const { peers } = await remote.control.call(routes.listPeers, {}, { signal }).catch((error: unknown) => {
    if (error instanceof CollectiveError && error.code === "permission_denied") return { peers: [] };
    throw error;
  });
  return peers
    .filter(({ shares }) => shares)
    .map(({ member, addedMs }) => {
      const timeNs = BigInt(Math.trunc(addedMs)) * 1_000_000n;
      const attr = {
        inode: rootInode,
        type: "directory" as const,
        sizeBytes: 0,
        mode: 0o755,
        mtimeNs: timeNs,
        ctimeNs: timeNs,
        atimeNs: timeNs,
        owner: member,
        uid: null,
        gid: null,
        extendedAttributes: 0,
        links: 2,
        version: 1,
      };
      return { name: `@${member}`, attr };
    });
}
