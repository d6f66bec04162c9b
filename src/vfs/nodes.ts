/**
 * The files and directories that this mount knows, by the numbers it shows. A number follows from the member and the inode there, so a file
 * has the same one whenever it is found: the own member's inodes are shown as they are, those of the n-th other member n · 2^40 higher.
 * The directory that is mounted is 1.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, rootInode as memberRoot } from "../../protocol/ids.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Remote } from "../client/remote.ts";
import type { ClientSession } from "../client/session.ts";
import type { Limiter } from "../core/limiter.ts";
import { type Place, rootInode } from "./file-system.ts";
import type { OpenedFile } from "./opened-file.ts";

/** A member as this mount sees it. */
export interface Realm {
  readonly remote: Remote;
  readonly session: ClientSession;
  /** The number of its inode 0. */
  readonly base: number;
  /** Where the mounted directory lies in it; empty for other members, who are shown whole. */
  readonly prefix: readonly string[];
}

export interface Node {
  readonly number: number;
  readonly realm: Realm;
  readonly inode: Inode;
  attr: Attr;
  /** When the coordinator said so, by the monotonic clock. */
  askedMs: number;
  /** The name it was found by last. Undefined for the root, and for what has no name any more. */
  place: Place | undefined;
  isRemoved: boolean;
  /** Of a directory: how often this mount has changed the names in it. */
  changes: number;
  /** Kept here only: the coordinator knows no times of access. */
  accessedNs: bigint | undefined;
  /** As long as a handle is open or something is not stored yet. */
  opened: OpenedFile | undefined;
  /** One at a time: its commits, and what moves or removes its name. */
  turns: Limiter | undefined;
  /** The version whose pages the kernel may still have. */
  shownVersion: number | undefined;
}

export interface Nodes {
  readonly root: Node;
  /** Throws `stale` for one that was forgotten long ago. */
  get(number: number): Node;
  known(number: number): Node | undefined;
  all(): Iterable<Node>;
  at(place: Place): Node | undefined;
  numberOf(realm: Realm, inode: Inode): number;
  /** It was seen there, just now unless told. */
  remember(realm: Realm, attr: Attr, place: Place, askedMs?: number): Node;
  move(node: Node, to: Place): void;
  /** The name it was found by is gone. */
  remove(node: Node): void;
  /** The kernel knows it no more. It stays for a while, for that may cross with an answer. */
  forget(number: number): void;
  /** The names that lead to it inside its realm. */
  pathOf(node: Node): string[];
}

export const realmInodesMax = 2 ** 40;
const forgottenMax = 4_096;

export interface NodesOptions {
  readonly realm: Realm;
  readonly root: Attr;
  readonly nowMs: () => number;
}

export function createNodes({ realm, root: rootAttr, nowMs }: NodesOptions): Nodes {
  const byNumber = new Map<number, Node>();
  const byPlace = new Map<string, Node>();
  const forgotten = new Set<number>();
  const keyOf = ({ parent, name }: Place): string => `${parent}/${name}`;
  const numberOf = (of: Realm, inode: Inode): number => {
    if (inode >= realmInodesMax) throw new CollectiveError("unsupported", `inode ${inode} is too large to be shown`);
    return of === realm && inode === rootAttr.inode ? rootInode : of.base + inode;
  };
  const make = (number: number, of: Realm, attr: Attr): Node => ({
    number,
    realm: of,
    inode: attr.inode,
    attr,
    askedMs: nowMs(),
    place: undefined,
    isRemoved: false,
    changes: 0,
    accessedNs: undefined,
    opened: undefined,
    turns: undefined,
    shownVersion: undefined,
  });
  const root = make(rootInode, realm, rootAttr);
  byNumber.set(rootInode, root);

  const leavePlace = (node: Node): void => {
    if (node.place && byPlace.get(keyOf(node.place)) === node) byPlace.delete(keyOf(node.place));
    node.place = undefined;
  };
  const moveTo = (node: Node, place: Place): void => {
    leavePlace(node);
    node.place = place;
    byPlace.set(keyOf(place), node);
  };
  const evict = (): void => {
    for (const number of forgotten) {
      if (forgotten.size <= forgottenMax) return;
      const node = byNumber.get(number);
      if (node?.opened) continue;
      forgotten.delete(number);
      if (!node) continue;
      leavePlace(node);
      byNumber.delete(number);
    }
  };
  const get = (number: number): Node => {
    const node = byNumber.get(number);
    if (!node) throw new CollectiveError("stale", "this file is not known any more", { hint: "look it up again" });
    return node;
  };
  return {
    root,
    get,
    known: (number) => byNumber.get(number),
    all: () => byNumber.values(),
    at: (place) => byPlace.get(keyOf(place)),
    numberOf,
    remember: (of, attr, place, askedMs = nowMs()) => {
      const number = numberOf(of, attr.inode);
      forgotten.delete(number);
      const node = byNumber.get(number) ?? make(number, of, attr);
      byNumber.set(number, node);
      node.attr = attr;
      node.askedMs = askedMs;
      node.isRemoved = false;
      if (node !== root) moveTo(node, place);
      return node;
    },
    move: moveTo,
    remove: (node) => {
      leavePlace(node);
      // A file that has other names is found again by one of them.
      node.isRemoved = node.attr.type === "directory" || node.attr.links <= 1;
    },
    forget: (number) => {
      if (number === rootInode) return;
      forgotten.add(number);
      evict();
    },
    pathOf: (node) => {
      const names: string[] = [];
      let at = node;
      while (at !== root && at.inode !== memberRoot) {
        if (!at.place) throw new CollectiveError("not_found", "it has no name any more");
        names.unshift(at.place.name);
        at = get(at.place.parent);
      }
      return [...at.realm.prefix, ...names];
    },
  };
}
