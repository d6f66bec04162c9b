/** How to run this same program once more, as a process of its own. */

/** From source that is Bun with the entry point, else the executable alone. */
export function ownCommand(): readonly string[] {
  return Bun.isStandaloneExecutable ? [process.execPath] : [process.execPath, Bun.main];
}
