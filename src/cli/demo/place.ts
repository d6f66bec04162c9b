/** What a demo stores and where it lives: decided together, for the one must not lie in the other and the disk must hold both. */
import { realpath } from "node:fs/promises";
import { basename } from "node:path";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import type { Io } from "../io.ts";
import { printable } from "../output/text.ts";
import { transferProgress } from "../progress.ts";
import { type DemoFolder, openDemoFolder } from "./folder.ts";
import { measureTree, randomFileBytes, type TreeSize } from "./source-tree.ts";

export const randomFileName = "random.bin";
/** Of a store with the default policy. */
export const copies = 2;

export interface DemoOptions {
  readonly members: number;
  /** Of each member. */
  readonly nodes: number;
  readonly dir: string | undefined;
  readonly keep: boolean;
  /** Undefined is the current directory where that will do, and files made for the demo otherwise. */
  readonly tree: string | undefined;
}

/** A directory or a file, and the name it gets in the store. */
export interface Tree {
  readonly path: string;
  readonly name: string;
  readonly size: TreeSize;
}

/** Whoever names a tree means that one; the current directory is only a proposal. */
export async function choosePlace(io: Io, options: DemoOptions): Promise<{ tree: Tree | undefined; folder: DemoFolder }> {
  const open = (tree: Tree | undefined): Promise<DemoFolder> => {
    const neededBytes = ((tree?.size.bytes ?? 0) + randomFileBytes) * (Math.min(copies, options.nodes) + 1) + randomFileBytes;
    return openDemoFolder({ ...options, neededBytes, outside: tree?.path });
  };
  try {
    const tree = await measured(io, options.tree ?? ".");
    return { tree, folder: await open(tree) };
  } catch (thrown) {
    const error = toCollectiveError(thrown);
    if (options.tree !== undefined || error.code === "cancelled") throw error;
    const folder = await open(undefined);
    io.stderr.write(`not storing the current directory, but files made for the demo: ${printable(error.message)}\n`);
    return { tree: undefined, folder };
  }
}

async function measured(io: Io, given: string): Promise<Tree> {
  const path = await realpath(given);
  using progress = transferProgress(io, { label: `looking through ${path}`, total: {} });
  const size = await measureTree(path, { signal: io.signal, onFound: (files) => progress.add({ files }) });
  if (size.files === 0) throw new CollectiveError("invalid_argument", `${path} has no files`);
  const name = basename(path);
  return { path, name: name === "" || name === randomFileName ? "tree" : name, size };
}
