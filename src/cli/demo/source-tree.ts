/** What a demo stores: a tree that is there already, or files made for it. */
import type { Stats } from "node:fs";
import { lstat, mkdir, open, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../../protocol/errors.ts";
import { gibibyte, mebibyte } from "../../../protocol/limits.ts";
import { forEachLimited } from "../../core/limiter.ts";
import type { Random } from "../../core/random.ts";
import { formatSize } from "../../core/units.ts";
import { formatCount } from "../output/text.ts";

export interface TreeSize {
  readonly files: number;
  readonly links: number;
  /** Of the files' contents. */
  readonly bytes: number;
}

export const treeBytesMax = 3 * gibibyte;
export const treeEntriesMax = 200_000;
export const randomFileBytes = 128 * mebibyte;

const statsInFlightMax = 64;
const blockBytes = 4 * mebibyte;

export interface MeasureOptions {
  readonly signal: AbortSignal;
  readonly onFound?: ((files: number) => void) | undefined;
}

/** Throws what reading it throws, and `too_large` as soon as it is more than a demo should take. */
export async function measureTree(root: string, { signal, onFound }: MeasureOptions): Promise<TreeSize> {
  if (!(await stat(root)).isDirectory()) throw new CollectiveError("not_a_directory", `${root} is not a directory`);
  const size = { files: 0, links: 0, bytes: 0 };
  let directories = 1;
  const count = (found: Stats): void => {
    if (found.isDirectory()) directories++;
    if (found.isSymbolicLink()) size.links++;
    if (!found.isFile()) return;
    size.files++;
    size.bytes += found.size;
  };
  const below = [root];
  for (let directory = below.pop(); directory !== undefined; directory = below.pop()) {
    if (signal.aborted) throw new CollectiveError("cancelled", "cancelled");
    const names = await readdir(directory);
    const parent = directory;
    await forEachLimited(names, statsInFlightMax, async (name) => {
      const found = await lstat(join(parent, name));
      count(found);
      if (found.isDirectory()) below.push(join(parent, name));
    });
    onFound?.(names.length);
    if (size.bytes > treeBytesMax) throw new CollectiveError("too_large", `${root} has more than ${formatSize(treeBytesMax)}`);
    if (size.files + size.links + directories > treeEntriesMax) {
      throw new CollectiveError("too_large", `${root} has more than ${formatCount(treeEntriesMax)} files and directories`);
    }
  }
  return size;
}

/** A file that no compression and no deduplication makes smaller. */
export async function makeRandomFile(path: string, { random, signal }: { random: Random; signal: AbortSignal }): Promise<void> {
  const file = await open(path, "wx");
  try {
    for (let written = 0; written < randomFileBytes; written += blockBytes) {
      if (signal.aborted) throw new CollectiveError("cancelled", "cancelled");
      await file.writeFile(random.bytes(blockBytes));
    }
  } finally {
    await file.close();
  }
}

const madeDirectories = 25;
const madeFilesEach = 40;

/** A thousand small files of text, from empty to some 40 KiB, and a symbolic link in each directory. */
export async function makeTree(root: string): Promise<void> {
  for (let directory = 0; directory < madeDirectories; directory++) {
    const path = join(root, `directory-${directory}`);
    await mkdir(path, { recursive: true });
    for (let file = 0; file < madeFilesEach; file++) {
      await writeFile(join(path, `file-${file}.txt`), `line of file ${file} in directory ${directory}\n`.repeat(file * directory));
    }
    await symlink(`file-${directory}.txt`, join(path, "link"));
  }
}
