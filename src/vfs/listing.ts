/** Listings of directories, page by page as they are read. What was read once stays as it was until the directory is closed. */

import { directoryPageEntriesMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { DirectoryEntry } from "../../protocol/schema.ts";
import { sharingMembers } from "../client/files.ts";
import type { Clock } from "../core/clock.ts";
import type { Beliefs } from "./beliefs.ts";
import { type FileSystem, type ListedEntry, rootInode } from "./file-system.ts";
import { createHandles } from "./handles.ts";
import { isOutdated, type Node, type Nodes } from "./nodes.ts";
import type { Realms } from "./realms.ts";
import type { Replies } from "./replies.ts";

type ListingCalls = Pick<FileSystem, "openDirectory" | "list" | "syncDirectory" | "releaseDirectory">;

/** As it was at a moment. */
interface Seen {
  readonly entry: DirectoryEntry;
  readonly askedMs: number;
  /** See `Node`. */
  readonly changes: number;
}

interface Listing {
  readonly node: Node;
  /** In the order they are shown; their cookies are their places here, from 1. */
  shown: { readonly name: string; readonly inode: number; readonly seen: Seen | undefined }[];
  after: string | undefined;
  /** When its first page was asked for, and how often this mount had changed it then. */
  begun: { readonly askedMs: number; readonly changes: number } | undefined;
  isWhole: boolean;
  /** Pages are fetched one after the other, also for readers that ask at once. */
  turn: Promise<unknown>;
}

export interface ListingOptions {
  readonly nodes: Nodes;
  readonly realms: Realms;
  readonly replies: Replies;
  readonly beliefs: Beliefs;
  readonly clock: Clock;
}

export function createListing({ nodes, realms, replies, beliefs, clock }: ListingOptions): ListingCalls {
  const handles = createHandles<Listing>();
  const begin = (node: Node): Listing => ({
    node,
    shown: [
      { name: ".", inode: node.number, seen: undefined },
      { name: "..", inode: node.place?.parent ?? rootInode, seen: undefined },
    ],
    after: undefined,
    begun: undefined,
    isWhole: false,
    turn: Promise.resolve(),
  });
  const fetchPage = async (listing: Listing, signal: AbortSignal): Promise<void> => {
    const { node, shown } = listing;
    const { realm, inode, changes } = node;
    const askedMs = clock.monotonicMs();
    listing.begun ??= { askedMs, changes };
    const page = await realm.remote.control.call(routes.list, { inode, after: listing.after, limit: directoryPageEntriesMax }, { signal });
    listing.after = page.entries.at(-1)?.name;
    for (const entry of page.entries) {
      shown.push({ name: entry.name, inode: nodes.numberOf(realm, entry.attr.inode), seen: { entry, askedMs, changes } });
    }
    if (page.more && listing.after !== undefined) return;
    if (replies.isCollectiveRoot(node) && realm === realms.own) await showMembers(listing, signal);
    else if (listing.begun.changes === node.changes) {
      beliefs.knowWhole(
        node,
        shown.map(({ name }) => name),
        listing.begun.askedMs,
      );
    }
    listing.isWhole = true;
  };
  const showMembers = async ({ node, shown }: Listing, signal: AbortSignal): Promise<void> => {
    for (const { name } of await sharingMembers(node.realm.remote, signal)) {
      const there = await realms.named(name, signal).catch(() => undefined);
      // Their attributes are theirs to tell, when somebody looks.
      if (there) shown.push({ name, inode: there.base + 1, seen: undefined });
    }
  };
  const listedAt = ({ node, shown }: Listing, at: number, withAttributes: boolean): ListedEntry | undefined => {
    const found = shown[at];
    if (!found) return undefined;
    const { name, inode, seen } = found;
    const listed = { name, inode, kind: seen?.entry.attr.type ?? "directory", cookie: at + 1 };
    // What this mount has changed in the directory since may be just this entry.
    const isTrue = seen && seen.changes === node.changes && replies.isBelieved(node.realm, inode, seen.askedMs);
    if (!withAttributes || !isTrue) return listed;
    const known = nodes.known(inode);
    if (known && isOutdated(known)) return listed;
    const place = { parent: node.number, name };
    const { attr, askedMs } = known && known.askedMs >= seen.askedMs ? known : { attr: seen.entry.attr, askedMs: seen.askedMs };
    return { ...listed, entry: replies.entry(nodes.remember(node.realm, attr, place, askedMs)) };
  };
  return {
    openDirectory: (_, inode) => ({ handle: handles.add(begin(nodes.get(inode))) }),
    list: async (call, { handle }, { after, withAttributes, entriesMax }) => {
      const listing = handles.get(handle);
      // From the start again means: as it is now.
      if (after === 0 && listing.after !== undefined) {
        const { shown } = begin(listing.node);
        listing.shown = shown;
        listing.after = undefined;
        listing.begun = undefined;
        listing.isWhole = false;
      }
      while (listing.shown.length <= after && !listing.isWhole) {
        const next = listing.turn.then(() =>
          listing.shown.length <= after && !listing.isWhole ? fetchPage(listing, call.signal) : undefined,
        );
        listing.turn = next.catch(() => undefined);
        await next;
      }
      const listed: ListedEntry[] = [];
      for (let at = after; listed.length < entriesMax; at++) {
        const entry = listedAt(listing, at, withAttributes);
        if (!entry) break;
        listed.push(entry);
      }
      return listed;
    },
    syncDirectory: (_, { handle }) => handles.get(handle).node.realm.session.makeDurable(),
    releaseDirectory: (_, { handle }) => void handles.remove(handle),
  };
}
