import { type GlobalName, localNameOf } from "../../../protocol/ids.ts";
import { routes } from "../../../protocol/routes.ts";
import type { ListedStore, NodeSummary } from "../../../protocol/schema.ts";
import { type NodesShown, nodesShown, usableShown } from "../../client/nodes-shown.ts";
import { formatSize } from "../../core/units.ts";
import { type Command, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import { capacityCell, nodeStateCell } from "../output/health.ts";
import { printJson } from "../output/json.ts";
import { redundancyText, textOr } from "../output/store-text.ts";
import { renderTable } from "../output/table.ts";
import type { Terminal } from "../output/terminal.ts";
import { openSession } from "../session.ts";

const command: Command = {
  name: "df",
  description: "how full the nodes are, what each datastore takes, and how much more fits",
  flags: [jsonFlag],
  example: "collective df",
  run: async ({ io, on }) => {
    const { remote, member } = await openSession(io);
    const [shown, { stores }] = await Promise.all([
      nodesShown(remote, io.signal),
      remote.control.call(routes.listStores, {}, { signal: io.signal }),
    ]);
    const space = spaceOf(member, shown, stores);
    if (on("json")) printJson(jsonOf(space), io.stdout);
    else printSpace(io, space);
  },
};
export default command;

interface StoreSpace {
  readonly store: ListedStore;
  /** More content, before compression, that fits with all the copies the store asks for. Null for whom it is not to know. */
  readonly availableBytes: number | null;
}

interface NodeSpace {
  readonly nodes: readonly NodeSummary[];
  readonly total: { readonly capacityBytes: number; readonly usedBytes: number; readonly freeBytes: number };
}

interface Space {
  /** Undefined for people of other sites. */
  readonly onNodes: NodeSpace | undefined;
  readonly stores: readonly StoreSpace[];
}

function spaceOf(member: GlobalName, shown: NodesShown | undefined, stores: readonly ListedStore[]): Space {
  return {
    onNodes: shown && nodeSpaceOf(shown.nodes),
    stores: stores.map((store) => ({ store, availableBytes: usableShown(store, member, shown)?.availableBytes ?? null })),
  };
}

function nodeSpaceOf(nodes: readonly NodeSummary[]): NodeSpace {
  const sum = (of: (node: NodeSummary) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  return {
    nodes: [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1)),
    total: {
      capacityBytes: sum((node) => node.capacityBytes),
      usedBytes: sum((node) => node.usedBytes),
      freeBytes: sum((node) => (node.state === "alive" ? node.freeBytes : 0)),
    },
  };
}

function jsonOf({ onNodes, stores }: Space): Record<string, unknown> {
  return {
    nodes:
      onNodes?.nodes.map((node) => ({
        id: node.name,
        state: node.state,
        capacity: node.capacityBytes,
        used: node.usedBytes,
        free: node.freeBytes,
      })) ?? null,
    total: onNodes ? { capacity: onNodes.total.capacityBytes, used: onNodes.total.usedBytes, free: onNodes.total.freeBytes } : null,
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

function printSpace({ stdout, out }: Io, { onNodes, stores }: Space): void {
  const tables = [...(onNodes ? [nodeTable(onNodes, out)] : []), ...(stores.length > 0 ? [storeTable(stores, out)] : [])];
  stdout.write(tables.length === 0 ? "nothing was shared with you yet\n" : `${tables.join("\n\n")}\n`);
}

function lookOf(out: Terminal) {
  return { width: out.columns, colours: out.colours, unicode: out.unicode };
}

function nodeTable({ nodes, total }: NodeSpace, out: Terminal): string {
  const { bold } = out.colours;
  return renderTable({
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
    ...lookOf(out),
  });
}

function storeTable(stores: readonly StoreSpace[], out: Terminal): string {
  return renderTable({
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
      textOr(store.logicalBytes, formatSize),
      textOr(store.storedBytes, formatSize),
      store.policy.quotaBytes === null ? "-" : formatSize(store.policy.quotaBytes),
      { text: textOr(availableBytes, formatSize), paint: availableBytes === 0 ? out.colours.bad : (text) => text },
    ]),
    ...lookOf(out),
  });
}
