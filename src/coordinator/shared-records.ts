/** What this member tells the others of itself: which nodes it has, what it lends, which datastores it shares with whom, and who does not count any more. */

import { recordBodyBytesMax, type Topic } from "../../protocol/gossip.ts";
import {
  encodeRecordBody,
  hostedSitesMax,
  keysToldMax,
  nodesToldMax,
  type RecordBody,
  revocationsToldMax,
  withdrawalsToldMax,
} from "../../protocol/gossip-records.ts";
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax, guestTicketLifetimeMs } from "../../protocol/limits.ts";
import { rights as everyRight, matchesSubject, type Right, type SubjectPattern } from "../../protocol/rights.ts";
import type { NodeSummary, Withdrawal } from "../../protocol/schema.ts";
import { toldBytes } from "../cluster/pledges.ts";
import type { Enrolment } from "../meta/people.ts";
import type { MetadataStore } from "../meta/store.ts";
import { leafValidityMsMax } from "../pki/authority.ts";
import { rightsInForce } from "./held-rights.ts";

const storesMax = 64;
const grantsPerStoreMax = 32;
/** Free space is told in steps of this part of the capacity: each change is news for every member. */
const freeSteps = 64;

export function nodesRecord(nodes: readonly NodeSummary[]): RecordBody<"nodes"> {
  const told = nodes.slice(0, nodesToldMax).map(({ name, address, state, capacityBytes, freeBytes }) => {
    const stepBytes = Math.max(1, Math.floor(capacityBytes / freeSteps));
    return { name, address, state, capacityBytes, freeBytes: Math.floor(freeBytes / stepBytes) * stepBytes };
  });
  return fitting("nodes", told, (nodesTold) => ({ nodes: nodesTold }));
}

/** By it the others know how much room is left here, and what each of them uses in all. */
export function pledgeRecord(pledgedBytes: number, hosted: ReadonlyMap<Site, number>): RecordBody<"pledge"> {
  const told = [...hosted]
    .map(([site, bytes]) => ({ site, bytes: toldBytes(bytes) }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes || (a.site < b.site ? -1 : 1));
  return fitting("pledge", told.slice(0, hostedSitesMax), (sites) => ({ pledgedBytes, hosted: sites }));
}

type RevokedName = RecordBody<"revocations">["names"][number];

/** As far as it can still matter, the newest first: no certificate outlives its longest validity. */
export function revocationsRecord(
  enrolments: readonly Enrolment[],
  serials: readonly { readonly serial: string; readonly revokedMs: number }[],
  nowMs: number,
): RecordBody<"revocations"> {
  const byName = Map.groupBy(enrolments, ({ kind, name }) => `${kind} ${name}`);
  const names = newest(
    [...byName.values()].flatMap((keys) => revokedName(keys) ?? []),
    nowMs,
  );
  return fitting("revocations", names.slice(0, revocationsToldMax), (told) => ({
    names: told,
    serials: newest(serials, nowMs).slice(0, revocationsToldMax),
  }));
}

/** A name is revoked as a whole; what is in force of it came after that. */
function revokedName(enrolments: readonly Enrolment[]): RevokedName | undefined {
  const [first] = enrolments;
  const revokedMs = enrolments.find(({ publicKeyRaw }) => publicKeyRaw.length === 0)?.revokedMs ?? null;
  if (!first || revokedMs === null) return undefined;
  const inForce = enrolments.filter((one) => one.revokedMs === null).sort((x, y) => x.joinedMs - y.joinedMs);
  return {
    kind: first.kind,
    name: first.name,
    revokedMs,
    keysInForce: inForce.slice(-keysToldMax).map(({ publicKeyRaw }) => publicKeyRaw),
  };
}

function newest<T extends { readonly revokedMs: number }>(revoked: readonly T[], nowMs: number): T[] {
  return revoked.filter(({ revokedMs }) => revokedMs > nowMs - leafValidityMsMax).sort((a, b) => b.revokedMs - a.revokedMs);
}

/** No ticket for another member's node lives longer, by the slowest clock that is tolerated. */
const guestWithdrawalLifeMs = guestTicketLifetimeMs + 2 * clockSkewMsMax;

/** Where it is too much for one record, all tickets are void: whoever still has rights gets new ones by asking. */
export function withdrawalsRecord(withdrawals: readonly Withdrawal[], nowMs: number): RecordBody<"withdrawals"> {
  const list = withdrawals.filter(({ untilMs }) => untilMs > nowMs - guestWithdrawalLifeMs);
  if (list.length <= withdrawalsToldMax && fits("withdrawals", { list })) return { list };
  return { list: [{ holder: "*", untilMs: Math.max(...list.map(({ untilMs }) => untilMs)) }] };
}

/** Only what somebody of another site may use is told, and of that the datastore's name and to whom, never a path. */
export async function catalogueRecord(
  metadata: Pick<MetadataStore, "listGrants" | "grantsAbove">,
  { member, nowMs }: { readonly member: GlobalName; readonly nowMs: number },
): Promise<RecordBody<"catalogue">> {
  const stores = new Map<string, Map<SubjectPattern, Set<Right>>>();
  for (const grant of await metadata.listGrants()) {
    if (isOfOwnSite(grant.subject, member)) continue;
    const inForce = rightsInForce(grant, { administrator: member, grants: await metadata.grantsAbove(grant.inode), nowMs });
    const [, name] = grant.path.split("/");
    if (inForce.size === 0 || name === undefined) continue;
    const subjects = stores.get(name) ?? new Map<SubjectPattern, Set<Right>>();
    stores.set(name, subjects.set(grant.subject, new Set([...(subjects.get(grant.subject) ?? []), ...inForce.keys()])));
  }
  const told = [...stores].slice(0, storesMax).map(([name, subjects]) => ({
    name,
    grants: [...subjects]
      .slice(0, grantsPerStoreMax)
      .map(([to, held]) => ({ to: to as string, rights: everyRight.filter((right) => held.has(right)) })),
  }));
  return fitting("catalogue", told, (storesTold) => ({ stores: storesTold }));
}

/** Nobody elsewhere is meant by it. */
function isOfOwnSite(subject: SubjectPattern, member: GlobalName): boolean {
  return subject.slice(subject.indexOf("@") + 1) === siteOf(member);
}

export function sharesWith(catalogue: RecordBody<"catalogue">, person: GlobalName): boolean {
  return catalogue.stores.some(({ grants }) => grants.some(({ to }) => matchesSubject(to as SubjectPattern, person)));
}

/** As many as one record holds. */
function fitting<T extends Topic, I>(topic: T, items: readonly I[], bodyOf: (items: I[]) => RecordBody<T>): RecordBody<T> {
  for (let count = items.length; ; count = Math.floor(count / 2)) {
    const body = bodyOf(items.slice(0, count));
    if (count === 0 || fits(topic, body)) return body;
  }
}

function fits<T extends Topic>(topic: T, body: RecordBody<T>): boolean {
  return encodeRecordBody(topic, body).length <= recordBodyBytesMax;
}
