/** What this member tells the others of itself: which nodes it has, and which datastores it shares with whom. */

import { recordBodyBytesMax } from "../../protocol/gossip.ts";
import { encodeRecordBody, type RecordBody } from "../../protocol/gossip-records.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { rights as everyRight, matchesSubject, type Right, type SubjectPattern } from "../../protocol/rights.ts";
import type { NodeSummary } from "../../protocol/schema.ts";
import type { MetadataStore } from "../meta/store.ts";
import { rightsInForce } from "./held-rights.ts";

const nodesMax = 64;
const storesMax = 64;
const grantsPerStoreMax = 32;
/** Free space is told in steps of this part of the capacity: each change is news for every member. */
const freeSteps = 64;

export function nodesRecord(nodes: readonly NodeSummary[]): RecordBody<"nodes"> {
  const told = nodes.slice(0, nodesMax).map(({ name, address, state, capacityBytes, freeBytes }) => {
    const stepBytes = Math.max(1, Math.floor(capacityBytes / freeSteps));
    return { name, address, state, capacityBytes, freeBytes: Math.floor(freeBytes / stepBytes) * stepBytes };
  });
  return fitting("nodes", told, (nodesTold) => ({ nodes: nodesTold }));
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
function fitting<T extends "nodes" | "catalogue", I>(topic: T, items: readonly I[], bodyOf: (items: I[]) => RecordBody<T>): RecordBody<T> {
  for (let count = items.length; ; count = Math.floor(count / 2)) {
    const body = bodyOf(items.slice(0, count));
    if (count === 0 || encodeRecordBody(topic, body).length <= recordBodyBytesMax) return body;
  }
}
