/** What a process shows to Prometheus and to whoever asks how it is. */
import { afterEach, describe, expect, test } from "bun:test";
import { silentLog } from "../../src/core/log.ts";
import { createMetrics, type Metrics } from "../../src/core/metrics.ts";
import { type Health, type ObservabilityServer, startObservabilityServer } from "../../src/net/observability-server.ts";

const member = "alice@home.collective.local";

function metricsOf(name: string): Metrics {
  const metrics = createMetrics();
  metrics.setMember(name);
  return metrics;
}

describe("metrics", () => {
  test("carry the member on every value", async () => {
    const metrics = metricsOf(member);
    metrics.counter("x_total", "x", ["op"]).add({ op: "put" }, 2);
    metrics.histogram("y_seconds", "y", ["op"]).observe({ op: "put" }, 0.003);
    const values = (await metrics.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(values.filter((line) => !line.includes(`member="${member}"`))).toEqual([]);
    expect(values).toContain(`x_total{op="put",member="${member}"} 2`);
    expect(values).toContain(`y_seconds_bucket{le="0.005",member="${member}",op="put"} 1`);
    expect(values).toContain(`y_seconds_bucket{le="0.0025",member="${member}",op="put"} 0`);
  });

  test("count the same for labels that were given once", async () => {
    const metrics = metricsOf(member);
    const counter = metrics.counter("x_total", "x", ["op"]);
    const histogram = metrics.histogram("y_seconds", "y", ["op"]);
    const [count, time] = [counter.with({ op: "read" }), histogram.with({ op: "read" })];
    count();
    count(2);
    counter.add({ op: "read" });
    time(0.003);
    const text = await metrics.text();
    expect(text).toContain(`x_total{op="read",member="${member}"} 4`);
    expect(text).toContain(`y_seconds_count{member="${member}",op="read"} 1`);
  });

  test("ask a gauge at each scrape, and forget labels that are gone", async () => {
    const metrics = metricsOf(member);
    let nodes = ["node-01", "node-02"];
    metrics.gauge("up", "up", { labels: ["node"], read: () => nodes.map((node) => ({ labels: { node }, value: 1 })) });
    expect(await metrics.text()).toContain('up{node="node-02"');
    nodes = ["node-01"];
    const text = await metrics.text();
    expect(text).toContain('up{node="node-01"');
    expect(text).not.toContain("node-02");
  });

  test("let two roles of one process add to one name", async () => {
    const metrics = metricsOf(member);
    for (const name of ["alice", "node-01"])
      metrics.gauge("expiry", "expiry", { labels: ["name"], read: async () => [{ labels: { name }, value: 1 }] });
    const text = await metrics.text();
    expect(text.match(/^expiry\{/gm)?.length).toBe(2);
  });

  test("tell the process's own memory, time and files under their standard names", async () => {
    const text = await metricsOf(member).text();
    const value = (name: string): number => Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
    expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(value("process_start_time_seconds")).toBeGreaterThan(1_700_000_000);
  });
});

describe("the observability server", () => {
  let server: ObservabilityServer | undefined;
  afterEach(async () => await server?.stop());

  const listen = (health: () => Health): string => {
    const options = { host: "127.0.0.1", port: 0, metrics: metricsOf(member), health: async () => health(), log: silentLog };
    server = startObservabilityServer(options);
    return `http://${server.address}`;
  };

  test("says how it is, and is ready above a score of 30", async () => {
    let health: Health = { health: "degraded", healthScore: 31, reasons: ["node-02 is dead"] };
    const base = listen(() => health);
    expect(await (await fetch(`${base}/health`)).json()).toEqual({ health: "degraded", score: 31, reasons: ["node-02 is dead"] });
    expect((await fetch(`${base}/health/ready`)).status).toBe(200);
    health = { health: "unhealthy", healthScore: 30, reasons: ["no node is alive"] };
    const refused = await fetch(`${base}/health/ready`);
    expect([refused.status, await refused.text()]).toEqual([503, "not ready: no node is alive\n"]);
    expect((await fetch(`${base}/health/live`)).status).toBe(200);
  });

  test("serves metrics as Prometheus reads them, and nothing else", async () => {
    const base = listen(() => ({ health: "healthy", healthScore: 100, reasons: [] }));
    const scraped = await fetch(`${base}/metrics`);
    expect(scraped.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    expect(await scraped.text()).toContain("process_resident_memory_bytes");
    expect((await fetch(`${base}/v1/status`)).status).toBe(404);
  });

  test("names the flag when its address is taken", () => {
    const base = new URL(listen(() => ({ health: "healthy", healthScore: 100, reasons: [] })));
    const again = () =>
      startObservabilityServer({
        host: base.hostname,
        port: Number(base.port),
        metrics: metricsOf(member),
        health: async () => ({ health: "healthy", healthScore: 100, reasons: [] }),
        log: silentLog,
      });
    expect(again).toThrow(expect.objectContaining({ code: "conflict", hint: expect.stringContaining("--metrics-address") }));
  });
});
