/** What a machine sees of a running collective: metrics and health of the real processes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../support/e2e-commands.ts";
import { type Collective, cleanUp, run, startCollective } from "../support/process.ts";

let collective: Collective;
let metricsOf: (service: string) => Promise<string>;

beforeAll(async () => {
  collective = await startCollective({ nodes: 2 });
  metricsOf = async (service) => {
    const served = /metrics and health are served.* address=(\S+)/;
    const found = await until(
      () => served.exec(collective.service(service).process.stderr()),
      (match) => match !== null,
    );
    return `http://${found?.[1]}`;
  };
});
afterAll(async () => {
  await collective[Symbol.asyncDispose]();
  cleanUp();
});

async function value(service: string, name: string, labels = ""): Promise<number> {
  const text = await (await fetch(`${await metricsOf(service)}/metrics`)).text();
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name}{`) && candidate.includes(labels));
  return Number(line?.split(" ").at(-1));
}

test("operations, nodes and capacity are counted at the coordinator", async () => {
  await collective.run(["mkdir", "/media"]);
  await collective.run(["write", "/media/hello"], { stdin: "hello" });
  expect((await collective.run(["read", "/media/nothing"])).exitCode).toBe(3);
  expect(await value("coordinator", "collective_file_operations_total", 'op="commit",result="ok"')).toBeGreaterThanOrEqual(1);
  expect(await value("coordinator", "collective_operation_duration_seconds_count", 'op="commit"')).toBeGreaterThanOrEqual(1);
  expect(await value("coordinator", "collective_nodes_alive")).toBe(2);
  expect(await value("coordinator", "collective_storage_capacity_bytes")).toBe(20e9);
  expect(await value("coordinator", "collective_cluster_health")).toBe(100);
  expect(await value("coordinator", "collective_certificate_expiry_seconds", "alice@home.collective.local")).toBeGreaterThan(3_600);
  expect(await value("node-01", "collective_node_chunks")).toBeGreaterThanOrEqual(1);
});

test("health says what is wrong, and a coordinator without nodes is not ready", async () => {
  const coordinator = await metricsOf("coordinator");
  expect(await (await fetch(`${coordinator}/health`)).json()).toEqual({ health: "healthy", score: 100, reasons: [] });
  for (const node of collective.nodes) await node.process.kill();
  await until(
    async () => (await fetch(`${coordinator}/health/ready`)).status,
    (status) => status === 503,
  );
  expect(await (await fetch(`${coordinator}/health`)).json()).toMatchObject({
    health: "unhealthy",
    reasons: [expect.stringContaining("no node is alive")],
  });
  expect((await fetch(`${coordinator}/health/live`)).status).toBe(200);
});

test("an address that is taken is an error when it was asked for", async () => {
  const taken = new URL(await metricsOf("coordinator")).host;
  const args = ["coordinator", "--member", "bob", "--address", "127.0.0.1:0", "--bootstrap-address", "127.0.0.1:0", "--no-context"];
  const { exitCode, stderr } = await run([...args, "--data-dir", `${collective.home.path}/bob`, "--metrics-address", taken], {
    env: collective.env,
  });
  expect(exitCode).toBe(6);
  expect(stderr).toContain(`the address ${taken} is in use`);
});
