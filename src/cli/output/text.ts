/**
 * Text in columns of a terminal. Widths are of what is seen: wide characters count two, combining ones
 * none, escape sequences none.
 */

/** Columns that a text takes. */
export function textWidth(text: string): number {
  return Bun.stringWidth(text);
}

/** Names come from other people: nothing in them may move the cursor, change colours, or reverse the line. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, "?").toWellFormed();
}

const asciiPattern = /^[\x20-\x7e]*$/;
let segmenter: Intl.Segmenter | undefined;

/** At most `width` columns, the end replaced by an ellipsis where something had to go. No escape sequences in `text`. */
export function truncateText(text: string, width: number, ellipsis = "…"): string {
  if (width <= 0) return "";
  if (textWidth(text) <= width) return text;
  const room = width - textWidth(ellipsis);
  if (room < 0) return "";
  if (asciiPattern.test(text)) return text.slice(0, room) + ellipsis;
  segmenter ??= new Intl.Segmenter();
  let kept = "";
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    const next = textWidth(segment);
    if (used + next > room) break;
    kept += segment;
    used += next;
  }
  return kept + ellipsis;
}

export function padText(text: string, width: number, align: "left" | "right"): string {
  const padding = " ".repeat(Math.max(0, width - textWidth(text)));
  return align === "right" ? padding + text : text + padding;
}

/** `12,345` */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** `1 file`, `2,048 files`; `many` is needed where an s does not do. */
export function countOf(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}
