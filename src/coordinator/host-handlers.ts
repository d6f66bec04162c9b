/**
 * Copies of other members' chunks on the own nodes: the one place where somebody else's bytes are let in. Their coordinators
 * ask, and what they get is a ticket by this one, for their chunks alone.
 *
 * Invariant: no ticket to write is given beyond the limits, by what the own nodes report and what all others have signed; what
 * the asker says of itself otherwise counts for nothing.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { guestsPerNodeMax } from "../../protocol/limits.ts";
import { barrierTo, type Lending, refusalFor, shareOf } from "../cluster/pledges.ts";
import { formatSize } from "../core/units.ts";
import type { Caller, ControlHandlers } from "../net/control-app.ts";
import { requireAdministrator, requirePersonOfSite } from "./access.ts";
import type { CoordinatorService } from "./service.ts";

type HostRoutes = "host" | "showPledge" | "setPledge";

/** Chunks of one member that were promised room and have not come. */
const outstandingMax = 50_000;

export function createHostHandlers(service: CoordinatorService): Pick<ControlHandlers, HostRoutes> {
  const { member, metadata, hosting, hosted, giveToGet } = service;
  const ownPledge = async () => {
    const { pledgedBytes, capacityBytes, usedBytes } = await hosting.own();
    return {
      ...{ pledgedBytes, capacityBytes, giveToGet },
      givenBytes: sumOf(hosted.reported().values()),
      takenBytes: usedBytes,
      shareBytes: shareOf({ pledgedBytes, capacityBytes }, giveToGet),
    };
  };
  return {
    host: async ({ holder, nodes }, { caller }) => {
      requirePeer(service, caller);
      if (!hosted.isKnown())
        throw new CollectiveError("unavailable", `${member} has just started and does not know yet what its nodes keep`);
      const owner = siteOf(caller.name);
      const pledgedBytes = await metadata.pledge();
      // Nothing is awaited from here on: what is promised below counts for whoever comes next.
      const granted = [];
      const refused = [];
      for (const wanted of nodes) {
        const neededBytes = sumOf(wanted.chunks.map(({ storedBytes }) => storedBytes));
        try {
          const lending = lendingTo(service, caller.name, pledgedBytes);
          const barrier = barrierTo(neededBytes, lending);
          if (barrier) throw refusalFor(barrier);
          const node = nodeFor(service, { name: wanted.node, owner, neededBytes });
          const { nodes: issued } = service.tickets.issue({
            ...{ holder, owner, operation: "put" as const, bytesMax: neededBytes },
            chunks: wanted.chunks.map(({ id }) => ({ id, nodes: [wanted.node] })),
          });
          hosted.promise({ owner, node: wanted.node }, wanted.chunks);
          service.freeSpace.noteOffer([wanted.node], neededBytes);
          granted.push(...issued.map((one) => ({ ...one, publicKeyRaw: node.publicKeyRaw })));
        } catch (thrown) {
          const { code, message, hint } = toCollectiveError(thrown);
          refused.push({ node: wanted.node, code, message, hint });
          service.log.debug("keeps no copies for another member", { owner: caller.name, node: wanted.node, code, reason: message });
        }
      }
      return { nodes: granted, refused };
    },
    showPledge: async (_, { caller }) => {
      requirePersonOfSite(caller, member);
      return await ownPledge();
    },
    setPledge: async ({ pledgedBytes }, { caller }) => {
      requireAdministrator(caller, member);
      await metadata.setPledge(pledgedBytes, caller.name);
      service.log.info("pledge set", { bytes: pledgedBytes, by: caller.name });
      return await ownPledge();
    },
  };
}

/** Throws the reason when it takes no so many bytes of that owner. */
function nodeFor(service: CoordinatorService, { name, owner, neededBytes }: { name: GlobalName; owner: Site; neededBytes: number }) {
  const { member, directory, hosted, freeSpace } = service;
  const node = directory.get(name);
  if (!node) throw new CollectiveError("not_found", `${member} has no node ${name}`);
  if (node.state !== "alive") throw new CollectiveError("unavailable", `${name} is ${node.state}`);
  if (node.guests === undefined) throw new CollectiveError("unsupported", `${name} keeps nothing for other members`);
  if (node.guests.length >= guestsPerNodeMax && !node.guests.some(({ site }) => site === owner))
    throw new CollectiveError("quota_exceeded", `${name} keeps chunks of ${guestsPerNodeMax} members already`);
  if (hosted.outstanding(owner) > outstandingMax)
    throw new CollectiveError("rate_limited", `${member} waits for more than ${outstandingMax} chunks of ${owner} that it has let in`);
  const freeBytes = freeSpace.list().find((one) => one.name === name)?.freeBytes ?? 0;
  if (freeBytes < neededBytes) throw new CollectiveError("no_space", `${name} has no room for ${formatSize(neededBytes)}`);
  return node;
}

/** Throws `permission_denied` for anybody but the coordinator of a trusted member. */
function requirePeer({ peers, member }: CoordinatorService, caller: Caller): void {
  if (caller.kind === "coordinator" && peers.get(caller.name)) return;
  throw new CollectiveError(
    "permission_denied",
    `only coordinators of the peers of ${member} may ask this, not the ${caller.kind} ${caller.name}`,
  );
}

/** What it has here is measured here; what it has at others is what those have signed, and so is what it pledged. */
function lendingTo({ member, hosted, peers, federation, giveToGet }: CoordinatorService, owner: GlobalName, pledgedBytes: number): Lending {
  const here = hosted.bySite();
  const { agent } = federation;
  const elsewhereBytes = sumOf(
    peers
      .list()
      .filter((peer) => peer.member !== owner)
      .flatMap((peer) => agent.record(peer.member, "pledge")?.hosted ?? [])
      .map(({ site, bytes }) => (site === siteOf(owner) ? bytes : 0)),
  );
  return {
    host: { member, pledgedBytes, hostedBytes: sumOf(here.values()) },
    owner: {
      member: owner,
      pledgedBytes: agent.record(owner, "pledge")?.pledgedBytes ?? 0,
      capacityBytes: sumOf(agent.record(owner, "nodes")?.nodes.map((node) => node.capacityBytes) ?? []),
      usedBytes: (here.get(siteOf(owner)) ?? 0) + elsewhereBytes,
    },
    giveToGet,
  };
}

function sumOf(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
