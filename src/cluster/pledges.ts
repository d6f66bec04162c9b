/**
 * Give to get: who may store how much at whom. Pure, and one rule for both ends: the host decides by it, and the owner does
 * not ask for what it forbids. They differ in where the figures come from: each knows its own, and of the others
 * what those have signed.
 *
 * - A host keeps for all others together no more than it pledged.
 * - An owner keeps at all others together no more than its share: what it pledged, times the ratio of whoever decides. A pledge
 *   counts as far as there are disks behind it.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { formatSize } from "../core/units.ts";

/** Whose nodes they are. */
export interface Host {
  readonly member: GlobalName;
  readonly pledgedBytes: number;
  /** What it keeps for all others. */
  readonly hostedBytes: number;
}

/** Whose data it is. */
export interface Owner {
  readonly member: GlobalName;
  readonly pledgedBytes: number;
  /** Of its nodes. */
  readonly capacityBytes: number;
  /** What it has at all others, the host among them. */
  readonly usedBytes: number;
}

export interface Lending {
  readonly host: Host;
  readonly owner: Owner;
  /** What may be used for each byte that is pledged. */
  readonly giveToGet: number;
}

/** How much a member may have at all others together. */
export function shareOf({ pledgedBytes, capacityBytes }: Pick<Owner, "pledgedBytes" | "capacityBytes">, giveToGet: number): number {
  return Math.floor(Math.min(pledgedBytes, capacityBytes) * giveToGet);
}

export function shareLeft(owner: Owner, giveToGet: number): number {
  return Math.max(0, shareOf(owner, giveToGet) - owner.usedBytes);
}

export function pledgeLeft({ pledgedBytes, hostedBytes }: Host): number {
  return Math.max(0, pledgedBytes - hostedBytes);
}

/** A limit that is in the way: which, and what would raise it, in words. */
export interface Barrier {
  readonly limit: string;
  readonly raise: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Undefined when both limits leave room for so much more. */
export function barrierTo(neededBytes: number, { host, owner, giveToGet }: Lending): Barrier | undefined {
  if (neededBytes > shareLeft(owner, giveToGet)) return shareBarrier(owner, giveToGet, neededBytes);
  return neededBytes > pledgeLeft(host) ? pledgeBarrier(host, neededBytes) : undefined;
}

/** The host's own pledge. */
export function pledgeBarrier({ member, pledgedBytes, hostedBytes }: Host, neededBytes: number): Barrier {
  return {
    limit:
      pledgedBytes === 0
        ? `${member} lends nothing to others`
        : `${member} takes no ${moreText(neededBytes)}: ${formatSize(hostedBytes)} used of the ${formatSize(pledgedBytes)} that it pledged to others`,
    raise: `${member} can lend more: collective federation pledge SIZE`,
    details: { limit: "pledge", member, usedBytes: hostedBytes, limitBytes: pledgedBytes, neededBytes },
  };
}

/** What the owner gets for what it gives. */
export function shareBarrier(owner: Owner, giveToGet: number, neededBytes: number): Barrier {
  const { member, pledgedBytes, capacityBytes, usedBytes } = owner;
  const limitBytes = shareOf(owner, giveToGet);
  const behind = pledgedBytes > capacityBytes ? `, of which its nodes have ${formatSize(capacityBytes)}` : "";
  const pledged = `it pledged ${formatSize(pledgedBytes)}${behind}`;
  return {
    limit:
      limitBytes === 0
        ? `${member} may store nothing at others: ${pledgedBytes === 0 ? "it lends them nothing" : pledged}`
        : `${member} may store no ${moreText(neededBytes)} at others: ${formatSize(usedBytes)} used of the ${formatSize(limitBytes)} that it may (${pledged})`,
    raise:
      pledgedBytes > capacityBytes
        ? `${member} can add nodes, so that there is more behind its pledge`
        : `${member} can pledge more to use more: collective federation pledge SIZE`,
    details: { limit: "share", member, usedBytes, limitBytes, neededBytes },
  };
}

export function refusalFor({ limit, raise, details }: Barrier): CollectiveError {
  return new CollectiveError("quota_exceeded", limit, { hint: raise, details });
}

/** Where any byte would be too much, how many were asked for says nothing. */
function moreText(neededBytes: number): string {
  return neededBytes <= 1 ? "more" : `${formatSize(neededBytes)} more`;
}

const significantSteps = 64;

/** Rounded down, so that it is told anew only when it has changed by a noticeable part: each change is news for every member. */
export function toldBytes(bytes: number): number {
  if (bytes < significantSteps) return bytes;
  const step = 2 ** Math.floor(Math.log2(bytes / significantSteps));
  return Math.floor(bytes / step) * step;
}
