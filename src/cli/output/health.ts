/** States in the colours that they mean. */
import type { NodeState } from "../../../protocol/schema.ts";
import { formatPercent, renderBar } from "./bar.ts";
import type { Colours, Paint } from "./colour.ts";
import type { Cell } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatCount } from "./text.ts";

export function nodeStatePaint(state: NodeState, colours: Colours): Paint {
  if (state === "alive") return colours.good;
  return state === "dead" ? colours.bad : colours.warn;
}

export function nodeStateCell(state: NodeState, colours: Colours): Cell {
  return { text: state, paint: nodeStatePaint(state, colours) };
}

export function healthPaint(health: "healthy" | "degraded" | "unhealthy", colours: Colours): Paint {
  if (health === "healthy") return colours.good;
  return health === "degraded" ? colours.warn : colours.bad;
}

/** As `renderCapacityBar`, for a table. */
export function capacityCell(
  { usedBytes, totalBytes }: { readonly usedBytes: number; readonly totalBytes: number },
  terminal: Terminal,
): Cell {
  const fraction = usedBytes / totalBytes;
  const { colours } = terminal;
  return {
    text: `${renderBar({ fraction, width: 16, unicode: terminal.unicode })} ${formatPercent(fraction)}`,
    paint: fraction >= 0.95 ? colours.bad : fraction >= 0.8 ? colours.warn : colours.good,
  };
}

/** What is not as it should be stands out; what is, does not. */
export function wrongCountCell(count: number, paint: Paint): Cell {
  return { text: formatCount(count), paint: count > 0 ? paint : (text) => text };
}
