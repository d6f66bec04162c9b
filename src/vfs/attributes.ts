/** How a file of the collective looks to POSIX. */
import type { Attributes, Caller } from "./file-system.ts";
import type { Node } from "./nodes.ts";

const setUserId = 0o4000;
const setGroupId = 0o2000;
const groupExecutes = 0o0010;

/** Who mounted it: shown wherever nobody has said whose a file is. */
export interface ShownOwner {
  readonly uid: number;
  readonly gid: number;
}

export function attributesOf(node: Node, owner: ShownOwner): Attributes {
  const { attr, opened } = node;
  const sizeBytes = opened?.content.sizeBytes ?? attr.sizeBytes;
  return {
    inode: node.number,
    kind: attr.type,
    mode: opened?.mode ?? attr.mode,
    links: node.isRemoved ? 0 : attr.links,
    uid: attr.uid ?? owner.uid,
    gid: attr.gid ?? owner.gid,
    device: attr.device ?? 0,
    sizeBytes,
    storedBytes: sizeBytes,
    accessedNs: attr.atimeNs,
    modifiedNs: opened?.modifiedNs ?? attr.mtimeNs,
    changedNs: later(opened?.changedNs ?? attr.ctimeNs, attr.ctimeNs),
  };
}

/** Whose is what somebody makes in a directory, and with which mode. A set-group-id directory gives its group, and the bit to directories. */
export function ownedIn(parent: Attributes, { uid, gid }: Caller, mode: number, kind: "directory" | "other") {
  if ((parent.mode & setGroupId) === 0) return { uid, gid, mode };
  return { uid, gid: parent.gid, mode: kind === "directory" ? mode | setGroupId : mode };
}

/** The mode that is left when `caller` changes what it is the mode of. A group that may not execute has the bit for another purpose. */
export function withoutSetIds({ kind, mode, gid }: Attributes, caller: Caller): number {
  if (kind === "directory") return mode;
  const isStranger = caller.uid !== 0 && caller.gid !== gid;
  return mode & ~(setUserId | ((mode & groupExecutes) !== 0 || isStranger ? setGroupId : 0));
}

function later(one: bigint, other: bigint): bigint {
  if (one > other) return one;
  return other;
}
