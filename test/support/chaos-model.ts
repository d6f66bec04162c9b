/**
 * What one writer knows of its own files: what each name may show now, and what it may show after the mount was killed.
 *
 * As long as every call has succeeded there is one possibility. A call that failed may have been done or not, and after a kill anything is
 * possible that was there since the last `fsync`, record by record.
 */
import type { Content } from "./chaos-content.ts";

/** Undefined where there is no such name. */
export type State = Content | undefined;

interface Known {
  /** What a read by this writer's mount may give. */
  shown: readonly State[];
  /** The same after a kill of the mount. */
  kept: readonly State[];
}

export interface WriterModel {
  readonly names: readonly string[];
  /** Of many possibilities the newest. */
  latest(name: string): State;
  isCertain(name: string): boolean;
  mayBe(name: string, what: "present" | "absent"): boolean;
  /** A change of content was made: on this machine, until somebody syncs. */
  wrote(name: string, state: Content): void;
  /** A change of names was made, and is known to the coordinator. */
  named(name: string, state: State): void;
  renamed(from: string, to: string): void;
  /** That was tried, and nobody knows whether it was done. */
  perhaps(name: string, state: State): void;
  perhapsRenamed(from: string, to: string): void;
  synced(name: string): void;
  /** How many things a kill may leave there. */
  unsynced(name: string): number;
  mountKilled(): void;
  /** Says what is wrong with what was read, undefined when it may be so. From then on it is so. */
  judge(name: string, found: State): string | undefined;
}

export function createWriterModel(names: readonly string[]): WriterModel {
  const all = new Map<string, Known>(names.map((name) => [name, { shown: [undefined], kept: [undefined] }]));
  const of = (name: string): Known => {
    const known = all.get(name);
    if (!known) throw new Error(`no ${name} in the model`);
    return known;
  };
  return {
    names,
    latest: (name) => of(name).shown.at(-1),
    isCertain: (name) => of(name).shown.length === 1,
    mayBe: (name, what) => of(name).shown.some((state) => (state === undefined) === (what === "absent")),
    wrote: (name, state) => {
      const known = of(name);
      known.shown = [state];
      known.kept = [...known.kept, state];
    },
    named: (name, state) => {
      all.set(name, { shown: [state], kept: [state] });
    },
    renamed: (from, to) => {
      all.set(to, { ...of(from) });
      all.set(from, { shown: [undefined], kept: [undefined] });
    },
    perhaps: (name, state) => {
      const known = of(name);
      known.shown = [...known.shown, state];
      known.kept = [...known.kept, state];
    },
    perhapsRenamed: (from, to) => {
      const [source, target] = [of(from), of(to)];
      target.shown = [...target.shown, ...source.shown];
      target.kept = [...target.kept, ...source.kept];
      source.shown = [...source.shown, undefined];
      source.kept = [...source.kept, undefined];
    },
    synced: (name) => {
      of(name).kept = of(name).shown;
    },
    unsynced: (name) => of(name).kept.length,
    mountKilled: () => {
      for (const known of all.values()) known.shown = known.kept;
    },
    judge: (name, found) => {
      const known = of(name);
      const isPossible = known.shown.length === 1 ? isSame(known.shown[0], found) : isMixtureOf(known.shown, found);
      if (!isPossible) return `${shown(found)} was read, possible were ${known.shown.map(shown).join(" or ")}`;
      // What is empty does not say of which file it is.
      known.shown = [known.shown.find((state) => isSame(state, found)) ?? found];
      if (!known.kept.some((state) => isSame(state, found))) known.kept = [...known.kept, found];
      return undefined;
    },
  };
}

function isSame(one: State, other: State): boolean {
  return (
    one === other || (one !== undefined && other !== undefined && Bun.deepEquals(one.versions, other.versions) && hasFileOf(one, other))
  );
}

/** What is empty says of no file. */
function hasFileOf(one: Content, other: Content): boolean {
  return one.versions.length === 0 || one.file === other.file;
}

/** Each record is what one of them has there, and it ends where one of them does. */
function isMixtureOf(states: readonly State[], found: State): boolean {
  if (found === undefined) return states.includes(undefined);
  const same = states.filter((state) => state !== undefined).filter((state) => found.versions.length === 0 || state.file === found.file);
  if (!same.some(({ versions }) => versions.length === found.versions.length)) return false;
  return found.versions.every((version, index) => same.some(({ versions }) => versions[index] === version));
}

function shown(state: State): string {
  return state === undefined ? "nothing" : `file ${state.file} [${state.versions.join(" ")}]`;
}
