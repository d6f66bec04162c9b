/** Tickets taken back before their time, as heartbeats carry them to the nodes. */
import { createHash } from "node:crypto";
import type { Site } from "../../protocol/ids.ts";
import { withdrawalsMax } from "../../protocol/limits.ts";
import type { IssuerWithdrawals, Withdrawal } from "../../protocol/schema.ts";
import type { MetadataStore } from "../meta/store.ts";

/**
 * What a node has to know that knows `revision`; undefined when that is all. A revision is the digest of the
 * list, so it means the same after a restart of either side.
 */
export async function withdrawalsSince(
  { metadata, site }: { readonly metadata: Pick<MetadataStore, "listWithdrawals">; readonly site: Site },
  revision: string | undefined,
): Promise<{ revision: string; lists: IssuerWithdrawals[] } | undefined> {
  const lists = [{ issuer: site, list: bounded(await metadata.listWithdrawals()) }];
  const current = createHash("sha256").update(JSON.stringify(lists)).digest("base64url");
  return current === revision ? undefined : { revision: current, lists };
}

/** More than a node has to bear become one that is meant for everybody: whoever still has rights gets new tickets by asking. */
function bounded(list: Withdrawal[]): Withdrawal[] {
  if (list.length <= withdrawalsMax) return list;
  return [{ holder: "*", untilMs: Math.max(...list.map(({ untilMs }) => untilMs)) }];
}
