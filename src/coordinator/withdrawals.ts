/** Tickets taken back before their time, as heartbeats carry them to the nodes. */
import { createHash } from "node:crypto";
import { withdrawalsMax } from "../../protocol/limits.ts";
import type { Withdrawal } from "../../protocol/schema.ts";
import type { MetadataStore } from "../meta/store.ts";

/**
 * What a node has to know that knows `revision`; undefined when that is all. A revision is the digest of the
 * list, so it means the same after a restart of either side.
 */
export async function withdrawalsSince(
  metadata: Pick<MetadataStore, "listWithdrawals">,
  revision: string | undefined,
): Promise<{ revision: string; list: Withdrawal[] } | undefined> {
  const list = bounded(await metadata.listWithdrawals());
  const current = createHash("sha256").update(JSON.stringify(list)).digest("base64url");
  return current === revision ? undefined : { revision: current, list };
}

/** More than a node has to bear become one that is meant for everybody: whoever still has rights gets new tickets by asking. */
function bounded(list: Withdrawal[]): Withdrawal[] {
  if (list.length <= withdrawalsMax) return list;
  return [{ holder: "*", untilMs: Math.max(...list.map(({ untilMs }) => untilMs)) }];
}
