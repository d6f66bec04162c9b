/**
 * Aligned columns for people. Cells are plain text: colour is applied after widths are known, so it never
 * disturbs them. No line ends in blanks, and without a width nothing is cut.
 */
import { type Colours, noColours, type Paint } from "./colour.ts";
import { padText, printable, textWidth, truncateText } from "./text.ts";

export interface Column {
  readonly header: string;
  readonly align?: "left" | "right";
  /** May be cut with an ellipsis when the terminal is too narrow. */
  readonly flexible?: boolean;
  /** Least width of a flexible column, 8 unless told. */
  readonly widthMin?: number;
  /** Applies to every cell that has no paint of its own. */
  readonly paint?: Paint;
}

/** Numbers are shown as they are; sizes and times are formatted by the caller. */
export type Cell = string | number | { readonly text: string; readonly paint: Paint };

export interface TableOptions {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  /** Columns of the terminal; undefined is as wide as it takes. */
  readonly width?: number | undefined;
  readonly colours?: Colours;
  readonly unicode?: boolean;
  /** Blanks in front of each line. */
  readonly indent?: number;
}

const gap = "  ";
const flexibleWidthMin = 8;

/** Lines without a line break at the end. A table without rows is its header. */
export function renderTable(options: TableOptions): string {
  const { columns, rows, colours = noColours, indent = 0 } = options;
  const texts = rows.map((row) => columns.map((_, index) => cellText(row[index] ?? "")));
  const natural = columns.map((column, index) => Math.max(textWidth(column.header), ...texts.map((row) => textWidth(row[index] ?? ""))));
  const room = options.width === undefined ? undefined : options.width - indent - gap.length * (columns.length - 1);
  const widths = room === undefined ? natural : fittedWidths(columns, natural, room);
  const ellipsis = options.unicode === false ? "~" : "…";

  const line = (cells: readonly string[], paintOf: (index: number) => Paint | undefined): string => {
    const lastFilled = cells.findLastIndex((text) => text !== "");
    const parts = cells.slice(0, lastFilled + 1).map((cell, index) => {
      const column = columns[index];
      const width = widths[index] ?? 0;
      const text = truncateText(cell, width, ellipsis);
      const paint = paintOf(index) ?? ((plain: string) => plain);
      const blanks = " ".repeat(Math.max(0, width - textWidth(text)));
      if (column?.align === "right") return blanks + paint(text);
      return index === lastFilled ? paint(text) : paint(text) + blanks;
    });
    return " ".repeat(indent) + parts.join(gap);
  };

  const header = line(
    columns.map((column) => column.header),
    () => colours.dim,
  );
  const body = texts.map((row, rowIndex) =>
    line(row, (index) => {
      const cell = rows[rowIndex]?.[index];
      return typeof cell === "object" ? cell.paint : columns[index]?.paint;
    }),
  );
  return [header, ...body].join("\n");
}

function cellText(cell: Cell): string {
  return printable(typeof cell === "object" ? cell.text : String(cell));
}

/** Takes from the widest flexible column first, so that no column suffers while another is twice as wide. */
function fittedWidths(columns: readonly Column[], natural: readonly number[], room: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, width) => sum + width, 0) - room;
  while (excess > 0) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      const width = widths[index] ?? 0;
      if (column.flexible && width > (column.widthMin ?? flexibleWidthMin) && width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

export interface FieldsOptions {
  readonly fields: readonly (readonly [name: string, value: Cell])[];
  readonly colours?: Colours;
  readonly indent?: number;
}

/** One thing with its properties: names dim and aligned, values as they are. */
export function renderFields({ fields, colours = noColours, indent = 0 }: FieldsOptions): string {
  const width = Math.max(0, ...fields.map(([name]) => textWidth(name)));
  return fields
    .map(([name, value]) => {
      const text = cellText(value);
      const shown = typeof value === "object" ? value.paint(text) : text;
      return `${" ".repeat(indent)}${colours.dim(text === "" ? name : padText(name, width, "left"))}${text === "" ? "" : gap + shown}`;
    })
    .join("\n");
}
