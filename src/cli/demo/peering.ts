/** The members of a demo become a federation: a code each from the first one, who introduces them to each other. */
import { CollectiveError } from "../../../protocol/errors.ts";
import { routes } from "../../../protocol/routes.ts";
import { formatDuration } from "../../core/units.ts";
import { countOf } from "../output/text.ts";
import type { CastMember, Stage } from "./cast.ts";

const inviteValidityMs = 3_600_000;
const aliveMsMax = 30_000;
const pollIntervalMs = 50;

/** Resolves when every member sees every other one alive. */
export async function becomePeers({ io, say }: Stage, [first, ...others]: readonly CastMember[]): Promise<void> {
  if (!first) return;
  const startedMs = io.clock.monotonicMs();
  const { signal } = io;
  say(`\n${io.out.colours.bold("Becoming a federation")}`);
  for (const other of others) {
    const invite = { kind: "member" as const, grants: [], usesMax: 1, validityMs: inviteValidityMs, description: "" };
    const { code } = await first.session.remote.control.call(routes.createInvite, invite, { signal });
    await other.session.remote.control.call(routes.addPeer, { code }, { signal });
    say(`  ${other.name} is a peer of ${first.name} by one code`);
  }
  const members = [first, ...others];
  while (!(await Promise.all(members.map((member) => seesAllAlive(member, others.length, signal)))).every(Boolean)) {
    if (io.clock.monotonicMs() - startedMs > aliveMsMax)
      throw new CollectiveError("timed_out", `not all members were alive to each other within ${formatDuration(aliveMsMax)}`);
    await io.clock.sleep(pollIntervalMs, signal);
  }
  const tookText = formatDuration(io.clock.monotonicMs() - startedMs);
  const introduced = others.length > 1 ? `, ${others.length} of them introduced to each other by ${first.shortName}` : "";
  say(`  ${countOf(members.length, "member")} see each other alive after ${tookText}${introduced}`);
}

async function seesAllAlive({ session }: CastMember, count: number, signal: AbortSignal): Promise<boolean> {
  const { peers } = await session.remote.control.call(routes.listPeers, {}, { signal });
  return peers.filter(({ state }) => state === "alive").length === count;
}
