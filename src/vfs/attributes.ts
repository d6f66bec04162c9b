/** How a file of the collective looks to POSIX. */
import type { FileType } from "../../protocol/schema.ts";
import type { Attributes, FileKind } from "./file-system.ts";
import type { Node } from "./nodes.ts";

/** The coordinator knows no users of this machine: everything is shown as theirs who mounted it. */
export interface ShownOwner {
  readonly uid: number;
  readonly gid: number;
}

/** 1 for directories says that it counts nothing, as some other file systems do: their directories are not counted. */
const linksShown = 1;

export function attributesOf(node: Node, { uid, gid }: ShownOwner): Attributes {
  const { attr, opened } = node;
  const sizeBytes = opened?.content.sizeBytes ?? attr.sizeBytes;
  const modifiedNs = opened?.modifiedNs ?? attr.mtimeNs;
  return {
    inode: node.number,
    kind: kindOf(attr.type),
    mode: opened?.mode ?? attr.mode,
    links: node.isRemoved ? 0 : linksShown,
    uid,
    gid,
    device: 0,
    sizeBytes,
    storedBytes: sizeBytes,
    accessedNs: node.accessedNs ?? modifiedNs,
    modifiedNs,
    changedNs: opened?.changedNs ?? attr.ctimeNs,
  };
}

export function kindOf(type: FileType): FileKind {
  return type;
}
