/** Making, removing and moving names. Each is one change at the coordinator, durable when it is answered. */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import { createUpload } from "../client/upload.ts";
import type { Clock } from "../core/clock.ts";
import { outcomeUnknown } from "../net/errors.ts";
import { ownedIn } from "./attributes.ts";
import type { Beliefs } from "./beliefs.ts";
import type { Call, FileSystem, Place } from "./file-system.ts";
import { hasSeveralNames, type Node, type Nodes, outdate } from "./nodes.ts";
import type { OpenFiles } from "./opened-file.ts";
import type { Replies } from "./replies.ts";

type NameCalls = Pick<FileSystem, "makeDirectory" | "makeNode" | "makeSymlink" | "link" | "unlink" | "removeDirectory" | "rename">;

export interface NameOperations extends NameCalls {
  /** A new and empty file; whether nobody else can have it open. `already_exists` where the name is taken. */
  makeFile(call: Call, place: Place, mode: number): Promise<{ readonly node: Node; readonly leased: boolean }>;
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
  /** Its times have changed with what is in it; where that is all, and the time is known, nothing of it needs to be asked for. */
  const noteChanged = (directory: Node, changedNs?: bigint): void => {
    directory.changes++;
    if (changedNs === undefined) outdate(directory);
    else if (changedNs > directory.attr.ctimeNs) directory.attr = { ...directory.attr, mtimeNs: changedNs, ctimeNs: changedNs };
  };
  const made = (
    parent: Node,
    attr: Attr | undefined,
    place: Place,
    { askedMs, changedNs }: { readonly askedMs?: number; readonly changedNs?: bigint | undefined } = {},
  ): Node => {
    if (!attr) throw new CollectiveError("internal", "the coordinator made nothing");
    noteChanged(parent, changedNs);
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
  const owned = (parent: Node, { caller }: Call, mode: number, kind: "directory" | "other" = "other") =>
    ownedIn(replies.attributes(parent).attributes, caller, mode, kind);
  /** `of` are the directories of the names, and what the names lead to. */
  const changing = async <T>(of: readonly (Node | undefined)[], ask: () => Promise<T>): Promise<T> => {
    try {
      return await ask();
    } catch (thrown) {
      if (outcomeUnknown(thrown)) beliefs.doubt(of);
      throw thrown;
    }
  };
  const refOf = ({ parent, name }: Place) => ({ parent: nodes.get(parent).inode, name });
  const makeFile: NameOperations["makeFile"] = async (call, place, mode) => {
    const parent = parentOf(place);
    const { remote, session } = parent.realm;
    const file = { ...refOf(place), ...owned(parent, call, mode), mtimeNs: nowNs(), sizeBytes: 0, extents: [], replaces: null };
    const { token } = createUpload(remote);
    const askedMs = clock.monotonicMs();
    // As POSIX has it, a name is durable when somebody syncs it.
    const commit = { upload: token, files: [file], receipts: [], last: true, isRelaxed: true };
    const { attrs, leased } = await changing([parent], () =>
      session.create(() => remote.control.call(routes.commit, commit, { signal: call.signal })),
    );
    session.noteRelaxed();
    const [attr] = attrs;
    const node = made(parent, attr, place, { askedMs, changedNs: attr?.ctimeNs });
    return { node, leased };
  };
  /** Before one of its names goes, which may be the last: whoever has it open may still want all of it. */
  const keepOpen = async (node: Node | undefined): Promise<void> => {
    if (node?.opened && node.opened.handles > 0) await node.realm.session.holdOpen();
  };
  /** One of its names is gone. Whether that was the last matters as long as it is open, and the coordinator knows. */
  const leave = async (node: Node, place: Place, signal: AbortSignal): Promise<void> => {
    nodes.leave(node, place);
    if (node.opened) await replies.current(node, signal).catch(() => undefined);
    else if (!hasSeveralNames(node)) nodes.remove(node);
  };
  const remove = async (place: Place, kind: "file" | "directory", signal: AbortSignal): Promise<void> => {
    const parent = nodes.get(place.parent);
    const node = nodes.at(place);
    await files.exclusively(node, async () => {
      await keepOpen(node);
      const { changedNs } = await changing([parent, node], () =>
        parent.realm.remote.control.call(routes.remove, { ...refOf(place), kind }, { signal }),
      );
      // A directory less is a link less, too.
      noteChanged(parent, kind === "file" ? changedNs : undefined);
      if (node) await leave(node, place, signal);
    });
  };
  /** In turn with what else is done to both. Always in the same order, or two that cross would wait for each other. */
  const bothInTurn = async (one: Node | undefined, other: Node | undefined, task: () => Promise<void>): Promise<void> => {
    if (one === other) return await files.exclusively(one, task);
    const [first, second] = (one?.number ?? 0) < (other?.number ?? 0) ? [one, other] : [other, one];
    await files.exclusively(first, () => files.exclusively(second, task));
  };
  return {
    makeFile,
    makeDirectory: async (call, place, mode) => {
      const parent = nodes.get(place.parent);
      const directories = [{ ...refOf(place), ...owned(parent, call, mode, "directory") }];
      const askedMs = clock.monotonicMs();
      const { attrs } = await changing([parent], () =>
        parent.realm.remote.control.call(routes.makeDirectories, { directories, existing: "fail" }, { signal: call.signal }),
      );
      const node = made(parent, attrs[0], place);
      beliefs.knowWhole(node, [], askedMs);
      return replies.entry(node);
    },
    makeNode: async (call, { kind, mode, device, ...place }) => {
      if (kind === "file") return replies.entry((await makeFile(call, place, mode)).node);
      const parent = parentOf(place);
      const node = { ...refOf(place), ...owned(parent, call, mode), type: kind, device };
      const attr = await changing([parent], () => parent.realm.remote.control.call(routes.makeNode, node, { signal: call.signal }));
      return replies.entry(made(parent, attr, place));
    },
    makeSymlink: async (call, place, target) => {
      const parent = parentOf(place);
      const { uid, gid } = owned(parent, call, 0);
      const links = [{ ...refOf(place), uid, gid, target, mtimeNs: nowNs() }];
      const { attrs } = await changing([parent], () =>
        parent.realm.remote.control.call(routes.makeSymlinks, { links, existing: "fail" }, { signal: call.signal }),
      );
      return replies.entry(made(parent, attrs[0], place));
    },
    link: async (call, inode, place) => {
      const [node, parent] = [nodes.get(inode), parentOf(place)];
      if (node.realm !== parent.realm) throw betweenMembers();
      return await files.exclusively(node, async () => {
        const attr = await changing([parent, node], () =>
          node.realm.remote.control.call(routes.link, { inode: node.inode, to: refOf(place) }, { signal: call.signal }),
        );
        return replies.entry(made(parent, attr, place));
      });
    },
    unlink: (call, place) => remove(place, "file", call.signal),
    removeDirectory: (call, place) => remove(place, "directory", call.signal),
    rename: async (call, from, to, existing) => {
      const [source, target] = [nodes.get(from.parent), nodes.get(to.parent)];
      if (source.realm !== target.realm) throw betweenMembers();
      const { control } = source.realm.remote;
      const [moved, there] = [nodes.at(from), nodes.at(to)];
      const refs = { from: refOf(from), to: refOf(to) };
      await bothInTurn(moved, there, async () => {
        if (existing === "replace" && there !== moved) await keepOpen(there);
        await changing([source, target, moved, there], async () => {
          if (existing === "exchange") await control.call(routes.exchange, { one: refs.from, other: refs.to }, { signal: call.signal });
          else await control.call(routes.rename, { ...refs, replace: existing === "replace" }, { signal: call.signal });
        });
        beliefs.noteName(target, to.name);
        // Two names of one file stay as they are.
        if (moved && moved === there) return;
        if (there && existing === "exchange") nodes.move(there, to, from);
        else if (there) await leave(there, to, call.signal);
        if (moved) nodes.move(moved, from, to);
      });
      noteChanged(source);
      noteChanged(target);
    },
  };
}

function betweenMembers(): CollectiveError {
  return new CollectiveError("cross_store", "source and target belong to different members");
}
