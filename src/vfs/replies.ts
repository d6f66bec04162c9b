/** Finding files, and saying how they look and for how long that holds. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { rootInode as memberRoot } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import { attributesOf, type ShownOwner } from "./attributes.ts";
import type { AttributesReply, EntryReply, NoEntry, Place } from "./file-system.ts";
import { isOutdated, type Node, type Nodes, type Realm } from "./nodes.ts";
import type { Realms } from "./realms.ts";

/** How long the kernel believes names and attributes: so late, at most, another client's change is seen. */
export const validMs = 1_000;

export interface Replies {
  /** What is known of it may be told without asking. */
  isCurrent(node: Node): boolean;
  /** The coordinator's word, not older than what the kernel would still believe. */
  current(node: Node, signal?: AbortSignal): Promise<Node>;
  fresh(node: Node, signal?: AbortSignal): Promise<Attr>;
  attributes(node: Node): AttributesReply;
  entry(node: Node): EntryReply;
  /** As it is now, asked of the coordinator. */
  find(place: Place, signal?: AbortSignal): Promise<Node | undefined>;
  lookup(place: Place, signal?: AbortSignal): Promise<EntryReply | NoEntry>;
  /** Where datastores stand, and nothing else can. */
  isCollectiveRoot(node: Node): boolean;
}

export interface RepliesOptions {
  readonly nodes: Nodes;
  readonly realms: Realms;
  readonly owner: ShownOwner;
  readonly clock: Clock;
}

export function createReplies({ nodes, realms, owner, clock }: RepliesOptions): Replies {
  const leftMs = (node: Node): number => Math.max(0, Math.trunc(validMs - (clock.monotonicMs() - node.askedMs)));
  const attributes = (node: Node): AttributesReply => ({ attributes: attributesOf(node, owner), attributesValidMs: leftMs(node) });
  const entry = (node: Node): EntryReply => ({ ...attributes(node), nameValidMs: leftMs(node) });
  const isCollectiveRoot = (node: Node): boolean => node.inode === memberRoot;
  const fresh = async (node: Node, signal?: AbortSignal): Promise<Attr> => {
    const attr = await node.realm.remote.control.call(routes.getAttr, { inode: node.inode }, { signal });
    // What is being committed here meanwhile may be newer than this answer.
    if (attr.version >= node.attr.version) node.attr = attr;
    node.askedMs = clock.monotonicMs();
    return node.attr;
  };
  const rootOf = async (realm: Realm, place: Place, signal: AbortSignal | undefined): Promise<Node> => {
    const attr = await realm.remote.control.call(routes.getAttr, { inode: memberRoot }, { signal });
    return nodes.remember(realm, attr, place);
  };
  const find = async (place: Place, signal?: AbortSignal): Promise<Node | undefined> => {
    const parent = nodes.get(place.parent);
    const { realm } = parent;
    if (isCollectiveRoot(parent) && realm === realms.own && place.name.startsWith("@")) {
      const other = await realms.named(place.name, signal);
      if (other) return await rootOf(other, place, signal);
    }
    const { attr } = await realm.remote.control.call(routes.lookup, { parent: parent.inode, name: place.name }, { signal });
    return attr ? nodes.remember(realm, attr, place) : undefined;
  };
  const isCurrent = (node: Node): boolean =>
    node.isRemoved || leftMs(node) > 0 || (node.opened?.content.hasUnsaved === true && !isOutdated(node));
  return {
    fresh,
    isCurrent,
    current: async (node, signal) => {
      if (isCurrent(node)) return node;
      try {
        await fresh(node, signal);
      } catch (thrown) {
        const isGone = toCollectiveError(thrown).code === "not_found";
        if (!isGone) throw thrown;
        if (!node.opened) throw new CollectiveError("stale", "the file was removed", { cause: thrown });
        nodes.remove(node);
      }
      return node;
    },
    attributes,
    entry,
    find,
    lookup: async (place, signal) => {
      const node = await find(place, signal);
      return node ? entry(node) : { attributes: undefined, nameValidMs: validMs };
    },
    isCollectiveRoot,
  };
}
