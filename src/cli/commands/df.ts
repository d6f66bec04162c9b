import { type GlobalName, localNameOf } from "../../../protocol/ids.ts";
import { routes } from "../../../protocol/routes.ts";
import type { NodeSummary, Store } from "../../../protocol/schema.ts";
import { ownNodes } from "../../cluster/candidates.ts";
import { usableSpace } from "../../cluster/usable.ts";
import { formatSize } from "../../core/units.ts";
import { type Command, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import { capacityCell, nodeStateCell } from "../output/health.ts";
import { printJson } from "../output/json.ts";
import { redundancyText } from "../output/store-text.ts";
import { renderTable } from "../output/table.ts";
import { openSession } from "../session.ts";

const command: Command = {
  name: "df",
  description: "how full the nodes are, what each datastore takes, and how much more fits",
  flags: [jsonFlag],
  example: "collective df",
  run: async ({ io, on }) => {
    const { remote } = await openSession(io);
    const [{ member, nodes }, { stores }] = await Promise.all([
      remote.control.call(routes.status, {}, { signal: io.signal }),
      remote.control.call(routes.listStores, {}, { signal: io.signal }),
    ]);
    const space = spaceOf(member, nodes, stores);
    if (on("json")) printJson(jsonOf(space), io.stdout);
    else printSpace(io, space);
  },
};
export default command;

interface StoreSpace {
  readonly store: Store;
  /** More content, before compression, that fits with all the copies the store asks for. */
  readonly availableBytes: number;
}

interface Space {
  readonly nodes: readonly NodeSummary[];
  readonly total: { readonly capacityBytes: number; readonly usedBytes: number; readonly freeBytes: number };
  readonly stores: readonly StoreSpace[];
}

function spaceOf(member: GlobalName, nodes: readonly NodeSummary[], stores: readonly Store[]): Space {
  const inOrder = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const candidates = ownNodes(member, nodes);
  const sum = (of: (node: NodeSummary) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  return {
    nodes: inOrder,
    total: {
      capacityBytes: sum((node) => node.capacityBytes),
      usedBytes: sum((node) => node.usedBytes),
      freeBytes: sum((node) => (node.state === "alive" ? node.freeBytes : 0)),
    },
    stores: stores.map((store) => ({ store, availableBytes: usableSpace({ store, home: member, nodes: candidates }).availableBytes })),
  };
}

function jsonOf({ nodes, total, stores }: Space): Record<string, unknown> {
  return {
    nodes: nodes.map((node) => ({
      id: node.name,
      state: node.state,
      capacity: node.capacityBytes,
      used: node.usedBytes,
      free: node.freeBytes,
    })),
    total: { capacity: total.capacityBytes, used: total.usedBytes, free: total.freeBytes },
    stores: stores.map(({ store, availableBytes }) => ({
      name: store.name,
      redundancy: redundancyText(store.policy),
      size: store.logicalBytes,
      stored_size: store.storedBytes,
      quota: store.policy.quotaBytes,
      available: availableBytes,
    })),
  };
}

function printSpace(io: Io, { nodes, total, stores }: Space): void {
  const { out } = io;
  const look = { width: out.columns, colours: out.colours, unicode: out.unicode };
  const bold = out.colours.bold;
  const nodeTable = renderTable({
    columns: [
      { header: "NODE", flexible: true },
      { header: "STATE" },
      { header: "CAPACITY", align: "right" },
      { header: "USED", align: "right" },
      { header: "FREE", align: "right" },
      { header: "FULL" },
    ],
    rows: [
      ...nodes.map((node) => [
        localNameOf(node.name),
        nodeStateCell(node.state, out.colours),
        formatSize(node.capacityBytes),
        formatSize(node.usedBytes),
        node.state === "alive" ? formatSize(node.freeBytes) : "-",
        capacityCell({ usedBytes: node.usedBytes, totalBytes: node.capacityBytes }, out),
      ]),
      [
        { text: "all", paint: bold },
        "",
        { text: formatSize(total.capacityBytes), paint: bold },
        { text: formatSize(total.usedBytes), paint: bold },
        { text: formatSize(total.freeBytes), paint: bold },
        capacityCell({ usedBytes: total.usedBytes, totalBytes: total.capacityBytes }, out),
      ],
    ],
    ...look,
  });
  io.stdout.write(`${nodeTable}\n`);
  if (stores.length === 0) return;
  const storeTable = renderTable({
    columns: [
      { header: "STORE", flexible: true },
      { header: "REDUNDANCY" },
      { header: "SIZE", align: "right" },
      { header: "STORED", align: "right" },
      { header: "QUOTA", align: "right" },
      { header: "AVAILABLE", align: "right" },
    ],
    rows: stores.map(({ store, availableBytes }) => [
      store.name,
      redundancyText(store.policy),
      formatSize(store.logicalBytes),
      formatSize(store.storedBytes),
      store.policy.quotaBytes === null ? "-" : formatSize(store.policy.quotaBytes),
      { text: formatSize(availableBytes), paint: availableBytes === 0 ? out.colours.bad : (text) => text },
    ]),
    ...look,
  });
  io.stdout.write(`\n${storeTable}\n`);
}
