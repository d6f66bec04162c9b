/**
 * Sizes, durations and addresses as people write them. Text is parsed once, at the edge, into bytes,
 * milliseconds and `HostPort`; everything inside counts in those.
 *
 * A unit that could be misread is refused instead of guessed: `500G` (10^9 or 2^30?), `500Gb` (bits?),
 * `30` as a duration. What the formatters print for values that are not negative, the parsers read (rates excepted).
 */
import { isIPv6 } from "node:net";
import { CollectiveError } from "../../protocol/errors.ts";

const shownCharactersMax = 60;

/** Without control characters and line breaks, for a message. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?");
}

/** Input quoted for a message: on one line, of bounded length. */
export function quoteInput(text: string): string {
  const cut = text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}…` : text;
  return `"${oneLine(cut)}"`;
}

function invalid(text: string, what: string, hint: string): CollectiveError {
  return new CollectiveError("invalid_argument", `${quoteInput(text)} ${what}`, { hint });
}

const prefixes = "kmgtpe";
const sizePattern = /^(\d{1,20}(?:\.\d{1,20})?) ?([a-zA-Z]{0,3})$/;
const sizeHint = "write sizes like 500GB (10^9), 1.5TiB (2^40), 100MiB or as a plain number of bytes";

/** Bytes of `500GB`, `1.5TiB`, `100 MiB` or a plain number; a fraction of a byte is rounded. Throws `invalid_argument`. */
export function parseSize(text: string): number {
  const parts = sizePattern.exec(text.trim());
  if (!parts) throw invalid(text, "is not a size", sizeHint);
  const digits = parts[1] ?? "";
  const unit = parts[2] ?? "";
  const factor = bytesOfUnit(unit);
  if (factor === undefined) throw invalid(text, "has no clear unit", sizeHint);
  if (factor === 1 && digits.includes(".")) throw invalid(text, "is a fraction of a byte", sizeHint);
  const bytes = Math.round(Number(digits) * factor);
  if (!Number.isSafeInteger(bytes)) throw invalid(text, "is larger than any size here can be", sizeHint);
  return bytes;
}

/** Case does not matter, except that a small b after a capital prefix means bits. */
function bytesOfUnit(unit: string): number | undefined {
  if (unit === "" || unit === "b" || unit === "B") return 1;
  if (/^[A-Z].*b$/.test(unit)) return undefined;
  const parts = /^([kmgtpe])(i?)b$/.exec(unit.toLowerCase());
  if (!parts) return undefined;
  return (parts[2] === "i" ? 1024 : 1000) ** (prefixes.indexOf(parts[1] ?? "") + 1);
}

export type SizeStyle = "iec" | "si";

const sizeNames: Readonly<Record<SizeStyle, readonly string[]>> = {
  iec: ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
  si: ["B", "kB", "MB", "GB", "TB", "PB", "EB"],
};

/** `1.5 GiB`; one decimal below 100 and none from there on, so that columns of sizes stay narrow. */
export function formatSize(bytes: number, style: SizeStyle = "iec"): string {
  if (!Number.isFinite(bytes)) return "?";
  if (bytes < 0) return `-${formatSize(-bytes, style)}`;
  const base = style === "iec" ? 1024 : 1000;
  const names = sizeNames[style];
  let value = bytes;
  let step = 0;
  // What would be printed as 1024 of a unit is printed as 1.0 of the next one.
  while (Math.round(value) >= base && step < names.length - 1) {
    value /= base;
    step += 1;
  }
  const digits = step === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
  return `${digits} ${names[step]}`;
}

/** `85.3 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`;
}

const durationUnitsMs: Readonly<Record<string, number>> = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const durationPattern = /^(?:\d{1,15}(?:\.\d{1,9})?(?:ms|[wdhms]) ?)+$/;
const durationHint = "write durations like 30s, 5m, 24h, 7d, 500ms or 1h30m";

/** Milliseconds of `30s`, `24h`, `7d`, `500ms`, `1h30m`; units go from large to small. Throws `invalid_argument`. */
export function parseDuration(text: string): number {
  const trimmed = text.trim();
  if (trimmed.length > 100 || !durationPattern.test(trimmed)) throw invalid(text, "is not a duration", durationHint);
  let totalMs = 0;
  let previousMs = Number.POSITIVE_INFINITY;
  for (const [, digits, unit] of trimmed.matchAll(/([\d.]+)(ms|[wdhms])/g)) {
    const unitMs = durationUnitsMs[unit ?? ""] ?? Number.NaN;
    if (!(unitMs < previousMs)) throw invalid(text, "does not go from large units to small ones", durationHint);
    previousMs = unitMs;
    totalMs += Number(digits) * unitMs;
  }
  const rounded = Math.round(totalMs);
  if (!Number.isSafeInteger(rounded)) throw invalid(text, "is longer than any duration here can be", durationHint);
  return rounded;
}

/** `450ms`, `4.2s`, `2m 05s`, `3h 07m`, `3d 4h`: the two largest units that matter. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "?";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (Math.round(ms) === 0) return "0s";
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 9_950) return `${Number((ms / 1000).toFixed(1))}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return twoUnits(Math.floor(seconds / 60), "m", seconds % 60, "s", 2);
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return twoUnits(Math.floor(minutes / 60), "h", minutes % 60, "m", 2);
  const hours = Math.round(minutes / 60);
  return twoUnits(Math.floor(hours / 24), "d", hours % 24, "h", 1);
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string, smallDigits: number): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit} ${String(small).padStart(smallDigits, "0")}${smallUnit}`;
}

export interface HostPort {
  /** A name, an IPv4 or an IPv6 address, the latter without brackets. */
  readonly host: string;
  /** 0 asks for any free port where something listens. */
  readonly port: number;
}

export const anyHost = "0.0.0.0";
const addressHint = "write addresses like nas.home:8001, 192.168.1.5:8001, [fd00::5]:8001, or :8001 for all interfaces";
const hostNamePattern = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/;
const ipv4Pattern = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.|$)){4}$/;

/** `host:port`, `[v6]:port`, or `:port` for all interfaces (`0.0.0.0`). Throws `invalid_argument`. */
export function parseHostPort(text: string, defaultPort?: number): HostPort {
  const trimmed = text.trim().toLowerCase();
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(trimmed);
  if (!parts) throw invalid(text, isIPv6(trimmed) ? "is an IPv6 address without brackets and port" : "is not an address", addressHint);
  const [, v6, name = "", digits] = parts;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port === undefined) throw invalid(text, "names no port", addressHint);
  if (port > 65_535) throw invalid(text, "has a port above 65535", addressHint);
  if (v6 !== undefined) {
    if (!isIPv6(v6)) throw invalid(text, "is not an IPv6 address", addressHint);
    return { host: v6, port };
  }
  if (name === "") {
    if (digits === undefined) throw invalid(text, "is not an address", addressHint);
    return { host: anyHost, port };
  }
  const looksLikeNumbers = /^[\d.]+$/.test(name);
  if (looksLikeNumbers ? !ipv4Pattern.test(name) || name.endsWith(".") : !hostNamePattern.test(name))
    throw invalid(text, "is not an address", addressHint);
  return { host: name, port };
}

/** An address that means whatever machine it is used on. */
export function isLoopback({ host }: Pick<HostPort, "host">): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

export function formatHostPort(address: HostPort): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
