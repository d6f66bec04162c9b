/** The member's nodes, for those to whom they are shown. */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { NodeSummary } from "../../protocol/schema.ts";
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
