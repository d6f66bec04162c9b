/** How a file of the collective looks to POSIX. */
import type { FileType } from "../../protocol/schema.ts";
import type { Attributes, FileKind } from "./file-system.ts";
import type { Node } from "./nodes.ts";

/** Who mounted it: shown wherever nobody has said whose a file is. */
export interface ShownOwner {
  readonly uid: number;
  readonly gid: number;
}

export function attributesOf(node: Node, { uid, gid }: ShownOwner): Attributes {
  const { attr, opened } = node;
  const sizeBytes = opened?.content.sizeBytes ?? attr.sizeBytes;
  const modifiedNs = opened?.modifiedNs ?? attr.mtimeNs;
  return {
    inode: node.number,
    kind: kindOf(attr.type),
    mode: opened?.mode ?? attr.mode,
    links: node.isRemoved ? 0 : attr.links,
    uid: attr.uid ?? uid,
    gid: attr.gid ?? gid,
    device: 0,
    sizeBytes,
    storedBytes: Math.min(sizeBytes, attr.sizeBytes - (attr.holeBytes ?? 0) + (opened?.content.unsavedBytes ?? 0)),
    accessedNs: node.accessedNs ?? modifiedNs,
    modifiedNs,
    changedNs: opened?.changedNs ?? attr.ctimeNs,
  };
}

export function kindOf(type: FileType): FileKind {
  return type;
}
