/**
 * Where a demo lives on the disk. A folder that the demo chose itself is removed at its end, also when the
 * process is told to exit at once; one that a person named is theirs and stays.
 */
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, realpath, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve, sep } from "node:path";
import { CollectiveError } from "../../../protocol/errors.ts";
import { mebibyte } from "../../../protocol/limits.ts";
import { formatSize } from "../../core/units.ts";

export interface DemoFolder extends AsyncDisposable {
  readonly path: string;
  readonly home: string;
  readonly logDir: string;
  /** Files made for the demo. */
  readonly madeDir: string;
  /** What was fetched; not there yet. */
  readonly fetchedDir: string;
  readonly isKept: boolean;
  keep(): void;
}

export interface FolderOptions {
  readonly dir: string | undefined;
  readonly keep: boolean;
  readonly neededBytes: number;
  /** A tree that must not get the folder inside it. */
  readonly outside: string | undefined;
}

/** So that neither the nodes nor the machine around them run into a full disk. */
const spareBytes = 512 * mebibyte;

/**
 * Throws `not_empty` when the named folder has something in it, `no_space` when nothing has room enough,
 * `invalid_argument` when it would lie in `outside`; nothing is made then.
 */
export async function openDemoFolder(options: FolderOptions): Promise<DemoFolder> {
  const { dir, keep } = options;
  const path = dir === undefined ? await temporaryFolder(options) : await namedFolder(resolve(dir), options);
  let isKept = keep || dir !== undefined;
  const removeNow = (): void => {
    if (!isKept) removeTree(path);
  };
  process.on("exit", removeNow);
  const folder = { home: join(path, "home"), logDir: join(path, "logs"), madeDir: join(path, "made"), fetchedDir: join(path, "fetched") };
  for (const part of [folder.home, folder.logDir, folder.madeDir]) await mkdir(part, { recursive: true, mode: 0o700 });
  return {
    path,
    ...folder,
    get isKept() {
      return isKept;
    },
    keep: () => {
      isKept = true;
    },
    [Symbol.asyncDispose]: async () => {
      process.off("exit", removeNow);
      removeNow();
    },
  };
}

const removalAttemptsMax = 20;

/** Of processes that were just killed the last writes may still come in. */
function removeTree(path: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      rmSync(path, { recursive: true, force: true });
      return;
    } catch (error) {
      if (attempt === removalAttemptsMax) throw error;
      openDirectories(path);
    }
  }
}

/** Among what was fetched may be directories that not even their owner may change. */
function openDirectories(path: string): void {
  const directories = [path];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    if (!existsSync(directory)) continue;
    chmodSync(directory, 0o700);
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) directories.push(join(directory, entry.name));
    }
  }
}

async function namedFolder(path: string, { neededBytes, outside }: FolderOptions): Promise<string> {
  const madeFrom = await mkdir(path, { recursive: true, mode: 0o700 });
  try {
    if (await liesWithin(path, outside)) throw inside(path, outside);
    if ((await readdir(path)).length > 0) {
      throw new CollectiveError("not_empty", `${path} is not empty`, { hint: "name a new folder with --dir, or leave it out" });
    }
    const free = await freeBytes(path);
    if (free < neededBytes + spareBytes) throw noSpace([path], { neededBytes, free });
    return await realpath(path);
  } catch (error) {
    if (madeFrom !== undefined) await rm(madeFrom, { recursive: true });
    throw error;
  }
}

/** Many machines keep /tmp in memory, and it is small; /var/tmp is on a disk. */
async function temporaryFolder({ neededBytes, outside }: FolderOptions): Promise<string> {
  const bases = [tmpdir(), "/var/tmp"].filter((base) => existsSync(base));
  const usable: string[] = [];
  for (const base of bases) if (!(await liesWithin(base, outside))) usable.push(base);
  if (usable.length === 0) throw inside(bases.join(" and "), outside);
  let free = 0;
  for (const base of usable) {
    const here = await freeBytes(base);
    if (here >= neededBytes + spareBytes) return await realpath(await mkdtemp(join(base, "collective-demo-")));
    free = Math.max(free, here);
  }
  throw noSpace(usable, { neededBytes, free });
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

function noSpace(places: readonly string[], { neededBytes, free }: { neededBytes: number; free: number }): CollectiveError {
  return new CollectiveError(
    "no_space",
    `the demo needs ${formatSize(neededBytes + spareBytes)} for a while, and there are ${formatSize(free)} free in ${places.join(" or ")}`,
    { hint: "name another disk with --dir DIR, or something smaller to store with --tree DIR" },
  );
}

/** Whether `path` is `folder` or lies below it; both exist. */
async function liesWithin(path: string, folder: string | undefined): Promise<boolean> {
  if (folder === undefined) return false;
  const [inner, outer] = await Promise.all([realpath(path), realpath(folder)]);
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep);
}

function inside(path: string, tree: string | undefined): CollectiveError {
  return new CollectiveError("invalid_argument", `${path} lies in ${tree}, which is to be stored`, {
    hint: "name a folder elsewhere with --dir, or another tree with --tree",
  });
}
