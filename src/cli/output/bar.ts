/** Bars: how full something is, and how far something has come. */
import { type Colours, noColours, type Paint } from "./colour.ts";

export interface BarOptions {
  /** 0 to 1; what lies outside is cut, and 0 of 0 is 0. */
  readonly fraction: number;
  /** Of the bar alone, in columns. */
  readonly width: number;
  readonly unicode?: boolean;
  readonly colours?: Colours;
  readonly paint?: Paint;
}

/** `████████░░░░`, or `########....` in ASCII. Something is never drawn as nothing, nor a rest as none. */
export function renderBar({ fraction, width, unicode = true, colours = noColours, paint = (text) => text }: BarOptions): string {
  const share = clamp(fraction);
  let filled = Math.round(share * width);
  if (share > 0 && filled === 0) filled = Math.min(1, width);
  if (share < 1 && filled === width) filled = Math.max(0, width - 1);
  const [full, empty] = unicode ? ["█", "░"] : ["#", "."];
  return paint(full.repeat(filled)) + colours.dim(empty.repeat(width - filled));
}

/** ` 62 %`, five columns. 100 is only what is complete. */
export function formatPercent(fraction: number): string {
  const share = clamp(fraction);
  const percent = share === 1 ? 100 : Math.min(99, Math.round(share * 100));
  return `${String(percent).padStart(3)} %`;
}

export interface CapacityBarOptions {
  readonly usedBytes: number;
  readonly totalBytes: number;
  readonly width: number;
  readonly unicode?: boolean;
  readonly colours?: Colours;
}

/** `████████░░░░  67 %`, in the colour of the danger: from 80 % a warning, from 95 % bad. */
export function renderCapacityBar({ usedBytes, totalBytes, width, unicode = true, colours = noColours }: CapacityBarOptions): string {
  const fraction = usedBytes / totalBytes;
  const paint = fraction >= 0.95 ? colours.bad : fraction >= 0.8 ? colours.warn : colours.good;
  return `${renderBar({ fraction, width, unicode, colours, paint })} ${paint(formatPercent(fraction))}`;
}

function clamp(fraction: number): number {
  return Number.isNaN(fraction) ? 0 : Math.min(1, Math.max(0, fraction));
}
