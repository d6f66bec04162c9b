/**
 * What may be read after commands that ended well, badly or not at all. Pure: a name has a set of
 * outcomes (a content's hash, or absent), and each observation makes the set a single one again.
 */

export const absent = "absent";
/** SHA-256 of a whole content, or `absent`. */
export type Outcome = string;

export interface Change {
  readonly path: string;
  readonly outcome: Outcome;
}

export interface CrashModel {
  /** Of all names that were ever written. */
  paths(): readonly string[];
  /** Commands that ran at the same time, each with what it was to change and whether it exited 0. */
  apply(commands: readonly { readonly changes: readonly Change[]; readonly succeeded: boolean }[]): void;
  /** Takes what was found as true from now on. Answers what was found and cannot be. */
  observe(found: ReadonlyMap<string, Outcome>): string[];
}

export function createCrashModel(): CrashModel {
  const possible = new Map<string, Set<Outcome>>();
  return {
    paths: () => [...possible.keys()],
    apply: (commands) => {
      const changes = commands.flatMap(({ changes, succeeded }) => changes.map((change) => ({ ...change, succeeded })));
      for (const [path, ofPath] of Map.groupBy(changes, (change) => change.path)) {
        // Whichever took effect last stands; what was there before can only stand if none is known to have taken effect.
        const before = ofPath.some((change) => change.succeeded) ? [] : (possible.get(path) ?? [absent]);
        possible.set(path, new Set([...before, ...ofPath.map((change) => change.outcome)]));
      }
    },
    observe: (found) => {
      const wrong: string[] = [];
      for (const [path, outcome] of found) {
        if (!possible.has(path)) wrong.push(`${path} was never written, and is there`);
        else if (possible.get(path)?.has(outcome) !== true) wrong.push(`${path} holds what nobody wrote: ${outcome}`);
      }
      for (const [path, outcomes] of possible) {
        if (!found.has(path) && !outcomes.has(absent)) wrong.push(`${path} is gone`);
        possible.set(path, new Set([found.get(path) ?? absent]));
      }
      return wrong;
    },
  };
}
