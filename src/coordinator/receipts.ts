/** What nodes have signed for, own ones and those of other members alike. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { uploadIdleMsMax } from "../../protocol/limits.ts";
import { receiptOwnerOf } from "../../protocol/ticket.ts";
import type { ConfirmedCopies } from "../meta/store.ts";
import { openReceipt } from "../pki/ticket.ts";
import type { CoordinatorService } from "./service.ts";

/**
 * Receipts that do not hold are an error, not ignored: the client would believe its chunks safe. Those of a
 * node that was revoked meanwhile count for nothing; the commit then sees whether other copies are enough.
 */
export function confirmedBy(
  service: CoordinatorService,
  receipts: readonly { readonly node: GlobalName; readonly receipt: Uint8Array }[],
): ConfirmedCopies[] {
  const counting = receipts.filter(({ node }) => !service.allNodes.isRevoked(node));
  return counting.map(({ node, receipt }) => {
    const known = service.allNodes.get(node);
    if (!known) throw new CollectiveError("not_found", `there is no node ${node}`);
    const opened = openReceipt(receipt, known.publicKeyRaw);
    if (opened.node !== node) throw new CollectiveError("not_authenticated", `a receipt of ${opened.node} was presented as one of ${node}`);
    const owner = receiptOwnerOf(opened);
    if (owner !== siteOf(service.member))
      throw new CollectiveError(
        "not_authenticated",
        `a receipt for chunks of ${owner} was presented for those of ${siteOf(service.member)}`,
      );
    if (opened.storedAtMs < service.clock.wallMs() - uploadIdleMsMax) {
      throw new CollectiveError("conflict", "the upload took too long to be confirmed", {
        hint: "run the command again; what is stored already is not sent twice",
      });
    }
    return { node, chunks: opened.chunks };
  });
}
