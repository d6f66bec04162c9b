/** Values of the configuration. Each parser throws `invalid_argument`, and serves flags, environment and file alike. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type LogFormat, type LogLevel, logLevels } from "./log.ts";
import { nearestName } from "./suggest.ts";
import { anyHost, formatHostPort, type HostPort, parseDuration, parseHostPort, parseSize, quoteInput } from "./units.ts";

export const defaultCoordinatorPort = 8001;
export const defaultBootstrapPort = 9001;
export const defaultNodePort = 7001;
export const defaultMetricsPort = 9090;
export const defaultCertValidityMs = parseDuration("24h");
const certValidityMsMin = parseDuration("30s");
const certValidityMsMax = parseDuration("397d");

export function parseOneOf<T extends string>(values: readonly T[], text: string): T {
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  const near = nearestName(text, values);
  throw new CollectiveError(
    "invalid_argument",
    `${quoteInput(text)} is not one of ${values.join(", ")}${near ? `, did you mean ${near}?` : ""}`,
  );
}

export function parseLevel(text: string): LogLevel {
  return parseOneOf(logLevels, text);
}

export function parseFormat(text: string): LogFormat {
  return parseOneOf(["text", "json"], text);
}

export function parseBoolean(text: string): boolean {
  if (/^(true|yes|on|1)$/i.test(text)) return true;
  if (/^(false|no|off|0)$/i.test(text)) return false;
  throw new CollectiveError("invalid_argument", `${quoteInput(text)} is neither true nor false`);
}

export function parseText(text: string): string {
  if (text.trim() === "" || text.includes("\0")) throw new CollectiveError("invalid_argument", "must not be empty");
  return text;
}

export function parseCapacity(text: string): number {
  const bytes = parseSize(text);
  if (bytes === 0) throw new CollectiveError("invalid_argument", "a node needs a capacity above 0");
  return bytes;
}

const ratioMax = 100;

/** Of what is taken to what is given. */
export function parseRatio(text: string): number {
  const ratio = /^\d{1,3}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (ratio <= ratioMax) return ratio;
  throw new CollectiveError("invalid_argument", `${quoteInput(text)} is not a number from 0 to ${ratioMax}`);
}

export function parseValidity(text: string): number {
  const validityMs = parseDuration(text);
  if (validityMs >= certValidityMsMin && validityMs <= certValidityMsMax) return validityMs;
  throw new CollectiveError("invalid_argument", `${quoteInput(text)} is not between 30s and 397d`);
}

export function parseListen(defaultPort: number): (text: string) => HostPort {
  return (text) => parseHostPort(text, defaultPort);
}

/** Null is "off", which no weaker source turns on again. */
export function parseMetrics(text: string): HostPort | null {
  return text === "off" ? null : parseHostPort(text, defaultMetricsPort);
}

/** Where somebody else listens: `:8001` can only mean this machine. */
export function parseTarget(text: string): HostPort {
  const address = parseHostPort(text, defaultCoordinatorPort);
  if (address.port === 0) throw new CollectiveError("invalid_argument", `${quoteInput(text)} has no port to connect to`);
  return isAnyHost(address) ? { ...address, host: "127.0.0.1" } : address;
}

export function parseTargetText(text: string): string {
  return formatHostPort(parseTarget(text));
}

export function parseAdvertised(text: string): string {
  const address = parseHostPort(text);
  if (address.port === 0 || isAnyHost(address)) {
    throw new CollectiveError("invalid_argument", `${quoteInput(text)} is not an address that others can connect to`);
  }
  return formatHostPort(address);
}

export function isAnyHost(address: HostPort): boolean {
  return address.host === anyHost || address.host === "::";
}
