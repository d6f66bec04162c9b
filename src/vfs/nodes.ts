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
import { createLimiter, type Limiter } from "../core/limiter.ts";
import { type Place, rootInode } from "./file-system.ts";
import type { KernelView } from "./kernel-view.ts";
import type { OpenedFile } from "./opened.ts";

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
  /** The name it was found by last, which another client may have taken since. Undefined for the root. */
  place: Place | undefined;
  /** All names that lead to it as far as this mount knows; a directory has one. */
  readonly places: Map<string, Place>;
  /** None does any more. */
  isRemoved: boolean;
  /** Of a directory: how often this mount has changed the names in it. */
  changes: number;
  /** As long as a handle is open or something is not stored yet. */
  opened: OpenedFile | undefined;
  /** One at a time: its commits, and what moves or removes its name. */
  turns: Limiter | undefined;
  /** The version whose pages the kernel may still have. */
  shownVersion: number | undefined;
  seen: KernelView | undefined;
  /** Of the kernel's memory of it. */
  generation: number;
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
  move(node: Node, from: Place, to: Place): void;
  /** One of its names is gone. */
  leave(node: Node, place: Place): void;
  /** All of its names are gone. */
  remove(node: Node): void;
  /** The kernel knows it no more. It stays for a while, for that may cross with an answer. */
  forget(number: number): void;
  /** The names on a way to it inside its realm. */
  pathOf(node: Node): string[];
  /** From the root of the mount; undefined where it has no name any more. */
  shownPathOf(node: Node): string[] | undefined;
}

/** What is remembered of it is asked for again before it is told: a change here has moved its times at the coordinator. */
export function outdate(node: Node): void {
  node.askedMs = Number.NEGATIVE_INFINITY;
}

export function isOutdated({ askedMs }: Node): boolean {
  return askedMs === Number.NEGATIVE_INFINITY;
}

export const realmInodesMax = 2 ** 40;
const forgottenMax = 4_096;

export interface NodesOptions {
  readonly realm: Realm;
  readonly root: Attr;
  readonly nowMs: () => number;
  /** Nothing is known of that place any more, and the kernel may still believe what was. */
  readonly onLost: (place: Place) => void;
}

export function createNodes({ realm, root: rootAttr, nowMs, onLost }: NodesOptions): Nodes {
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
    places: new Map(),
    isRemoved: false,
    changes: 0,
    opened: undefined,
    turns: undefined,
    shownVersion: undefined,
    seen: undefined,
    generation: 0,
  });
  const root = make(rootInode, realm, rootAttr);
  byNumber.set(rootInode, root);

  const leave = (node: Node, place: Place): void => {
    const key = keyOf(place);
    node.places.delete(key);
    if (byPlace.get(key) === node) byPlace.delete(key);
  };
  const leaveAll = (node: Node): void => {
    for (const place of node.places.values()) leave(node, place);
  };
  /** Another client has taken these names from it, which is found here before it is told. */
  const lose = (node: Node, isLost: (key: string) => boolean): void => {
    for (const [key, place] of [...node.places]) {
      if (!isLost(key)) continue;
      leave(node, place);
      onLost(place);
    }
  };
  const come = (node: Node, place: Place): void => {
    const before = byPlace.get(keyOf(place));
    if (before) leave(before, place);
    node.place = place;
    node.places.set(keyOf(place), place);
    byPlace.set(keyOf(place), node);
  };
  const remove = (node: Node): void => {
    lose(node, () => true);
    node.isRemoved = true;
  };
  const evict = (): void => {
    for (const number of forgotten) {
      if (forgotten.size <= forgottenMax) return;
      const node = byNumber.get(number);
      if (node?.opened) continue;
      forgotten.delete(number);
      if (!node) continue;
      leaveAll(node);
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
      if (node === root) return node;
      // By any other it was found before another client moved it.
      if (!hasSeveralNames(node)) lose(node, (key) => key !== keyOf(place));
      come(node, place);
      return node;
    },
    move: (node, from, to) => {
      leave(node, from);
      come(node, to);
      outdate(node);
    },
    leave: (node, place) => {
      leave(node, place);
      node.place = node.places.values().next().value ?? node.place;
      outdate(node);
    },
    remove,
    forget: (number) => {
      if (number === rootInode) return;
      forgotten.add(number);
      evict();
    },
    shownPathOf: (node) => {
      const names: string[] = [];
      for (let at: Node | undefined = node; at !== root; at = byNumber.get(at.place.parent)) {
        if (!at?.place || at.isRemoved) return undefined;
        names.unshift(at.place.name);
      }
      return names;
    },
    pathOf: (node) => {
      const names: string[] = [];
      let at = node;
      while (at !== root && at.inode !== memberRoot) {
        if (!at.place || at.isRemoved) throw new CollectiveError("not_found", "it has no name any more");
        names.unshift(at.place.name);
        at = get(at.place.parent);
      }
      return [...at.realm.prefix, ...names];
    },
  };
}

export function hasSeveralNames({ attr }: Node): boolean {
  return attr.type !== "directory" && attr.links > 1;
}

/** One at a time for each file: its commits, and what moves or removes its name. */
export function turnsOf(node: Node): Limiter {
  node.turns ??= createLimiter(1);
  return node.turns;
}
