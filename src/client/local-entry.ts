/** What this program looks at of local files, and when it takes one for the same as a stored one. */
import type { BigIntStats } from "node:fs";
import type { Attr } from "../../protocol/schema.ts";

export interface LocalEntry {
  readonly path: string;
  readonly name: string;
  readonly stats: BigIntStats;
}

/** Times are set through doubles, which cannot tell apart what lies closer together than this. */
const sameTimeNs = 2_000n;

export function isSameTime(a: bigint, b: bigint): boolean {
  const difference = a - b;
  return difference < sameTimeNs && difference > -sameTimeNs;
}

/** By size and modification time, like rsync: whoever changes content without either is not noticed. */
export function isIdentical(local: BigIntStats, remote: Attr): boolean {
  return local.isFile() && remote.type === "file" && Number(local.size) === remote.sizeBytes && isSameTime(local.mtimeNs, remote.mtimeNs);
}

export const permissionBits = 0o7777;

/** Of what is identical otherwise. */
export function isSameMode(local: BigIntStats, remote: Attr): boolean {
  return (Number(local.mode) & permissionBits) === (remote.mode & permissionBits);
}
