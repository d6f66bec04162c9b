/**
 * The numbers a process shows to Prometheus. Names and labels are part of the command line's contract.
 *
 * Invariant: no label takes values without bound. Labels are operations, error codes, states and names of
 * nodes; never a person, a path, an address or an id.
 *
 * Four parts of prom-client are loaded one by one: the package as a whole pulls in what measures Node's event
 * loop, which says nothing true on Bun, and costs 18 MB in place of 5.
 */
import { readdirSync, readFileSync } from "node:fs";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";

export type Labels = Readonly<Record<string, string>>;

export interface GaugeValue {
  readonly labels?: Labels;
  readonly value: number;
}

export interface ReadOptions {
  readonly labels?: readonly string[];
  readonly read: () => readonly GaugeValue[] | Promise<readonly GaugeValue[]>;
}

export interface CounterFamily {
  add(labels: Labels, by?: number): void;
  /** The same for one set of labels, checked once: for what happens tens of thousands of times a second. */
  with(labels: Labels): (by?: number) => void;
}

export interface HistogramFamily {
  observe(labels: Labels, seconds: number): void;
  with(labels: Labels): (seconds: number) => void;
}

export interface Metrics {
  /** A label of every value. A node that joins by a code learns it while it starts. */
  setMember(member: string): void;
  counter(name: string, help: string, labels?: readonly string[]): CounterFamily;
  /** Of durations, in seconds. */
  histogram(name: string, help: string, labels?: readonly string[]): HistogramFamily;
  /** `read` is asked at each scrape, and answers all label values that there are now. Several may add to one name: two roles share a process. */
  gauge(name: string, help: string, options: ReadOptions): void;
  /** As a counter that something else keeps. */
  counted(name: string, help: string, options: ReadOptions): void;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
}

export const metricsContentType = Registry.PROMETHEUS_CONTENT_TYPE;

/** From half a millisecond to half a minute: what a request may take before a client gives up. */
const durationBucketsSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const readers = new Map<string, ReadOptions["read"][]>();
  /** Undefined when the name has its family already, which then reads this too. */
  const collectFrom = (name: string, read: ReadOptions["read"], show: (values: readonly GaugeValue[]) => void) => {
    const known = readers.get(name);
    known?.push(read);
    if (known) return undefined;
    const all = [read];
    readers.set(name, all);
    return async (): Promise<void> => show((await Promise.all(all.map((one) => one()))).flat());
  };
  const metrics: Metrics = {
    setMember: (member) => registry.setDefaultLabels({ member }),
    counter: (name, help, labels = []) => {
      const family = new Counter({ name, help, labelNames: [...labels], registers });
      return {
        add: (values, by = 1) => family.inc({ ...values }, by),
        with: (values) => {
          const one = family.labels({ ...values });
          return (by = 1) => one.inc(by);
        },
      };
    },
    histogram: (name, help, labels = []) => {
      const family = new Histogram({ name, help, labelNames: [...labels], buckets: durationBucketsSeconds, registers });
      return {
        observe: (values, seconds) => family.observe({ ...values }, seconds),
        with: (values) => {
          const one = family.labels({ ...values });
          return (seconds) => one.observe(seconds);
        },
      };
    },
    gauge: (name, help, { labels = [], read }) => {
      const collect = collectFrom(name, read, (value) => {
        family.reset();
        for (const { labels: of = {}, value: number } of value) family.set({ ...of }, number);
      });
      if (!collect) return;
      const family: Gauge = new Gauge({ name, help, labelNames: [...labels], registers, collect });
    },
    counted: (name, help, { labels = [], read }) => {
      const collect = collectFrom(name, read, (value) => {
        family.reset();
        for (const { labels: of = {}, value: number } of value) family.inc({ ...of }, number);
      });
      if (!collect) return;
      const family: Counter = new Counter({ name, help, labelNames: [...labels], registers, collect });
    },
    text: () => registry.metrics(),
  };
  registerProcess(metrics);
  return metrics;
}

/** Under the names that every client library gives them. */
function registerProcess(metrics: Metrics): void {
  const startSeconds = Math.round(performance.timeOrigin / 1000);
  const cpu = (pick: (usage: NodeJS.CpuUsage) => number) => () => [{ value: pick(process.cpuUsage()) / 1e6 }];
  metrics.counted("process_cpu_seconds_total", "User and system time.", { read: cpu(({ user, system }) => user + system) });
  metrics.counted("process_cpu_user_seconds_total", "User time.", { read: cpu(({ user }) => user) });
  metrics.counted("process_cpu_system_seconds_total", "System time.", { read: cpu(({ system }) => system) });
  metrics.gauge("process_start_time_seconds", "Start since 1970.", { read: () => [{ value: startSeconds }] });
  metrics.gauge("process_resident_memory_bytes", "Resident memory.", { read: () => [{ value: process.memoryUsage.rss() }] });
  metrics.gauge("process_open_fds", "Open file descriptors.", { read: () => countOf(() => readdirSync("/proc/self/fd").length) });
  metrics.gauge("process_max_fds", "Limit of open file descriptors.", {
    read: () => countOf(() => Number(/Max open files\s+(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1])),
  });
}

/** Nothing where the system does not say: only Linux has /proc. */
function countOf(look: () => number): GaugeValue[] {
  try {
    const value = look();
    return Number.isFinite(value) ? [{ value }] : [];
  } catch {
    return [];
  }
}
