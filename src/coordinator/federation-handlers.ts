/** Other members: gossip from their coordinators, and what people of the own site ask about them. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type VouchedMember, vouchedMembersMax } from "../../protocol/federation-routes.ts";
import type { RecordBody } from "../../protocol/gossip-records.ts";
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { parseTargetText } from "../core/config-values.ts";
import type { Introduction } from "../gossip/introductions.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { requireAdministrator, requirePersonOfSite } from "./access.ts";
import { connectPeer } from "./connecting.ts";
import { joinPeer } from "./peering.ts";
import type { CoordinatorService } from "./service.ts";
import { sharesWith } from "./shared-records.ts";

type FederationRoutes = "gossip" | "addPeer" | "connectPeer" | "removePeer" | "listPeers" | "findPeer";

export function createFederationHandlers(service: CoordinatorService): Pick<ControlHandlers, FederationRoutes> {
  const { member, metadata, peers, federation, hosted } = service;
  const recordOf = (of: GlobalName) => federation.agent.record(of, "pledge");
  const pledgeOf = (of: GlobalName, here: ReadonlyMap<Site, number>) => {
    const own = recordOf(of);
    if (!own) return null;
    const at = (record: RecordBody<"pledge"> | undefined, site: Site): number =>
      record?.hosted.find((one) => one.site === site)?.bytes ?? 0;
    const takenHereBytes = here.get(siteOf(of)) ?? 0;
    const takenBytes = peers.list().reduce((sum, peer) => sum + at(recordOf(peer.member), siteOf(of)), takenHereBytes);
    const givenBytes = own.hosted.reduce((sum, { bytes }) => sum + bytes, 0);
    return { pledgedBytes: own.pledgedBytes, givenBytes, givenHereBytes: at(own, siteOf(member)), takenBytes, takenHereBytes };
  };
  return {
    gossip: async ({ message }, { caller }) => {
      if (caller.kind !== "coordinator")
        throw new CollectiveError("permission_denied", `coordinators gossip, not the ${caller.kind} ${caller.name}`);
      const known = peers.get(caller.name);
      // It has another key since we heard of it; the certificate that says so has been verified.
      if (known && Buffer.compare(known.publicKeyRaw, caller.publicKeyRaw) !== 0) {
        await metadata.updatePeer(caller.name, { coordinatorPem: caller.certificatePem });
        await peers.refresh();
      }
      return { message: await federation.agent.receive(caller.name, message) };
    },
    addPeer: async ({ code }, { caller }) => {
      requireAdministrator(caller, member);
      const peer = await joinPeer(service, { text: code, by: caller.name });
      return { member: peer.member, address: peer.address };
    },
    connectPeer: async ({ member: wanted, address }, { caller }) => {
      requireAdministrator(caller, member);
      const place = address === undefined ? undefined : parseTargetText(address);
      return await connectPeer(service, { member: wanted, address: place, by: caller.name });
    },
    removePeer: async ({ member: gone }, { caller }) => {
      requireAdministrator(caller, member);
      await metadata.removePeer(gone, caller.name);
      await peers.refresh();
      service.log.info("peer removed", { member: gone, by: caller.name });
      return {};
    },
    listPeers: async (_, { caller }) => {
      requirePersonOfSite(caller, member);
      const states = federation.states();
      const here = hosted.reported();
      return {
        peers: peers.list().map((peer) => {
          const catalogue = federation.agent.record(peer.member, "catalogue");
          return {
            member: peer.member,
            address: peer.address,
            state: states.get(peer.member) ?? "unknown",
            introducer: peer.introducer,
            underRoot: peer.root !== null,
            addedMs: peer.addedMs,
            latencyMs: federation.latencyMs(peer.member) ?? null,
            nodes: federation.agent.record(peer.member, "nodes")?.nodes ?? [],
            shares: catalogue !== undefined && sharesWith(catalogue, caller.name),
            pledge: pledgeOf(peer.member, here),
          };
        }),
        vouched: vouchedMembers(federation.introductions()).slice(0, vouchedMembersMax),
      };
    },
    findPeer: async ({ member: wanted }, { caller }) => {
      requirePersonOfSite(caller, member);
      const peer = peers.get(wanted);
      if (peer) return { address: peer.address, authorityPem: peer.authorityPem };
      throw new CollectiveError("not_found", `${wanted} is no peer of ${member}`, { hint: "see: collective federation peer list" });
    },
  };
}

function vouchedMembers(introductions: readonly Introduction[]): VouchedMember[] {
  const byMember = Map.groupBy(introductions, ({ member }) => member);
  return [...byMember].map(([member, all]) => ({
    member,
    address: all.find(({ addresses }) => addresses.length > 0)?.addresses[0] ?? null,
    introducers: all.map(({ introducedBy }) => introducedBy),
  }));
}
