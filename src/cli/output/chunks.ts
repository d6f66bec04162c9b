/** The chunks of a file for people: how they are doing in two lines, and the first of them in a table. */
import { type GlobalName, localNameOf, type Site, siteOf } from "../../../protocol/ids.ts";
import type { NodeState } from "../../../protocol/schema.ts";
import type { PlacedChunk } from "../../client/layout.ts";
import { formatSize } from "../../core/units.ts";
import type { Colours } from "./colour.ts";
import { type Cell, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { countOf, formatCount } from "./text.ts";

interface ChunksOnNodes {
  readonly chunks: readonly PlacedChunk[];
  readonly nodes: readonly { readonly name: GlobalName; readonly state: NodeState }[];
}

const chunksShownMax = 20;
const idCharactersShown = 16;

/** A copy counts while it is stored on a node that is not dead. */
export function countAlive({ chunks, nodes }: ChunksOnNodes): readonly number[] {
  const dead = new Set(nodes.filter((node) => node.state === "dead").map((node) => node.name));
  return chunks.map(({ copies }) => copies.filter((copy) => copy.state === "stored" && !dead.has(copy.node)).length);
}

export function chunkFields({ replicas, ...placed }: ChunksOnNodes & { readonly replicas: number }, colours: Colours): [string, Cell][] {
  const { chunks } = placed;
  const distinct = new Map(chunks.map((chunk) => [chunk.id, chunk.storedBytes]));
  const storedBytes = [...distinct.values()].reduce((sum, bytes) => sum + bytes, 0);
  const alive = countAlive(placed);
  const expected = chunks.length * replicas;
  // A copy too many of one chunk does not stand in for the lack of another.
  const counted = alive.reduce((sum, copies) => sum + Math.min(copies, replicas), 0);
  const lost = alive.filter((copies) => copies === 0).length;
  const paint = lost > 0 ? colours.bad : counted < expected ? colours.warn : colours.good;
  const text = `${formatCount(counted)} of ${formatCount(expected)} alive${lost > 0 ? `, ${countOf(lost, "chunk")} without any` : ""}`;
  return [
    ["chunks", chunks.length === 0 ? "none" : `${formatCount(chunks.length)}, ${formatSize(storedBytes)} stored in each copy`],
    ...(chunks.length === 0 ? [] : [["copies", { text, paint }] satisfies [string, Cell]]),
  ];
}

/** The first ones, and a line about the rest. */
export function chunkTable({ chunks, nodes, home }: ChunksOnNodes & { readonly home: Site }, terminal: Terminal): string {
  const { colours, unicode } = terminal;
  const stateOf = new Map(nodes.map((node) => [node.name, node.state]));
  const ellipsis = unicode ? "…" : "~";
  const copyText = ({ node, state }: PlacedChunk["copies"][number]): string => {
    const remarks = [...(state === "stored" ? [] : [state]), ...(stateOf.get(node) === "dead" ? ["dead"] : [])];
    return `${siteOf(node) === home ? localNameOf(node) : node}${remarks.length === 0 ? "" : ` (${remarks.join(", ")})`}`;
  };
  const alive = countAlive({ chunks, nodes });
  const table = renderTable({
    columns: [
      { header: "CHUNK" },
      { header: "SIZE", align: "right" },
      { header: "STORED", align: "right" },
      { header: "CODEC" },
      { header: "COPIES" },
    ],
    rows: chunks
      .slice(0, chunksShownMax)
      .map((chunk, index) => [
        `${chunk.id.slice(0, idCharactersShown)}${ellipsis}`,
        formatSize(chunk.plainBytes),
        formatSize(chunk.storedBytes),
        chunk.codec,
        { text: chunk.copies.map(copyText).join(", ") || "none", paint: alive[index] === 0 ? colours.bad : (text) => text },
      ]),
    width: terminal.columns,
    colours,
    unicode,
  });
  const more = chunks.length - chunksShownMax;
  return more > 0 ? `${table}\n${colours.dim(`${unicode ? "…" : "..."} and ${formatCount(more)} more (--json shows all)`)}` : table;
}
