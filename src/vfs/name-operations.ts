/** Making, removing and moving names. Each is one change at the coordinator, durable when it is answered. */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { createUpload } from "../client/upload.ts";
import type { Clock } from "../core/clock.ts";
import type { Beliefs } from "./beliefs.ts";
import type { FileSystem, Place } from "./file-system.ts";
import type { Node, Nodes } from "./nodes.ts";
import type { OpenFiles } from "./opened-file.ts";
import type { Replies } from "./replies.ts";

type NameCalls = Pick<FileSystem, "makeDirectory" | "makeNode" | "makeSymlink" | "link" | "unlink" | "removeDirectory" | "rename">;

export interface NameOperations extends NameCalls {
  /** A new and empty file; whether nobody else can have it open. `already_exists` where the name is taken. */
  makeFile(place: Place, mode: number, signal?: AbortSignal): Promise<{ readonly node: Node; readonly leased: boolean }>;
}

export interface NameOperationsOptions {
  readonly nodes: Nodes;
  readonly replies: Replies;
  readonly files: OpenFiles;
  readonly beliefs: Beliefs;
  readonly clock: Clock;
}

export function createNameOperations({ nodes, replies, files, beliefs, clock }: NameOperationsOptions): NameOperations {
  const nowNs = (): bigint => BigInt(Math.trunc(clock.wallMs())) * 1_000_000n;
  /** Its times have changed with what is in it. */
  const noteChanged = (directory: Node): void => {
    directory.askedMs = Number.NEGATIVE_INFINITY;
    directory.changes++;
  };
  const made = (parent: Node, attr: Attr | undefined, place: Place, askedMs?: number): Node => {
    if (!attr) throw new CollectiveError("internal", "the coordinator made nothing");
    noteChanged(parent);
    beliefs.noteName(parent, place.name);
    return nodes.remember(parent.realm, attr, place, askedMs);
  };
  /** Datastores alone stand in the root. */
  const parentOf = ({ parent, name }: Place): Node => {
    const node = nodes.get(parent);
    if (!replies.isCollectiveRoot(node)) return node;
    throw new CollectiveError("not_permitted", `${name} cannot stand in the root, where datastores are`, {
      hint: "make it in a datastore",
    });
  };
  const makeFile: NameOperations["makeFile"] = async (place, mode, signal) => {
    const parent = parentOf(place);
    const { remote, session } = parent.realm;
    const { askedMs: believedMs } = parent;
    const file = { parent: parent.inode, name: place.name, mode, mtimeNs: nowNs(), sizeBytes: 0, extents: [], replaces: null };
    const { token } = createUpload(remote);
    const askedMs = clock.monotonicMs();
    // As POSIX has it, a name is durable when somebody syncs it.
    const request = { upload: token, files: [file], receipts: [], last: true, isRelaxed: true };
    const { attrs, leased } = await session.create(() => remote.control.call(routes.commit, request, { signal }));
    session.noteRelaxed();
    const node = made(parent, attrs[0], place, askedMs);
    // The directory's own times are those of what was made in it.
    parent.attr = { ...parent.attr, mtimeNs: node.attr.ctimeNs, ctimeNs: node.attr.ctimeNs };
    parent.askedMs = believedMs;
    return { node, leased };
  };
  /** Before its name goes: whoever has it open may still want all of it. */
  const keepOpen = async (node: Node | undefined): Promise<void> => {
    if (node?.opened && node.opened.handles > 0) await node.realm.session.holdOpen();
  };
  const remove = async (place: Place, kind: "file" | "directory", signal: AbortSignal): Promise<void> => {
    const parent = nodes.get(place.parent);
    const node = nodes.at(place);
    await files.exclusively(node, async () => {
      await keepOpen(node);
      await parent.realm.remote.control.call(routes.remove, { parent: parent.inode, name: place.name, kind }, { signal });
      if (node) nodes.remove(node);
    });
    noteChanged(parent);
  };
  const unsupported = (what: string) => (): never => {
    throw new CollectiveError("unsupported", `the collective has no ${what} yet`);
  };
  return {
    makeFile,
    makeDirectory: async (call, place, mode) => {
      const parent = nodes.get(place.parent);
      const directories = [{ parent: parent.inode, name: place.name, mode }];
      const askedMs = clock.monotonicMs();
      const { attrs } = await parent.realm.remote.control.call(
        routes.makeDirectories,
        { directories, existing: "fail" },
        { signal: call.signal },
      );
      const node = made(parent, attrs[0], place);
      beliefs.knowWhole(node, [], askedMs);
      return replies.entry(node);
    },
    makeNode: async (call, { kind, mode, parent, name }) => {
      if (kind !== "file") return unsupported("devices, pipes and sockets")();
      return replies.entry((await makeFile({ parent, name }, mode, call.signal)).node);
    },
    makeSymlink: async (call, place, target) => {
      const parent = parentOf(place);
      // The coordinator would put it over another link.
      if (await replies.find(place, call.signal)) throw new CollectiveError("already_exists", `${place.name} exists already`);
      const links = [{ parent: parent.inode, name: place.name, target, mtimeNs: nowNs() }];
      const { attrs } = await parent.realm.remote.control.call(routes.makeSymlinks, { links }, { signal: call.signal });
      return replies.entry(made(parent, attrs[0], place));
    },
    link: unsupported("hard links"),
    unlink: (call, place) => remove(place, "file", call.signal),
    removeDirectory: (call, place) => remove(place, "directory", call.signal),
    rename: async (call, from, to, existing) => {
      if (existing === "exchange") return unsupported("exchange of two names")();
      const [source, target] = [nodes.get(from.parent), nodes.get(to.parent)];
      if (source.realm !== target.realm) throw new CollectiveError("cross_store", "source and target belong to different members");
      const [moved, replaced] = [nodes.at(from), nodes.at(to)];
      if (moved && moved === replaced) return;
      const move = async (): Promise<void> => {
        if (existing === "replace") await keepOpen(replaced);
        const request = {
          from: { parent: source.inode, name: from.name },
          to: { parent: target.inode, name: to.name },
          replace: existing === "replace",
        };
        await source.realm.remote.control.call(routes.rename, request, { signal: call.signal });
        if (replaced) nodes.remove(replaced);
        if (moved) nodes.move(moved, to);
        beliefs.noteName(target, to.name);
      };
      // Always in the same order, or two renames that cross would wait for each other.
      const [first, second] = (moved?.number ?? 0) < (replaced?.number ?? 0) ? [moved, replaced] : [replaced, moved];
      await files.exclusively(first, () => files.exclusively(second, move));
      noteChanged(source);
      noteChanged(target);
    },
  };
}
