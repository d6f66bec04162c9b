/** The state of a collective on one page: health and why, nodes, other members, datastores, totals. At most 40 lines. */
import type { PeerState, PeerSummary } from "../../../protocol/federation-routes.ts";
import { localNameOf } from "../../../protocol/ids.ts";
import type { RouteOutput, routes } from "../../../protocol/routes.ts";
import type { ListedStore, NodeSummary } from "../../../protocol/schema.ts";
import { formatDuration, formatSize } from "../../core/units.ts";
import { capacityCell, healthPaint, nodeStateCell, wrongCountCell } from "./health.ts";
import { renderPeerTable } from "./peers.ts";
import { redundancyText, textOr } from "./store-text.ts";
import { renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { countOf, formatCount, printable } from "./text.ts";

export interface StatusPage {
  readonly status: RouteOutput<typeof routes.status>;
  readonly peers: readonly PeerSummary[];
  readonly stores: readonly ListedStore[];
  readonly latencyMs: number;
  readonly nowMs: number;
}

/** With headings, blank lines and lines about the rest they leave room within 40. */
const reasonsShownMax = 5;
const nodesShownMax = 10;
const peersShownMax = 6;
const storesShownMax = 6;

const badnessOf: Readonly<Record<NodeSummary["state"], number>> = { dead: 0, suspect: 1, draining: 2, alive: 3 };
const peerBadnessOf: Readonly<Record<PeerState, number>> = { dead: 0, suspect: 1, unknown: 2, left: 3, alive: 4 };

export function renderStatus(page: StatusPage, terminal: Terminal): string {
  const { status, stores } = page;
  const { colours } = terminal;
  const paint = healthPaint(status.health, colours);
  const facts = [
    `coordinator at ${status.address}`,
    `version ${status.version}`,
    `up ${formatDuration(status.uptimeMs)}`,
    `answers in ${page.latencyMs.toFixed(1)} ms`,
  ];
  const reasons = status.reasons.slice(0, reasonsShownMax).map((reason) => `  ${paint("-")} ${printable(reason)}`);
  const sections = [
    [
      `${colours.bold(status.member)}  ${paint(`${status.health}, ${status.healthScore} of 100`)}`,
      colours.dim(facts.join(", ")),
      ...reasons,
    ],
    status.nodes.length === 0 ? [] : nodeLines(page, terminal),
    page.peers.length === 0 ? [] : peerLines(page.peers, terminal),
    stores.length === 0 ? [] : storeLines(stores, terminal),
    [totalsLine(status)],
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n");
}

/** What is wrong comes first, so that it is never among those left out. */
function nodeLines({ status, nowMs }: StatusPage, terminal: Terminal): string[] {
  const { colours, unicode } = terminal;
  const nodes = [...status.nodes].sort((a, b) => badnessOf[a.state] - badnessOf[b.state] || (a.name < b.name ? -1 : 1));
  const table = renderTable({
    columns: [
      { header: "NODE", flexible: true },
      { header: "STATE" },
      { header: "FULL" },
      { header: "USED", align: "right" },
      { header: "CAPACITY", align: "right" },
      { header: "CHUNKS", align: "right" },
      { header: "SEEN", align: "right" },
      { header: "ADDRESS" },
    ],
    rows: nodes
      .slice(0, nodesShownMax)
      .map((node) => [
        localNameOf(node.name),
        nodeStateCell(node.state, colours),
        capacityCell({ usedBytes: node.usedBytes, totalBytes: node.capacityBytes }, terminal),
        formatSize(node.usedBytes),
        formatSize(node.capacityBytes),
        formatCount(node.chunkCount),
        seenText(nowMs - node.lastSeenMs),
        node.address,
      ]),
    width: terminal.columns,
    colours,
    unicode,
  });
  return [table, ...restLine(nodes.length - nodesShownMax, terminal)];
}

const freshMs = 2_000;

/** Heartbeats come every second; clocks of two machines differ. */
function seenText(agoMs: number): string {
  return agoMs < freshMs ? "now" : `${formatDuration(Math.floor(agoMs / 1000) * 1000)} ago`;
}

function peerLines(all: readonly PeerSummary[], terminal: Terminal): string[] {
  const peers = [...all].sort((a, b) => peerBadnessOf[a.state] - peerBadnessOf[b.state] || (a.member < b.member ? -1 : 1));
  return [
    renderPeerTable({ peers: peers.slice(0, peersShownMax), vouched: [] }, terminal),
    ...restLine(peers.length - peersShownMax, terminal),
  ];
}

function storeLines(stores: readonly ListedStore[], terminal: Terminal): string[] {
  const { colours, unicode } = terminal;
  const table = renderTable({
    columns: [
      { header: "STORE", flexible: true },
      { header: "REDUNDANCY" },
      { header: "FILES", align: "right" },
      { header: "SIZE", align: "right" },
      { header: "QUOTA", align: "right" },
      { header: "DEGRADED", align: "right" },
    ],
    rows: stores
      .slice(0, storesShownMax)
      .map((store) => [
        store.name,
        redundancyText(store.policy),
        textOr(store.files, formatCount),
        textOr(store.logicalBytes, formatSize),
        store.policy.quotaBytes === null ? "-" : formatSize(store.policy.quotaBytes),
        store.degradedChunks === null ? "-" : wrongCountCell(store.degradedChunks, colours.warn),
      ]),
    width: terminal.columns,
    colours,
    unicode,
  });
  return [table, ...restLine(stores.length - storesShownMax, terminal)];
}

function restLine(count: number, { colours, unicode }: Terminal): string[] {
  return count > 0 ? [colours.dim(`${unicode ? "…" : "..."} and ${formatCount(count)} more`)] : [];
}

function totalsLine({ nodes, totals }: StatusPage["status"]): string {
  const usedBytes = nodes.reduce((sum, node) => sum + node.usedBytes, 0);
  const capacityBytes = nodes.reduce((sum, node) => sum + node.capacityBytes, 0);
  const alive = nodes.filter((node) => node.state === "alive").length;
  return [
    `${alive} of ${countOf(nodes.length, "node")} alive`,
    `${formatSize(usedBytes)} of ${formatSize(capacityBytes)} used`,
    countOf(totals.files, "file"),
    `${countOf(totals.chunks, "chunk")}, ${formatCount(totals.degradedChunks)} degraded, ${formatCount(totals.lostChunks)} lost`,
  ].join("; ");
}
