/**
 * The log port, over consola's core. A line is an event name and fields, never a sentence with
 * values spliced in; the reporter decides how it looks. Everything goes to stderr: stdout belongs to
 * results.
 */
import { type ConsolaInstance, createConsola, type LogObject } from "consola/core";

export const logLevels = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFormat = "text" | "json";
export type LogFields = Readonly<Record<string, string | number | boolean | bigint | null | undefined>>;

export interface Log {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
  /** The same log with a component's tag, like `coordinator` or `chunks`. */
  tagged(tag: string): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly write: (line: string) => void;
  readonly wallMs: () => number;
}

export const silentLog: Log = { error() {}, warn() {}, info() {}, debug() {}, tagged: () => silentLog };

const consolaLevels = { error: 0, warn: 1, info: 3, debug: 4 } as const satisfies Record<LogLevel, number>;

export function createLog(options: LogOptions): Log {
  const format = options.format === "json" ? jsonLine : textLine;
  const consola = createConsola({
    level: consolaLevels[options.level],
    // Every event counts: repeated lines are not folded into one.
    throttleMin: Number.POSITIVE_INFINITY,
    reporters: [{ log: (entry) => options.write(format(toRecord(entry, options.wallMs()))) }],
  });
  return wrap(consola, "");
}

function wrap(consola: ConsolaInstance, tag: string): Log {
  return {
    error: (event, fields) => consola.error(event, fields),
    warn: (event, fields) => consola.warn(event, fields),
    info: (event, fields) => consola.info(event, fields),
    debug: (event, fields) => consola.debug(event, fields),
    tagged: (inner) => {
      const path = tag === "" ? inner : `${tag}.${inner}`;
      return wrap(consola.create({ defaults: { tag: path } }), path);
    },
  };
}

interface LogRecord {
  readonly time: string;
  readonly level: string;
  readonly tag: string;
  readonly event: string;
  readonly fields: LogFields;
}

function toRecord(entry: LogObject, wallMs: number): LogRecord {
  const [event, fields] = entry.args as [string, LogFields | undefined];
  return { time: new Date(wallMs).toISOString(), level: entry.type, tag: entry.tag, event, fields: fields ?? {} };
}

function jsonLine({ fields, ...record }: LogRecord): string {
  const plain = Object.entries(fields).map(([key, value]) => [key, typeof value === "bigint" ? value.toString() : value]);
  return JSON.stringify({ ...record, ...Object.fromEntries(plain) });
}

function textLine(record: LogRecord): string {
  const fields = Object.entries(record.fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${typeof value === "string" && /[\s"=]/.test(value) ? JSON.stringify(value) : value}`)
    .join("");
  return `${record.time} ${record.level.padEnd(5)} ${record.tag}: ${record.event}${fields}`;
}
