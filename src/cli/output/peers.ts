/** Other members, for people and for scripts. */

import type { OwnPledge, PeerState, PeerSummary, VouchedMember } from "../../../protocol/federation-routes.ts";
import type { GlobalName } from "../../../protocol/ids.ts";
import { formatSize } from "../../core/units.ts";
import type { Colours } from "./colour.ts";
import { jsonPledge, renderLending } from "./pledges.ts";
import { type Cell, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { countOf } from "./text.ts";

export function jsonPeer(peer: PeerSummary): Record<string, unknown> {
  return {
    member: peer.member,
    address: peer.address,
    state: peer.state,
    latency_ms: peer.latencyMs === null ? null : roundedMs(peer.latencyMs),
    trust: peer.underRoot ? "root" : peer.introducer === null ? "direct" : "introduced",
    introducer: peer.introducer,
    added: new Date(peer.addedMs).toISOString(),
    shares: peer.shares,
    pledge: jsonPledge(peer),
    nodes: jsonNodes(peer),
  };
}

/** In the same list, for scripts that look for one member: it has an address and nothing else that could be told. */
export function jsonVouched({ member, address, introducers }: VouchedMember): Record<string, unknown> {
  return { member, address, state: "unknown", trust: "none", introducer: introducers[0], introducers };
}

const statesOfContract = { alive: "alive", suspect: "suspect", dead: "dead", left: "dead", unknown: "suspect" } as const satisfies Record<
  PeerState,
  string
>;

/** As `status --json` shows it: part of the command-line contract. */
export function jsonPeerOfStatus(peer: PeerSummary): Record<string, unknown> {
  const { member, address, state, latencyMs } = peer;
  return {
    member,
    address,
    state: statesOfContract[state],
    latency_ms: latencyMs === null ? null : roundedMs(latencyMs),
    pledge: jsonPledge(peer),
    nodes: jsonNodes(peer),
  };
}

function jsonNodes({ nodes }: PeerSummary): Record<string, unknown>[] {
  return nodes.map(({ name, state, capacityBytes, freeBytes }) => ({
    id: name,
    state,
    total_capacity: capacityBytes,
    used_capacity: Math.max(0, capacityBytes - freeBytes),
  }));
}

function roundedMs(ms: number): number {
  return Math.round(ms * 100) / 100;
}

const paintOf: Readonly<Record<PeerState, "good" | "warn" | "bad" | "dim">> = {
  alive: "good",
  suspect: "warn",
  dead: "bad",
  left: "dim",
  unknown: "dim",
};

function stateCell(state: PeerState, colours: Colours): Cell {
  return { text: state, paint: colours[paintOf[state]] };
}

export interface KnownMembers {
  readonly peers: readonly PeerSummary[];
  readonly vouched: readonly VouchedMember[];
}

export function renderPeers(known: KnownMembers, terminal: Terminal): string {
  if (known.peers.length === 0) return "no peers yet; ask another member for a code, and use it: collective federation peer add CODE";
  return renderPeerTable(known, terminal);
}

export function renderPeerTable({ peers, vouched }: KnownMembers, { columns: width, colours, unicode }: Terminal): string {
  return renderTable({
    columns: [
      { header: "MEMBER", flexible: true },
      { header: "STATE" },
      { header: "LATENCY", align: "right" },
      { header: "NODES", align: "right" },
      { header: "CAPACITY", align: "right" },
      { header: "TRUST", flexible: true },
      { header: "ADDRESS" },
    ],
    rows: [
      ...peers.map((peer) => [
        peer.member,
        stateCell(peer.state, colours),
        peer.latencyMs === null ? "-" : `${peer.latencyMs.toFixed(1)} ms`,
        `${peer.nodes.filter(({ state }) => state === "alive").length} of ${peer.nodes.length}`,
        formatSize(peer.nodes.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0)),
        trustText(peer),
        peer.address,
      ]),
      ...vouched.map(({ member, address, introducers }) => [
        ...[member, { text: "-", paint: colours.dim }, "-", "-", "-"],
        `known through ${introducers.join(", ")}, not trusted`,
        address ?? "-",
      ]),
    ],
    width,
    colours,
    unicode,
  });
}

function trustText({ introducer, underRoot }: PeerSummary): string {
  if (underRoot) return "under the federation root";
  return introducer === null ? "by a code" : `introduced by ${introducer}`;
}

export interface FederationPage extends KnownMembers {
  readonly member: GlobalName;
  readonly pledge: OwnPledge;
}

export function renderFederation({ member, peers, vouched, pledge }: FederationPage, terminal: Terminal): string {
  const alive = peers.filter(({ state }) => state === "alive").length;
  const sharing = peers.filter(({ shares }) => shares).length;
  const summary = `${terminal.colours.bold(member)}  ${alive} of ${countOf(peers.length, "other member")} alive, ${sharing} share something with you`;
  const lending = peers.length === 0 ? [] : [renderLending({ member, peers, pledge }, terminal)];
  return [summary, renderPeers({ peers, vouched }, terminal), ...lending].join("\n\n");
}
