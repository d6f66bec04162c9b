/**
 * What the kernel holds for true of a file. In write-back mode its size and time of change are the kernel's own for as long as it remembers
 * the file, whatever it is told; so when another client has changed them, the kernel has to forget the file. It does when a name is looked
 * up and the file has another generation than before. That would break what is open: such a file is set to what it is (`KernelCaches.dropFile`).
 */
import type { KernelCaches } from "./file-system.ts";
import type { Node, Nodes } from "./nodes.ts";

/** What the kernel last took over, or wrote itself. */
export interface KernelView {
  readonly version: number;
  readonly modifiedNs: bigint;
}

/** Another client has changed it since. Of what is no file the kernel takes over whatever it is told. */
export function isSeenOtherwise({ seen, attr }: Node): boolean {
  return attr.type === "file" && seen !== undefined && (seen.version !== attr.version || seen.modifiedNs !== attr.mtimeNs);
}

/** For a reply that tells the kernel how the file is. */
export function generationOf(node: Node): number {
  const isOther = isSeenOtherwise(node);
  if (isOther && node.opened) return node.generation;
  if (isOther) node.generation++;
  noteSeen(node);
  return node.generation;
}

export function noteSeen(node: Node): void {
  node.seen = { version: node.attr.version, modifiedNs: node.attr.mtimeNs };
}

/** Of a file that is open here and has become another version. Not to be awaited by whoever reads or writes the file: the kernel waits for that. */
export async function showOpen(node: Node, nodes: Nodes, caches: KernelCaches): Promise<void> {
  const { number: inode, attr, opened } = node;
  const path = nodes.shownPathOf(node);
  if (!path || !opened) return await caches.dropData(inode);
  const isTaken = await caches.dropFile({ inode, path, sizeBytes: opened.content.sizeBytes, modifiedNs: attr.mtimeNs });
  if (isTaken && node.attr === attr) noteSeen(node);
}

/** More, and the whole counts as changed. */
const runsMax = 64;

export interface ChangedRun {
  readonly start: number;
  readonly end: number;
}

/**
 * Where pages that the kernel writes differ from what they were made over: the rest of a page nobody wrote here, and another client may have
 * changed it since.
 */
export function changedRuns(base: Uint8Array, data: Uint8Array): readonly ChangedRun[] {
  const runs: ChangedRun[] = [];
  let start: number | undefined;
  for (let at = 0; at < data.length; at++) {
    const isChanged = at >= base.length || base[at] !== data[at];
    if (isChanged) start ??= at;
    else if (start !== undefined) {
      runs.push({ start, end: at });
      if (runs.length > runsMax) return [{ start: 0, end: data.length }];
      start = undefined;
    }
  }
  return start === undefined ? runs : [...runs, { start, end: data.length }];
}
