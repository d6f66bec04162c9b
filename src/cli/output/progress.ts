/**
 * One line that says how far a transfer has come, redrawn at most ten times a second and wiped at the end.
 * Without a terminal it is never written, and work that ends within the first fifth of a second shows none.
 */
import type { Clock } from "../../core/clock.ts";
import { formatDuration, formatRate, formatSize } from "../../core/units.ts";
import { formatPercent, renderBar } from "./bar.ts";
import { type Colours, noColours } from "./colour.ts";
import type { OutputStream } from "./terminal.ts";
import { printable, textWidth, truncateText } from "./text.ts";

export interface ProgressTotal {
  readonly bytes?: number | undefined;
  readonly files?: number | undefined;
}

export interface ProgressOptions {
  /** stderr: stdout belongs to results. */
  readonly stream: OutputStream;
  readonly clock: Clock;
  readonly label: string;
  readonly total?: ProgressTotal | undefined;
  /** False when something else speaks against it, like `--json` or a dumb terminal. */
  readonly enabled?: boolean;
  readonly unicode?: boolean;
  readonly colours?: Colours;
}

export interface Progress extends Disposable {
  add(done: ProgressTotal): void;
  /** The total as far as it is known by now. */
  setTotal(total: ProgressTotal): void;
  setLabel(label: string): void;
  /** Writes a line of text above the progress line; on a stream that is no terminal, just the line. */
  note(line: string): void;
  /** Wipes the line and stops. May be called again. */
  finish(): void;
}

const drawIntervalMs = 100;
const firstDrawAfterMs = 200;
const rateWindowMs = 3_000;
const wipe = "\r\x1b[2K";

export function createProgress(options: ProgressOptions): Progress {
  const { stream, clock } = options;
  const draws = stream.isTTY === true && options.enabled !== false;
  const startedMs = clock.monotonicMs();
  const rate = createSmoothedRate(startedMs);
  const done = { bytes: 0, files: 0 };
  let total: ProgressTotal = options.total ?? {};
  let label = printable(options.label);
  let drawnMs = startedMs + firstDrawAfterMs - drawIntervalMs;
  let isDrawn = false;
  let isFinished = false;

  const wipeLine = (): void => {
    if (isDrawn) stream.write(wipe);
    isDrawn = false;
  };
  const draw = (): void => {
    const nowMs = clock.monotonicMs();
    if (isFinished || !draws || nowMs - drawnMs < drawIntervalMs) return;
    drawnMs = nowMs;
    const measured = total.bytes === undefined && total.files !== undefined ? done.files : done.bytes;
    const perSecond = rate.sample(measured, nowMs);
    const line = renderProgress({
      ...options,
      label,
      done,
      total,
      perSecond,
      elapsedMs: nowMs - startedMs,
      width: (stream.columns || 80) - 1,
    });
    stream.write(wipe + line);
    isDrawn = true;
  };
  const timer = draws ? clock.every(drawIntervalMs, draw) : undefined;
  const finish = (): void => {
    if (isFinished) return;
    isFinished = true;
    timer?.[Symbol.dispose]();
    wipeLine();
  };
  return {
    add: ({ bytes = 0, files = 0 }) => {
      done.bytes += bytes;
      done.files += files;
      draw();
    },
    setTotal: (next) => {
      total = next;
    },
    setLabel: (next) => {
      label = printable(next);
    },
    note: (line) => {
      wipeLine();
      stream.write(`${line}\n`);
    },
    finish,
    [Symbol.dispose]: finish,
  };
}

/** Exponential average over about `rateWindowMs`; corrected for its start, so that the first seconds read true. */
function createSmoothedRate(startedMs: number): { sample(done: number, nowMs: number): number } {
  let lastMs = startedMs;
  let lastDone = 0;
  let weighted = 0;
  let weight = 0;
  return {
    sample: (done, nowMs) => {
      const passedMs = nowMs - lastMs;
      if (passedMs > 0) {
        const keep = Math.exp(-passedMs / rateWindowMs);
        weighted = weighted * keep + ((done - lastDone) / passedMs) * 1000 * (1 - keep);
        weight = weight * keep + (1 - keep);
        lastMs = nowMs;
        lastDone = done;
      }
      return weight === 0 ? 0 : weighted / weight;
    },
  };
}

