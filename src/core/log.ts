/**
 * The log port. A line is an event name and fields, never a sentence with values spliced in; the
 * reporter decides how it looks. Everything goes to stderr: stdout belongs to results.
 */
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

export function createLog(options: LogOptions, tag = ""): Log {
  const threshold = logLevels.indexOf(options.level);
  const emit = (level: LogLevel, event: string, fields: LogFields = {}): void => {
    if (logLevels.indexOf(level) > threshold) return;
    const time = new Date(options.wallMs()).toISOString();
    options.write(options.format === "json" ? jsonLine({ time, level, tag, event, fields }) : textLine({ time, level, tag, event, fields }));
  };
  return {
    error: (event, fields) => emit("error", event, fields),
    warn: (event, fields) => emit("warn", event, fields),
    info: (event, fields) => emit("info", event, fields),
    debug: (event, fields) => emit("debug", event, fields),
    tagged: (inner) => createLog(options, tag === "" ? inner : `${tag}.${inner}`),
  };
}

interface LogRecord {
  readonly time: string;
  readonly level: LogLevel;
  readonly tag: string;
  readonly event: string;
  readonly fields: LogFields;
}

function jsonLine(record: LogRecord): string {
  const fields = Object.entries(record.fields).map(([key, value]) => [key, typeof value === "bigint" ? value.toString() : value]);
  return JSON.stringify({ time: record.time, level: record.level, tag: record.tag, event: record.event, ...Object.fromEntries(fields) });
}

function textLine(record: LogRecord): string {
  const fields = Object.entries(record.fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${typeof value === "string" && /[\s"=]/.test(value) ? JSON.stringify(value) : value}`)
    .join("");
  return `${record.time} ${record.level.padEnd(5)} ${record.tag}: ${record.event}${fields}`;
}
