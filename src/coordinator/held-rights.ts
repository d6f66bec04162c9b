/**
 * What grants add up to for one person, at one moment, on one directory or on several. Pure.
 *
 * Invariant: a grant gives no right that its granter does not hold on the same directory, together with
 * `share`, and for no longer; all rights begin with the administrator, who has them without a grant. So nobody gains by
 * granting in a circle, and whoever loses a right takes it from all who had it from them.
 */
import type { GlobalName } from "../../protocol/ids.ts";
import { matchesSubject, type Right, rights } from "../../protocol/rights.ts";
import type { AccessGrant } from "../meta/people.ts";

/** Each right with the time at which it ends, `Infinity` for never. */
export type HeldRights = ReadonlyMap<Right, number>;

export const allRights: HeldRights = new Map(rights.map((right) => [right, Number.POSITIVE_INFINITY]));

export interface RightsQuestion {
  readonly person: GlobalName;
  readonly administrator: GlobalName;
  /** On the directory and above it, the nearest first. */
  readonly grants: readonly AccessGrant[];
  readonly nowMs: number;
}

export function heldRights({ person, administrator, grants, nowMs }: RightsQuestion): HeldRights {
  const holders = new Map<GlobalName, Map<Right, number>>();
  for (const name of [person, ...grants.map((grant) => grant.grantedBy)]) holders.set(name, new Map());
  holders.set(administrator, new Map(allRights));
  for (const level of fromTheTop(grants.filter((grant) => !hasEnded(grant, nowMs)))) {
    // Until nothing is added: those of one directory may have their rights from each other, in any order.
    while (level.map((grant) => applyGrant(grant, { holders, administrator })).includes(true));
  }
  return holders.get(person) ?? new Map();
}

/** What holds in one place or another. */
export function eitherOf(places: readonly HeldRights[]): HeldRights {
  const [first, ...others] = places;
  if (others.length === 0) return first ?? new Map();
  return new Map(
    rights.flatMap((right): [Right, number][] => {
      const ends = places.flatMap((held) => held.get(right) ?? []);
      return ends.length === 0 ? [] : [[right, Math.max(...ends)]];
    }),
  );
}

export function hasEnded(grant: AccessGrant, nowMs: number): boolean {
  return grant.expiresMs !== null && grant.expiresMs <= nowMs;
}

/** What the grant itself is worth. `grants` as in `RightsQuestion`, of the directory it is on. */
export function rightsInForce(grant: AccessGrant, question: Omit<RightsQuestion, "person">): HeldRights {
  if (hasEnded(grant, question.nowMs)) return new Map();
  return passedOn(grant, heldRights({ ...question, person: grant.grantedBy }));
}

function passedOn(grant: AccessGrant, granter: HeldRights): HeldRights {
  const mayShareUntilMs = granter.get("share");
  if (mayShareUntilMs === undefined) return new Map();
  const grantEndsMs = Math.min(mayShareUntilMs, grant.expiresMs ?? Number.POSITIVE_INFINITY);
  const given = new Map<Right, number>();
  for (const right of grant.rights) {
    const heldUntilMs = granter.get(right);
    if (heldUntilMs !== undefined) given.set(right, Math.min(heldUntilMs, grantEndsMs));
  }
  return given;
}

interface Holders {
  readonly holders: ReadonlyMap<GlobalName, Map<Right, number>>;
  readonly administrator: GlobalName;
}

/** True when somebody has more than before. */
function applyGrant(grant: AccessGrant, { holders, administrator }: Holders): boolean {
  const given = passedOn(grant, holders.get(grant.grantedBy) ?? new Map());
  let added = false;
  for (const [name, held] of holders) {
    if (name === administrator || !matchesSubject(grant.subject, name)) continue;
    for (const [right, untilMs] of given) {
      if ((held.get(right) ?? 0) >= untilMs) continue;
      held.set(right, untilMs);
      added = true;
    }
  }
  return added;
}

/** Directory by directory, the highest first: a grant rests on those beside and above it, never on those below. */
function fromTheTop(grants: readonly AccessGrant[]): AccessGrant[][] {
  return [...Map.groupBy(grants, (grant) => grant.inode).values()].reverse();
}
