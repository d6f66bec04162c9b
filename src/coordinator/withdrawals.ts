/** Tickets taken back before their time, as heartbeats carry them to the nodes. */
import { createHash } from "node:crypto";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { withdrawalsMax } from "../../protocol/limits.ts";
import type { IssuerWithdrawals, Withdrawal } from "../../protocol/schema.ts";
import type { MetadataStore } from "../meta/store.ts";
import type { Federation } from "./federation.ts";
import type { Peers } from "./peers.ts";
import type { ToldRevocations } from "./told-revocations.ts";

export interface WithdrawalSource {
  readonly metadata: Pick<MetadataStore, "listWithdrawals">;
  readonly member: GlobalName;
  readonly peers: Pick<Peers, "list">;
  readonly federation: { readonly agent: Pick<Federation["agent"], "record"> };
  readonly toldRevocations: Pick<ToldRevocations, "withdrawals">;
}

/**
 * What a node has to know that knows `revision`; undefined when that is all: the own list, and those of the peers, who sign
 * tickets for what is theirs. A revision is the digest of the lists, so it means the same after a restart of either side.
 */
export async function withdrawalsSince(
  { metadata, member, peers, federation, toldRevocations }: WithdrawalSource,
  revision: string | undefined,
): Promise<{ revision: string; lists: IssuerWithdrawals[] } | undefined> {
  const told = peers.list().flatMap((peer) => {
    const list = federation.agent.record(peer.member, "withdrawals")?.list ?? [];
    return list.length === 0 ? [] : [{ issuer: siteOf(peer.member), list }];
  });
  const own = [...(await metadata.listWithdrawals()), ...toldRevocations.withdrawals()];
  const lists = [{ issuer: siteOf(member), list: bounded(own) }, ...told];
  const current = createHash("sha256").update(JSON.stringify(lists)).digest("base64url");
  return current === revision ? undefined : { revision: current, lists };
}

/** More than a node has to bear become one that is meant for everybody: whoever still has rights gets new tickets by asking. */
function bounded(list: Withdrawal[]): Withdrawal[] {
  if (list.length <= withdrawalsMax) return list;
  return [{ holder: "*", untilMs: Math.max(...list.map(({ untilMs }) => untilMs)) }];
}
