/** A QR code for a terminal: two rows of modules in each line, dark on light whatever the terminal's own colours are. */
import { renderUnicodeCompact } from "uqr";
import type { Terminal } from "./terminal.ts";

const whiteOnBlack = "\u001b[97;40m";
const reset = "\u001b[0m";

/** Undefined where it could not be read: in a pipe, without Unicode, or on a screen that is too narrow. */
export function renderQr(text: string, { isTerminal, unicode, columns = 0, colours }: Terminal): string | undefined {
  if (!isTerminal || !unicode) return undefined;
  const lines = renderUnicodeCompact(text, { border: 2 }).split("\n");
  if (lines.some((line) => line.length > columns)) return undefined;
  return lines.map((line) => (colours.enabled ? `${whiteOnBlack}${line}${reset}` : line)).join("\n");
}
