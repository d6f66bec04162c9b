/** The member's nodes, and how much more fits on them, for those to whom that is shown. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { ListedStore, NodeSummary } from "../../protocol/schema.ts";
import { ownNodes } from "../cluster/candidates.ts";
import { type UsableSpace, usableSpace } from "../cluster/usable.ts";
import type { Remote } from "./remote.ts";

/** Undefined for people of other sites, who see files and no machines. */
export async function nodesShown(remote: Remote, signal?: AbortSignal): Promise<readonly NodeSummary[] | undefined> {
  try {
    return (await remote.control.call(routes.status, {}, { signal })).nodes;
  } catch (error) {
    if (error instanceof CollectiveError && error.code === "permission_denied") return undefined;
    throw error;
  }
}

/** Undefined for whom the nodes, or how much of the quota is used, is not to know. */
export function usableShown(
  { policy, logicalBytes }: ListedStore,
  member: GlobalName,
  nodes: readonly NodeSummary[] | undefined,
): UsableSpace | undefined {
  if (nodes === undefined || (policy.quotaBytes !== null && logicalBytes === null)) return undefined;
  return usableSpace({ store: { policy, logicalBytes: logicalBytes ?? 0 }, home: member, nodes: ownNodes(member, nodes) });
}
