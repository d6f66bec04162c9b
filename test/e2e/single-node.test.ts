/** examples/single-node does what its README says, with nothing but the executable. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { loadServeConfig } from "../../src/core/config.ts";
import { examplePath, runExample, wentWell } from "../support/examples.ts";

describe("examples/single-node", () => {
  test("the script stores, fetches and stops, and leaves nothing behind", async () => {
    const { stdout, ...rest } = await runExample("single-node");
    expect(rest).toMatchObject(wentWell);
    expect(stdout).toContain("ready role=all name=alice@home.collective.local address=127.0.0.1:");
    expect(stdout).toContain("\nHello from ");
    expect(stdout).toContain("\nWhat was fetched is what was stored.\n");
    expect(stdout).toContain("\nevery copy is good\n");
    expect(stdout).toMatch(/^node-01 +alive/m);
    expect(stdout).toEndWith("\nstopped\n");
  });

  test("the configuration means the ports and names of the documentation", () => {
    const path = examplePath("single-node", "collective.json");
    const config = loadServeConfig({ flags: {}, environment: {}, configFile: { path, text: readFileSync(path, "utf8") } });
    expect(config.role).toBe("all");
    expect(config.member).toBe("alice@home.collective.local" as typeof config.member);
    expect(config.coordinator?.address.port).toBe(8001);
    expect(config.coordinator?.bootstrapAddress.port).toBe(9001);
    expect(config.node?.address.port).toBe(7001);
    expect(config.metricsAddress?.port).toBe(9090);
  });
});
