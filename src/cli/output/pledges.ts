/** What members lend each other, for people and for scripts. */
import type { OwnPledge, PeerSummary } from "../../../protocol/federation-routes.ts";
import type { GlobalName } from "../../../protocol/ids.ts";
import { formatSize } from "../../core/units.ts";
import { type Cell, renderFields, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export function jsonPledge({ pledge }: PeerSummary): Record<string, number> | null {
  if (!pledge) return null;
  const { pledgedBytes, givenBytes, takenBytes, givenHereBytes, takenHereBytes } = pledge;
  return { pledged: pledgedBytes, given: givenBytes, taken: takenBytes, given_to_us: givenHereBytes, taken_from_us: takenHereBytes };
}

export function jsonOwnPledge({
  pledgedBytes,
  givenBytes,
  takenBytes,
  shareBytes,
  capacityBytes,
  giveToGet,
}: OwnPledge): Record<string, number> {
  return {
    pledged: pledgedBytes,
    given: givenBytes,
    taken: takenBytes,
    share: shareBytes,
    capacity: capacityBytes,
    give_to_get: giveToGet,
  };
}

/** What a member lends and may borrow, on a line each. */
export function renderOwnPledge(pledge: OwnPledge, { colours }: Terminal): string {
  const { pledgedBytes, givenBytes, takenBytes, shareBytes, capacityBytes, giveToGet } = pledge;
  const behind: readonly [string, Cell][] =
    pledgedBytes > capacityBytes
      ? [["", { text: `more than the ${formatSize(capacityBytes)} of the own nodes, and counts as that`, paint: colours.warn }]]
      : [];
  return renderFields({
    fields: [
      ["pledged", pledgedBytes === 0 ? "nothing" : formatSize(pledgedBytes)],
      ...behind,
      ["given", `${formatSize(givenBytes)}, used by other members`],
      [
        "taken",
        `${formatSize(takenBytes)} at other members, of ${formatSize(shareBytes)} that may be (${giveToGet} for each byte pledged)`,
      ],
    ],
    colours,
  });
}

export interface Lending {
  readonly member: GlobalName;
  readonly peers: readonly PeerSummary[];
  readonly pledge: OwnPledge;
}

/** Who gives how much to the others, and has how much there. */
export function renderLending({ member, peers, pledge }: Lending, { columns: width, colours, unicode }: Terminal): string {
  return renderTable({
    columns: [
      { header: "SPACE FOR OTHERS", flexible: true },
      { header: "PLEDGED", align: "right" },
      { header: "GIVEN", align: "right" },
      { header: "TO US", align: "right" },
      { header: "TAKEN", align: "right" },
      { header: "FROM US", align: "right" },
    ],
    rows: [
      [
        { text: member, paint: colours.bold },
        formatSize(pledge.pledgedBytes),
        formatSize(pledge.givenBytes),
        "-",
        formatSize(pledge.takenBytes),
        "-",
      ],
      ...peers.map((peer) => [peer.member, ...lendingCells(peer)]),
    ],
    width,
    colours,
    unicode,
  });
}

function lendingCells({ pledge }: PeerSummary): string[] {
  if (!pledge) return ["-", "-", "-", "-", "-"];
  const { pledgedBytes, givenBytes, givenHereBytes, takenBytes, takenHereBytes } = pledge;
  return [pledgedBytes, givenBytes, givenHereBytes, takenBytes, takenHereBytes].map((bytes) => formatSize(bytes));
}
