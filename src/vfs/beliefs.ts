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
import type { Node, Nodes, Realm } from "./nodes.ts";
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
  hear(realm: Realm, news: News | "everything"): void;
}

export interface BeliefsOptions {
  readonly nodes: Nodes;
  readonly clock: Clock;
  readonly caches: () => KernelCaches | undefined;
  /** An open file has changed. */
  readonly refresh: (node: Node) => void;
  /** Somebody else wants to look at a file: resolves when all that was closed is stored. */
  readonly recall: (node: Node) => Promise<void>;
}

export const toldMs = 30_000;
export const untoldMs = 1_000;
/** Names that are not there and of which the kernel knows that; others it may ask for every second. */
const absentMax = 16_384;
const changedMax = 65_536;

export function createBeliefs({ nodes, clock, caches, refresh, recall }: BeliefsOptions): Beliefs {
  /** By number: when it was last heard that it had changed. */
  const changedMs = new Map<number, number>();
  /** What was asked before that is not believed. */
  let beginMs = Number.NEGATIVE_INFINITY;
  /** By directory. */
  const absent = new Map<number, Set<string>>();
  let absentCount = 0;
  const whole = createWholeDirectories();

  const leftMs: Beliefs["leftMs"] = (realm, number, askedMs) => {
    if (askedMs <= Math.max(beginMs, changedMs.get(number) ?? Number.NEGATIVE_INFINITY)) return 0;
    const wholeMs = realm.session.isWatching ? toldMs : untoldMs;
    return Math.max(0, Math.trunc(wholeMs - (clock.monotonicMs() - askedMs)));
  };
  const dropName = (place: Place): void => void caches()?.dropName(place);
  const dropAbsent = (parent: number): void => {
    const names = absent.get(parent);
    if (!names) return;
    absent.delete(parent);
    absentCount -= names.size;
    for (const name of names) dropName({ parent, name });
  };
  const drop = (node: Node, parts: { readonly name: boolean }): void => {
    void caches()?.dropAttributes(node.number);
    if (parts.name && node.place) dropName(node.place);
    dropAbsent(node.number);
    if (node.opened) refresh(node);
  };
  const forgetOld = (): void => {
    const oldMs = clock.monotonicMs() - toldMs;
    for (const [number, ms] of changedMs) if (ms < oldMs) changedMs.delete(number);
  };
  const hearAll = (realm: Realm): void => {
    const nowMs = clock.monotonicMs();
    beginMs = nowMs;
    changedMs.clear();
    whole.clear();
    for (const number of [...absent.keys()]) dropAbsent(number);
    for (const node of nodes.all()) {
      if (node.realm !== realm) continue;
      // Perhaps it was another's meanwhile.
      if (node.opened) node.opened.leased = false;
      if (node.opened || node.askedMs > nowMs - toldMs) drop(node, { name: true });
    }
  };
  const hearOf = (realm: Realm, inode: Inode, parts: { readonly name: boolean }): void => {
    const number = nodes.numberOf(realm, inode);
    whole.forget(number);
    changedMs.set(number, clock.monotonicMs());
    const node = nodes.known(number);
    if (node) drop(node, parts);
  };
  const giveUp = async (realm: Realm, inode: Inode): Promise<void> => {
    const node = nodes.known(nodes.numberOf(realm, inode));
    if (node) await recall(node);
    realm.session.yield(inode);
  };
  return {
    leftMs,
    absentMs: (parent, name, askedMs) => {
      const ms = leftMs(parent.realm, parent.number, askedMs);
      if (ms <= untoldMs) return ms;
      if (absentCount >= absentMax) return untoldMs;
      const names = absent.get(parent.number) ?? new Set();
      absent.set(parent.number, names);
      if (!names.has(name)) absentCount++;
      names.add(name);
      return ms;
    },
    knowWhole: (directory, names, askedMs) => {
      if (directory.realm.session.isWatching && leftMs(directory.realm, directory.number, askedMs) > 0) whole.know(directory.number, names);
    },
    noteName: (directory, name) => whole.add(directory.number, name),
    isAbsent: (directory, name) => directory.realm.session.isWatching && whole.lacks(directory.number, name),
    hear: (realm, news) => {
      if (news === "everything") return hearAll(realm);
      for (const inode of news.recalled) void giveUp(realm, inode);
      if (changedMs.size > changedMax) forgetOld();
      if (changedMs.size > changedMax) return hearAll(realm);
      for (const inode of news.changed) hearOf(realm, inode, { name: false });
      for (const inode of news.renamed) hearOf(realm, inode, { name: true });
    },
  };
}
