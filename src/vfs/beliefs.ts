/**
 * For how long this mount, and the kernel, may believe what the coordinator has said without asking again.
 *
 * While others' changes are told, long; whatever is told to have changed is asked for again, and dropped from the kernel's memory. What was
 * asked for before that and answered after it counts as older. While they are not told, a second: so late, at most, is a change seen.
 */
import type { Inode } from "../../protocol/ids.ts";
import type { News } from "../client/session.ts";
import type { Clock } from "../core/clock.ts";
import type { KernelCaches, Place } from "./file-system.ts";
import { type Node, type Nodes, outdate, type Realm } from "./nodes.ts";
import { createWholeDirectories } from "./whole-directories.ts";

export interface Beliefs {
  /** Of what was asked about that number at that time, by the monotonic clock. */
  leftMs(realm: Realm, number: number, askedMs: number): number;
  /** There was no such name. Answers how long the kernel may believe that. */
  absentMs(parent: Node, name: string, askedMs: number): number;
  /** All names of a directory, asked at that time: others need not be asked for. */
  knowWhole(directory: Node, names: Iterable<string>, askedMs: number): void;
  /** This mount has made it. */
  noteName(directory: Node, name: string): void;
  isAbsent(directory: Node, name: string): boolean;
  /** A change from here may have been made, or may still be: nobody tells of one's own. */
  doubt(nodes: readonly (Node | undefined)[]): void;
  /** Resolves when neither the kernel nor any open file shows what was before. */
  hear(realm: Realm, news: News | "everything"): Promise<void>;
}

export interface BeliefsOptions {
  readonly nodes: Nodes;
  readonly clock: Clock;
  readonly caches: () => KernelCaches | undefined;
  /** An open file has changed. */
  readonly refresh: (node: Node) => Promise<void>;
  /** Somebody else wants to look at a file. */
  readonly recall: (realm: Realm, inode: Inode) => void;
  /** Perhaps others were told of nothing that this mount has in hand. */
  readonly lost: (realm: Realm) => void;
}

export const toldMs = 30_000;
export const untoldMs = 1_000;
/** Names that are not there and of which the kernel knows that. */
const absentMax = 16_384;
const changedMax = 65_536;

export function createBeliefs({ nodes, clock, caches, refresh, recall, lost }: BeliefsOptions): Beliefs {
  /** By number: when it was last heard that it had changed. */
  const changedMs = new Map<number, number>();
  /** By number: when a change from here was given up. */
  const doubtedMs = new Map<number, number>();
  /** What was asked before that is not believed. */
  let beginMs = Number.NEGATIVE_INFINITY;
  /** By directory. */
  const absent = new Map<number, Set<string>>();
  let absentCount = 0;
  const whole = createWholeDirectories();

  const isDoubted = (number: number): boolean => {
    const isFresh = clock.monotonicMs() - (doubtedMs.get(number) ?? Number.NEGATIVE_INFINITY) < toldMs;
    if (!isFresh) doubtedMs.delete(number);
    return isFresh;
  };
  const leftMs: Beliefs["leftMs"] = (realm, number, askedMs) => {
    if (askedMs < Math.max(beginMs, changedMs.get(number) ?? Number.NEGATIVE_INFINITY)) return 0;
    const wholeMs = realm.session.isWatching && !isDoubted(number) ? toldMs : untoldMs;
    return Math.max(0, Math.trunc(wholeMs - (clock.monotonicMs() - askedMs)));
  };
  const dropName = (place: Place): Promise<void> | undefined => caches()?.dropName(place);
  const dropAbsent = (parent: number): (Promise<void> | undefined)[] => {
    const names = absent.get(parent);
    if (!names) return [];
    absent.delete(parent);
    absentCount -= names.size;
    return [...names].map((name) => dropName({ parent, name }));
  };
  const drop = (node: Node, parts: { readonly name: boolean }): (Promise<void> | undefined)[] => [
    caches()?.dropAttributes(node.number),
    // A file that nobody has open is looked up anew, for the kernel takes over nothing else (kernel-view.ts).
    ...(parts.name || (node.attr.type === "file" && !node.opened) ? [...node.places.values()].map(dropName) : []),
    ...dropAbsent(node.number),
    node.opened ? refresh(node).then(() => node.opened?.dropping) : undefined,
  ];
  const forgetOld = (): void => {
    const oldMs = clock.monotonicMs() - toldMs;
    for (const [number, ms] of changedMs) if (ms < oldMs) changedMs.delete(number);
  };
  const hearAll = (realm: Realm): (Promise<void> | undefined)[] => {
    const nowMs = clock.monotonicMs();
    beginMs = nowMs;
    changedMs.clear();
    whole.clear();
    lost(realm);
    const dropped = [...absent.keys()].flatMap(dropAbsent);
    for (const node of nodes.all()) {
      if (node.realm === realm && (node.opened || node.askedMs > nowMs - toldMs)) dropped.push(...drop(node, { name: true }));
    }
    return dropped;
  };
  const hearOf = (realm: Realm, inode: Inode, parts: { readonly name: boolean }): (Promise<void> | undefined)[] => {
    const number = nodes.numberOf(realm, inode);
    whole.forget(number);
    changedMs.set(number, clock.monotonicMs());
    const node = nodes.known(number);
    return node ? drop(node, parts) : [];
  };
  return {
    leftMs,
    absentMs: (parent, name, askedMs) => {
      const ms = leftMs(parent.realm, parent.number, askedMs);
      if (ms <= untoldMs) return ms;
      // The directory that was met first makes room.
      const [oldest] = absent.keys();
      if (absentCount >= absentMax && oldest !== undefined) void Promise.all(dropAbsent(oldest));
      const names = absent.get(parent.number) ?? new Set();
      absent.set(parent.number, names);
      if (!names.has(name)) absentCount++;
      names.add(name);
      return ms;
    },
    knowWhole: (directory, names, askedMs) => {
      const isTold = directory.realm.session.isWatching && !isDoubted(directory.number);
      if (isTold && leftMs(directory.realm, directory.number, askedMs) > 0) whole.know(directory.number, names);
    },
    noteName: (directory, name) => whole.add(directory.number, name),
    isAbsent: (directory, name) => directory.realm.session.isWatching && whole.lacks(directory.number, name),
    doubt: (doubted) => {
      for (const node of doubted) {
        if (!node) continue;
        doubtedMs.set(node.number, clock.monotonicMs());
        outdate(node);
        // Not to be waited for by the call that was given up: the kernel holds the directory until it has its answer.
        void Promise.all(hearOf(node.realm, node.inode, { name: true }));
      }
    },
    hear: async (realm, news) => {
      if (news !== "everything") for (const inode of news.recalled) recall(realm, inode);
      if (changedMs.size > changedMax) forgetOld();
      if (news === "everything" || changedMs.size > changedMax) await Promise.all(hearAll(realm));
      else {
        const changed = news.changed.flatMap((inode) => hearOf(realm, inode, { name: false }));
        const renamed = news.renamed.flatMap((inode) => hearOf(realm, inode, { name: true }));
        await Promise.all([...changed, ...renamed]);
      }
    },
  };
}
