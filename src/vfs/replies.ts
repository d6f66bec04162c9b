/** Finding files, and saying how they look and for how long that holds. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { rootInode as memberRoot } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { OpenAccess } from "../client/session.ts";
import type { Clock } from "../core/clock.ts";
import { attributesOf, type ShownOwner } from "./attributes.ts";
import type { Beliefs } from "./beliefs.ts";
import type { AttributesReply, EntryReply, NoEntry, Place } from "./file-system.ts";
import { generationOf } from "./kernel-view.ts";
import { isOutdated, type Node, type Nodes, type Realm } from "./nodes.ts";
import type { Realms } from "./realms.ts";

export interface Replies {
  /** What is known of it may be told without asking. */
  isCurrent(node: Node): boolean;
  /** The coordinator's word, not older than what the kernel would still believe. */
  current(node: Node, signal?: AbortSignal): Promise<Node>;
  fresh(node: Node, signal?: AbortSignal): Promise<Attr>;
  /** The same, and the coordinator knows that it is open here. `stale` when it is gone. */
  opened(node: Node, access: OpenAccess, signal?: AbortSignal): Promise<{ readonly attr: Attr; readonly leased: boolean }>;
  /** What was said of it at that time may be told without asking. */
  isBelieved(realm: Realm, number: number, askedMs: number): boolean;
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
  readonly beliefs: Beliefs;
  readonly owner: ShownOwner;
  readonly clock: Clock;
}

export function createReplies({ nodes, realms, beliefs, owner, clock }: RepliesOptions): Replies {
  const leftMs = ({ realm, number, askedMs }: Node): number => beliefs.leftMs(realm, number, askedMs);
  const attributes = (node: Node): AttributesReply => ({ attributes: attributesOf(node, owner), attributesValidMs: leftMs(node) });
  const entry = (node: Node): EntryReply => ({ ...attributes(node), nameValidMs: leftMs(node), generation: generationOf(node) });
  const isCollectiveRoot = (node: Node): boolean => node.inode === memberRoot;
  const noted = async (node: Node, ask: () => Promise<Attr>): Promise<Attr> => {
    const askedMs = clock.monotonicMs();
    const attr = await ask();
    // What is being committed here meanwhile may be newer than this answer.
    if (attr.version >= node.attr.version) node.attr = attr;
    node.askedMs = askedMs;
    return node.attr;
  };
  const fresh: Replies["fresh"] = (node, signal) =>
    noted(node, () => node.realm.remote.control.call(routes.getAttr, { inode: node.inode }, { signal }));
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
    const askedMs = clock.monotonicMs();
    const { attr } = await realm.remote.control.call(routes.lookup, { parent: parent.inode, name: place.name }, { signal });
    return attr ? nodes.remember(realm, attr, place, askedMs) : undefined;
  };
  const isCurrent = (node: Node): boolean =>
    node.isRemoved || leftMs(node) > 0 || (node.opened?.content.hasUnsaved === true && !isOutdated(node));
  return {
    fresh,
    opened: async (node, access, signal) => {
      let leased = false;
      const attr = await noted(node, async () => {
        const opened = await node.realm.session.open(node.inode, access, signal).catch((thrown: unknown) => {
          const error = toCollectiveError(thrown);
          throw error.code === "not_found" ? new CollectiveError("stale", "the file was removed", { cause: error }) : error;
        });
        leased = opened.leased;
        return opened.attr;
      });
      return { attr, leased };
    },
    isBelieved: (realm, number, askedMs) => beliefs.leftMs(realm, number, askedMs) > 0,
    isCurrent,
    current: async (node, signal) => {
      if (isCurrent(node)) return node;
      try {
        const { links } = await fresh(node, signal);
        // It is only held open.
        if (links === 0) nodes.remove(node);
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
      const askedMs = clock.monotonicMs();
      const parent = nodes.get(place.parent);
      const node = beliefs.isAbsent(parent, place.name) ? undefined : await find(place, signal);
      return node ? entry(node) : { attributes: undefined, nameValidMs: beliefs.absentMs(parent, place.name, askedMs) };
    },
    isCollectiveRoot,
  };
}
