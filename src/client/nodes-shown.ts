/** The nodes that a store's copies may go to, and how much more fits on them, for those to whom that is shown. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { Elsewhere, ListedStore, NodeSummary } from "../../protocol/schema.ts";
import { ownNodes } from "../cluster/candidates.ts";
import { type UsableSpace, usableSpace } from "../cluster/usable.ts";
import type { Remote } from "./remote.ts";

export interface NodesShown {
  /** The member's own. */
  readonly nodes: readonly NodeSummary[];
  /** What other members lend it. */
  readonly elsewhere: Elsewhere;
}

/** Undefined for people of other sites, who see files and no machines. */
export async function nodesShown(remote: Remote, signal?: AbortSignal): Promise<NodesShown | undefined> {
  try {
    return await remote.control.call(routes.status, {}, { signal });
  } catch (error) {
    if (error instanceof CollectiveError && error.code === "permission_denied") return undefined;
    throw error;
  }
}

/** Undefined for whom the nodes, or how much of the quota is used, is not to know. */
export function usableShown(
  { policy, logicalBytes }: ListedStore,
  member: GlobalName,
  shown: NodesShown | undefined,
): UsableSpace | undefined {
  if (shown === undefined || (policy.quotaBytes !== null && logicalBytes === null)) return undefined;
  const { nodes, limits } = policy.encrypt ? shown.elsewhere : { nodes: [], limits: [] };
  const lent = nodes.filter(({ memberFreeBytes }) => memberFreeBytes > 0).map((node) => ({ ...node, site: siteOf(node.name) }));
  return usableSpace({
    store: { policy, logicalBytes: logicalBytes ?? 0 },
    home: member,
    nodes: [...ownNodes(member, shown.nodes), ...lent],
    limits,
  });
}