export interface ProgressLine {
  readonly label: string;
  readonly done: { readonly bytes: number; readonly files: number };
  readonly total: ProgressTotal;
  /** Bytes a second, or files a second where only files have a total. */
  readonly perSecond: number;
  readonly elapsedMs: number;
  /** The line is at most this wide. */
  readonly width: number;
  readonly unicode?: boolean;
  readonly colours?: Colours;
}

const barWidthMax = 30;
const barWidthMin = 10;
const labelWidthMin = 8;

/** Label, bar, percent, amounts, rate, time left; a narrow terminal loses them from the least important on. */
export function renderProgress(line: ProgressLine): string {
  const { done, total, colours = noColours, unicode = true } = line;
  const countsFiles = total.bytes === undefined && total.files !== undefined;
  const fraction = countsFiles ? shareOf(done.files, total.files) : shareOf(done.bytes, total.bytes);
  const files = total.files === undefined ? undefined : `${done.files}/${total.files} files`;
  // Padded to the longest that sizes get, so that the line does not tremble.
  const doneBytes = formatSize(done.bytes).padStart(8);
  const bytes = total.bytes === undefined ? doneBytes : `${doneBytes} of ${formatSize(total.bytes)}`;
  const rate = countsFiles ? `${line.perSecond.toFixed(0)} files/s` : formatRate(line.perSecond).padStart(10);
  const left = timeLeft(line, countsFiles);
  const percent = fraction === undefined ? undefined : formatPercent(fraction).trimStart();

  // What goes first when there is no room stands first.
  const parts = [
    { name: "files", text: countsFiles ? undefined : files },
    { name: "rate", text: rate },
    { name: "amount", text: countsFiles ? files : bytes },
    { name: "time", text: left },
    { name: "percent", text: percent?.padStart(5) },
  ];
  const shown = new Map(parts.flatMap(({ name, text }) => (text === undefined ? [] : [[name, text]])));
  const labelWidth = Math.min(textWidth(line.label), Math.max(labelWidthMin, Math.floor(line.width / 3)));
  const tailWidth = (): number => [...shown.values()].reduce((sum, text) => sum + 2 + textWidth(text), 0);
  const barRoom = (): number => (fraction === undefined ? 0 : line.width - labelWidth - tailWidth() - 2);
  for (const { name } of parts) {
    if (labelWidth + tailWidth() <= line.width && (fraction === undefined || barRoom() >= barWidthMin || name === "percent")) break;
    shown.delete(name);
  }
  const barWidth = Math.min(barWidthMax, barRoom());
  const bar =
    fraction === undefined || barWidth < barWidthMin
      ? []
      : [renderBar({ fraction, width: barWidth, unicode, colours, paint: colours.accent })];
  const tail = ["percent", "amount", "files", "rate", "time"].flatMap((name) => {
    const text = shown.get(name);
    return text === undefined ? [] : [name === "percent" ? text : colours.dim(text)];
  });
  const head = truncateText(line.label, Math.max(0, Math.min(labelWidth, line.width - tailWidth())), unicode ? "…" : "~");
  return [head, ...bar, ...tail].join("  ");
}

function shareOf(done: number, total: number | undefined): number | undefined {
  if (total === undefined) return undefined;
  return total === 0 ? 1 : done / total;
}

function timeLeft(line: ProgressLine, countsFiles: boolean): string | undefined {
  const total = countsFiles ? line.total.files : line.total.bytes;
  if (total === undefined) return formatDuration(Math.round(line.elapsedMs / 1000) * 1000);
  const rest = total - (countsFiles ? line.done.files : line.done.bytes);
  if (rest <= 0) return undefined;
  if (line.perSecond <= 0) return "stalled";
  return `${formatDuration(Math.ceil(rest / line.perSecond) * 1000)} left`;
}
