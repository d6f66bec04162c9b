/** examples/single-node does what its README says, with nothing but the executable. */
import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadServeConfig } from "../../src/core/config.ts";
import { executable, temporaryHome } from "../support/process.ts";

const example = join(import.meta.dir, "../../examples/single-node");

const anyPort = "127.0.0.1:0";
/** Tests run beside each other and beside whatever else this machine serves. */
const ports = {
  COLLECTIVE_COORDINATOR_ADDRESS: anyPort,
  COLLECTIVE_BOOTSTRAP_ADDRESS: anyPort,
  COLLECTIVE_NODE_ADDRESS: anyPort,
  COLLECTIVE_METRICS_ADDRESS: anyPort,
};

describe("examples/single-node", () => {
  test("the script stores, fetches and stops, and leaves nothing behind", async () => {
    await using home = await temporaryHome();
    const temporary = join(home.path, "temporary");
    mkdirSync(temporary);
    // Away from the repository: it may need nothing of it.
    cpSync(example, join(home.path, "example"), { recursive: true });
    const child = Bun.spawn([join(home.path, "example/run.sh")], {
      env: { PATH: process.env.PATH ?? "", ...home.env, ...ports, TMPDIR: temporary, COLLECTIVE: executable() },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toContain("ready role=all name=alice@home.collective.local address=127.0.0.1:");
    expect(stdout).toContain("\nHello from ");
    expect(stdout).toContain("\nWhat was fetched is what was stored.\n");
    expect(stdout).toContain("\nevery copy is good\n");
    expect(stdout).toMatch(/^node-01 +alive/m);
    expect(stdout).toEndWith("\nstopped\n");
    expect(readdirSync(temporary)).toEqual([]);
    expect(existsSync(join(home.path, "home", ".collective"))).toBe(false);
  });

  test("the configuration means the ports and names of the documentation", () => {
    const path = join(example, "collective.json");
    const config = loadServeConfig({ flags: {}, environment: {}, configFile: { path, text: readFileSync(path, "utf8") } });
    expect(config.role).toBe("all");
    expect(config.member).toBe("alice@home.collective.local" as typeof config.member);
    expect(config.coordinator?.address.port).toBe(8001);
    expect(config.coordinator?.bootstrapAddress.port).toBe(9001);
    expect(config.node?.address.port).toBe(7001);
    expect(config.metricsAddress?.port).toBe(9090);
  });
});
