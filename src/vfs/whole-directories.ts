/** All names of some directories: of what is not among them nobody need be asked. Right for as long as all changes there are heard. */
export interface WholeDirectories {
  know(directory: number, names: Iterable<string>): void;
  /** It has this name now, if it is known at all. */
  add(directory: number, name: string): void;
  lacks(directory: number, name: string): boolean;
  forget(directory: number): void;
  clear(): void;
}

/** A name that is counted twice, or is gone, makes it no more than too careful. */
const namesMax = 131_072;

export function createWholeDirectories(): WholeDirectories {
  /** In the order they became known. */
  const known = new Map<number, Set<string>>();
  let count = 0;
  const forget = (directory: number): void => {
    count -= known.get(directory)?.size ?? 0;
    known.delete(directory);
  };
  const makeRoom = (): void => {
    for (const directory of known.keys()) {
      if (count <= namesMax) return;
      forget(directory);
    }
  };
  return {
    know: (directory, names) => {
      forget(directory);
      const set = new Set(names);
      known.set(directory, set);
      count += set.size;
      makeRoom();
    },
    add: (directory, name) => {
      const names = known.get(directory);
      if (!names || names.has(name)) return;
      names.add(name);
      count++;
      makeRoom();
    },
    lacks: (directory, name) => known.get(directory)?.has(name) === false,
    forget,
    clear: () => {
      known.clear();
      count = 0;
    },
  };
}
