/** The configuration of the examples: it means what their READMEs say, and compose file and Prometheus fit to it. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { z } from "zod";
import { loadServeConfig, type ServeConfig } from "../../src/core/config.ts";
import { examplePath } from "../support/examples.ts";

const members = [
  { name: "alice", site: "home" },
  { name: "bob", site: "garage" },
  { name: "carol", site: "office" },
].map(({ name, site }, index) => ({ name, member: `${name}@${site}.collective.local`, index }));

function configAt(...parts: readonly string[]): ServeConfig {
  const path = examplePath(...parts);
  return loadServeConfig({ flags: {}, environment: {}, configFile: { path, text: readFileSync(path, "utf8") } });
}

function readYaml(...parts: readonly string[]): unknown {
  return Bun.YAML.parse(readFileSync(examplePath(...parts), "utf8"));
}

const portsOf = ({ coordinator, node, metricsAddress }: ServeConfig): (number | undefined)[] =>
  [coordinator?.address, coordinator?.bootstrapAddress, node?.address, metricsAddress].map((address) => address?.port);

describe("examples/three-member", () => {
  for (const { name, member, index } of members) {
    test(`${name} has the name and ports of the table`, () => {
      const config = configAt("three-member", `${name}.json`);
      expect([config.role, config.member]).toEqual(["all", member as typeof config.member]);
      expect(portsOf(config)).toEqual([8001 + index, 9001 + index, 7001 + 10 * index, 9091 + index]);
    });
  }
});

const nodeNames = ["node-01", "node-02", "node-03"];

describe("examples/homelab-federation", () => {
  for (const { name, member, index } of members) {
    test(`${name}'s processes have the names and ports of the table`, () => {
      const coordinator = configAt("homelab-federation", name, "coordinator.json");
      expect([coordinator.role, coordinator.member]).toEqual(["coordinator", member as typeof coordinator.member]);
      expect(portsOf(coordinator)).toEqual([8001 + index, 9001 + index, undefined, 9091 + index]);
      for (const [at, id] of nodeNames.entries()) {
        const config = configAt("homelab-federation", name, `${id}.json`);
        expect([config.role, config.member, config.node?.nodeId]).toEqual(["node", coordinator.member, id as never]);
        expect(portsOf(config)).toEqual([undefined, undefined, 7001 + 10 * index + at, 9101 + 10 * index + at]);
        expect(config.node?.coordinatorAddress).toBe(`localhost:${8001 + index}`);
        expect(config.node?.enrolFrom).toBe(coordinator.coordinator?.dataDir as string);
      }
    });
  }

  const allFiles = members.flatMap(({ name }) => ["coordinator", ...nodeNames].map((file) => ({ name, file: `${file}.json` })));

  test("Prometheus scrapes every process", () => {
    const schema = z.object({ scrape_configs: z.array(z.object({ static_configs: z.array(z.object({ targets: z.array(z.string()) })) })) });
    const { scrape_configs } = schema.parse(readYaml("homelab-federation", "prometheus.yml"));
    const scraped = scrape_configs.flatMap((job) => job.static_configs.flatMap(({ targets }) => targets));
    const served = allFiles.map(({ name, file }) => `localhost:${configAt("homelab-federation", name, file).metricsAddress?.port}`);
    expect(scraped.toSorted()).toEqual(served.toSorted());
  });

  test("every process has a container with its configuration, its member's volume, and nodes wait for their coordinator", () => {
    const service = z.object({
      command: z.string(),
      volumes: z.array(z.string()),
      network_mode: z.literal("host"),
      build: z.object({ context: z.string(), dockerfile: z.string() }),
      healthcheck: z.object({ test: z.array(z.string()) }).optional(),
      depends_on: z.record(z.string(), z.object({ condition: z.literal("service_healthy") })).optional(),
    });
    const file = z.object({ services: z.record(z.string(), z.unknown()), volumes: z.record(z.string(), z.null()) });
    const { services, volumes } = file.parse(readYaml("homelab-federation", "docker-compose.yml"));
    const { prometheus, ...collective } = services;
    expect(JSON.stringify(prometheus)).toContain("./prometheus.yml:/etc/prometheus/prometheus.yml:ro");
    const expected = allFiles.map(({ name, file }) => (file === "coordinator.json" ? name : `${name}-${file.replace(".json", "")}`));
    expect(Object.keys(collective)).toEqual(expected);
    for (const [at, { name, file }] of allFiles.entries()) {
      const { command, build, ...container } = service.parse(collective[expected[at] ?? ""]);
      expect(command).toBe(`serve -c /etc/collective/${file}`);
      expect(container.volumes).toEqual([`./${name}:/etc/collective:ro`, `${name}:/var/lib/collective`]);
      expect(Object.keys(volumes)).toContain(name);
      expect(Object.keys(container.depends_on ?? {})).toEqual(file === "coordinator.json" ? [] : [name]);
      expect(container.healthcheck === undefined).toBe(file !== "coordinator.json");
      expect(existsSync(normalize(join(examplePath("homelab-federation"), build.context, build.dockerfile)))).toBe(true);
    }
  });

  test("the image is built from what the build needs, all of which is there", () => {
    const ignored = readFileSync(examplePath("homelab-federation", "Dockerfile.dockerignore"), "utf8").split("\n");
    const kept = ignored.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
    expect(ignored).toContain("*");
    expect(kept).toContain("package-lock.json");
    for (const path of kept) expect(existsSync(examplePath("..", path))).toBe(true);
    const dockerfile = readFileSync(examplePath("homelab-federation", "Dockerfile"), "utf8");
    expect(dockerfile).toContain("RUN npm run build\n");
    expect(dockerfile).toContain("COPY --from=build /source/dist/collective /usr/local/bin/collective\n");
  });
});

describe("examples/homelab-peering", () => {
  test("each site listens on its own end of the line alone", () => {
    for (const { name, member, index } of members.slice(0, 2)) {
      const config = configAt("homelab-peering", `${name}.json`);
      expect(config.member).toBe(member as NonNullable<typeof config.member>);
      expect(portsOf(config)).toEqual([8001 + index, 9001 + index, 7001 + 10 * index, 9091 + index]);
      const hosts = [config.coordinator?.address, config.coordinator?.bootstrapAddress, config.node?.address].map((one) => one?.host);
      expect(new Set(hosts)).toEqual(new Set([`10.77.0.${index + 1}`]));
    }
  });
});
