/** The audit trail of a member, page by page. */
import { auditPageEntriesMax } from "../../protocol/limits.ts";
import { type RouteOutput, routes } from "../../protocol/routes.ts";
import type { Remote } from "./remote.ts";

export type AuditEntry = RouteOutput<typeof routes.listAudit>["entries"][number];

/** The newest ones, in the order in which they happened. */
export async function auditTrail(
  remote: Remote,
  { limit, signal }: { readonly limit: number; readonly signal?: AbortSignal },
): Promise<AuditEntry[]> {
  const newestFirst: AuditEntry[] = [];
  while (newestFirst.length < limit) {
    const page = { beforeSeq: newestFirst.at(-1)?.seq, limit: Math.min(auditPageEntriesMax, limit - newestFirst.length) };
    const { entries } = await remote.control.call(routes.listAudit, page, { signal });
    newestFirst.push(...entries);
    if (entries.length < page.limit) break;
  }
  return newestFirst.reverse();
}
